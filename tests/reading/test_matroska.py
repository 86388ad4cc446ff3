"""A lossless video, damaged on purpose: FFmpeg itself would read most of these without a word."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from media import write_clip

from streamseg.errors import SourceError
from streamseg.reading.matroska import intact_elements


def write_ffv1(path: Path, options: dict[str, str] | None = None) -> bytes:
    write_clip(
        path, codec="ffv1", pix_fmt="gray", num_frames=8, options={"level": "3"},
        container_options={"cluster_time_limit": "100", **(options or {})},
    )  # fmt: skip
    return path.read_bytes()


def flip(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def test_a_whole_file_is_intact_to_its_end(tmp_path: Path) -> None:
    data = write_ffv1(tmp_path / "a.mkv")
    ends = list(intact_elements(tmp_path / "a.mkv"))
    assert ends == sorted(ends)
    assert ends[-1] == len(data)


def test_no_bit_of_a_frame_can_change_unnoticed(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "a.mkv"
    data = write_ffv1(path)
    with av.open(str(path)) as container:
        spans = [(p.pos, p.pos + p.size) for p in container.demux(video=0) if p.size]
    for start, stop in spans:
        for _ in range(20):
            path.write_bytes(flip(data, int(rng.integers(start, stop)), int(rng.integers(8))))
            ends: list[int] = []
            with pytest.raises(SourceError, match=r"the Cluster at byte \d+ of .* is damaged"):
                ends.extend(intact_elements(path))


def test_a_file_that_lost_its_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    data = write_ffv1(path)
    for length in range(100, len(data), 37):
        path.write_bytes(data[:length])
        with pytest.raises(SourceError, match=f"expected {len(data)} bytes .* got {length}; its"):
            next(intact_elements(path))


def unfinished(data: bytes) -> bytes:
    """As a killed writer leaves it: the segment's size is unknown."""
    at = data.index(b"\x18\x53\x80\x67") + 4
    return data[:at] + b"\x01" + b"\xff" * 7 + data[at + 8 :]


def test_a_killed_writers_file_is_checked_as_far_as_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    data = unfinished(write_ffv1(path))
    path.write_bytes(data)
    *_, before, end = intact_elements(path)
    assert end == len(data)
    path.write_bytes(data[:-1])
    assert list(intact_elements(path))[-1] == before
    path.write_bytes(data[: before - 100])
    assert list(intact_elements(path))[-1] <= before - 100


@pytest.mark.parametrize(
    ("make", "reads"),
    [
        (lambda path: write_clip(path, container_format="mp4"), 0),
        (lambda path: path.write_bytes(b""), 0),
        (lambda path: path.write_bytes(b"\x1a\x45\xdf\xa3\x84abcd\x18\x53\x80\x67"), 0),
    ],
)
def test_other_files_are_left_alone(
    make: Callable[[Path], object], reads: int, tmp_path: Path
) -> None:
    make(tmp_path / "a")
    assert len(list(intact_elements(tmp_path / "a"))) == reads


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x1a\x45\xdf\xa3", "the beginning of .* is damaged"),
        (b"\x1a\x45\xdf\xa3" + b"\xff" * 60, "the beginning of .* is damaged"),
        (b"\x1a\x45\xdf\xa3\x84abcd" + b"\x99" * 60, "the beginning of .* is damaged"),
        (b"\x1a\x45\xdf\xa3\x84abcd\x18\x53\x80\x67\xff" + b"\x99" * 60, "the element at byte 14"),
    ],
)
def test_what_ffmpeg_would_skip_to_find_frames_is_damage(
    data: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.mkv").write_bytes(data)
    with pytest.raises(SourceError, match=message):
        list(intact_elements(tmp_path / "a.mkv"))


def test_elements_without_a_crc_pass(tmp_path: Path) -> None:
    data = write_ffv1(tmp_path / "a.mkv", {"write_crc32": "0"})
    assert list(intact_elements(tmp_path / "a.mkv"))[-1] == len(data)


def test_absurd_sizes_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    head = b"\x1a\x45\xdf\xa3\x84abcd\x18\x53\x80\x67\x01" + b"\xff" * 7
    path.write_bytes(head + b"\x1f\x43\xb6\x75\x01" + b"\x7f" * 7 + bytes(50))
    assert list(intact_elements(path)) == []  # taken for the rest of a killed writer's cluster
    path.write_bytes(
        head[:-8] + b"\x10" + bytes(2) + b"\x20" + b"\x1f\x43\xb6\x75\x08" + b"\x7f" * 40
    )
    with pytest.raises(SourceError, match=r"the Cluster at byte 17 of .* is damaged"):
        list(intact_elements(path))


def test_a_frame_comes_from_what_is_already_checked(tmp_path: Path) -> None:
    # `read_labels` checks up to where a packet begins; its cluster must end behind it.
    path = tmp_path / "a.mkv"
    write_ffv1(path)
    ends = list(intact_elements(path))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    for packet in packets:
        assert packet.pos is not None
        end = next(end for end in ends if end > packet.pos)
        assert end >= packet.pos + packet.size
