"""Damage: what ffmpeg can decode of a broken file is processed, and what is broken is counted and told."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import SMALL
from fakes import fake_segmenter
from video import goldens
from video.clips import WHOLE, Clips

from streamseg.cli import main
from streamseg.errors import SourceError

pytestmark = pytest.mark.needs_ffmpeg
Packet = tuple[int, int]
"""Where a packet of the video lies in its file, and how long it is, in bytes."""


def flipped(data: bytes, packets: list[Packet]) -> bytes:
    """Sixteen bytes in each of three packets are others."""
    broken = bytearray(data)
    for index in (5, 18, 33):
        at, size = packets[index]
        for byte in range(at + min(size // 2, 80), at + min(size // 2, 80) + 16):
            broken[byte] ^= 0xA5
    return bytes(broken)


def zeroed(data: bytes, packets: list[Packet]) -> bytes:
    """A codec keyframe, which others refer to, is there by its length alone."""
    at, size = packets[12]
    return data[: at + 8] + bytes(size - 10) + data[at + size - 2 :]


def lost(data: bytes, packets: list[Packet]) -> bytes:
    """A packet that others refer to is not there at all (of MPEG-TS: nothing of it)."""
    return data[: packets[13][0]] + data[packets[14][0] :]


def cut(data: bytes, packets: list[Packet]) -> bytes:
    """The last third is missing."""
    return data[: len(data) * 2 // 3]


def garbage(data: bytes, packets: list[Packet]) -> bytes:
    """A thousand bytes of something else between two packets. In an mp4 all that follows is then not
    where its index says.
    """
    at = packets[20][0]
    return data[:at] + bytes(k * k % 251 for k in range(1000)) + data[at:]


CASES = [
    *((name, damage) for name in WHOLE for damage in (flipped, cut, garbage)),
    *((name, zeroed) for name in WHOLE if not name.endswith("ts")),
    *((name, lost) for name in WHOLE if name.endswith("ts")),
]


@dataclass(frozen=True)
class Verdict:
    """What ffmpeg says of a file.

    Attributes:
        num_frames: that it decodes.
        num_corrupt: that it calls corrupt.
        log: its warnings, empty for a file in which it saw nothing wrong.
    """

    num_frames: int
    num_corrupt: int
    log: str


def verdict(path: Path) -> Verdict:
    words = "ffmpeg -v warning -threads 1 -i FILE -map 0:v:0 -fps_mode passthrough -f framemd5 -"
    done = subprocess.run(
        [str(path) if word == "FILE" else word for word in words.split()],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    frames = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    return Verdict(len(frames), done.stderr.count("corrupt decoded frame"), done.stderr)


@pytest.fixture
def broken(clips: Clips, tmp_path: Path) -> Callable[..., Path]:
    """`broken("whole.mkv", cut)`: a damaged copy of a clip of fifty frames."""

    def make(name: str, damage: Callable[[bytes, list[Packet]], bytes]) -> Path:
        keys = "packet=pos,size"
        listed = goldens.probe(clips(name), "-select_streams", "v:0", "-show_entries", keys)
        packets = [(int(packet["pos"]), int(packet["size"])) for packet in listed["packets"]]
        path = tmp_path / f"{damage.__name__}{Path(name).suffix}"
        path.write_bytes(damage(clips(name).read_bytes(), packets))
        return path

    return make


def process(path: Path, out: Path, **options: Any) -> dict[str, int]:
    """The report's count of frames."""
    frames: dict[str, int] = fake_segmenter().run(path, out, **options).finish()["frames"]
    return frames


@pytest.mark.parametrize(("name", "damage"), CASES)
def test_all_that_ffmpeg_decodes_is_processed_and_all_that_it_complains_of_is_told(
    name: str, damage: Any, broken: Any, tmp_path: Path
) -> None:
    path = broken(name, damage)
    seen = verdict(path)
    assert seen.num_frames > 15
    stream = fake_segmenter().run(path, tmp_path / "out.mkv")
    told, flags = "", []
    try:
        for result in stream:
            flags.append(result.corrupt)
    except SourceError as error:
        told = str(error)
        assert "\n" not in told
    frames = stream.report()["frames"]
    assert frames["decoded"] == frames["written"] == len(goldens.frames(tmp_path / "out.mkv"))
    assert frames["decoded"] >= seen.num_frames
    assert frames["corrupt"] >= max(sum(flags), seen.num_corrupt)
    gaps = [note for note in stream.report()["fallbacks"] if "gaps of" in note]
    assert told or gaps or frames["corrupt"] or not seen.log, seen.log


@pytest.mark.parametrize("name", ["whole.mkv", "whole.mp4", "vp9.webm"])
def test_a_missing_end_is_an_error_behind_what_could_be_processed(
    name: str, broken: Any, tmp_path: Path
) -> None:
    path, out = broken(name, cut), tmp_path / "out.mkv"
    with pytest.raises(
        SourceError, match=rf"{path} is cut short: its header promises .* processed"
    ):
        process(path, out)
    assert len(goldens.frames(out)) >= verdict(path).num_frames


@pytest.mark.parametrize("name", ["mpeg2.ts", "whole.mkv"])
def test_damaged_frames_are_kept_skipped_or_the_end(name: str, broken: Any, tmp_path: Path) -> None:
    path = broken(name, flipped)
    kept = process(path, tmp_path / "keep.mkv", on_corrupt="keep")
    skipped = process(path, tmp_path / "skip.mkv", on_corrupt="skip")
    assert kept["written"] == 50
    assert 1 <= kept["corrupt"] == skipped["corrupt"] <= 20
    assert skipped["written"] == 50 - kept["corrupt"]
    everything = goldens.timing(tmp_path / "keep.mkv").times
    rest = goldens.timing(tmp_path / "skip.mkv").times
    assert set(rest) < set(everything)
    first = min(set(everything) - set(rest))
    with pytest.raises(SourceError, match=r"damaged .* of .*flipped.*--on-corrupt"):
        process(path, tmp_path / "stop.mkv", on_corrupt="stop")
    before = goldens.timing(tmp_path / "stop.mkv").times
    assert before == [time for time in everything if time < first]


def test_undamaged_frames_are_the_pictures_they_were(
    clips: Clips, broken: Any, tmp_path: Path
) -> None:
    """Damage reaches no further than the next codec keyframe."""
    path, out = broken("mpeg2.ts", flipped), tmp_path / "out.mkv"
    process(path, out, alpha=0.0)
    for index in (3, 49):
        same = goldens.rgb(clips("mpeg2.ts"), "null", index)
        assert abs(goldens.rgb(out, "null", index) - same).mean() < 6


def test_the_command_line_says_it_in_one_line(broken: Any, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out.mp4"
    path = broken("whole.mkv", cut)
    assert main(["run", str(path), "-o", str(out), *SMALL.split()]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"streamseg: error: {path} is cut short")
    assert len(goldens.frames(out)) >= verdict(path).num_frames
