"""One output video, read back: times, geometry, colours, and what is there after a kill."""

import json
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from fakes import FakeSource
from media import picture, video_times

from streamseg.errors import SinkError
from streamseg.picture.format import PictureFormat, color_tags, format_of
from streamseg.picture.orientation import from_matrix
from streamseg.picture.planes import plane_view
from streamseg.reading.read_labels import read_labels
from streamseg.reading.source import SourceInfo
from streamseg.writing.encoders import ENCODERS, Encoding, choose_encoding
from streamseg.writing.partial import part_path
from streamseg.writing.video_writer import VideoWriter

LABELS = Encoding(codec="ffv1", options={"level": "3"}, pix_fmt="gray")
ONE = 1 << 16
ALL = [(s, w) for w, row in ENCODERS.items() for s in row.suffixes]
TAGGED = (1, 1, 1, 1)


def frame(
    index: int,
    size: tuple[int, int] = (48, 64),
    *,
    pix_fmt: str = "yuv420p",
    tags: tuple[int, int, int, int] = TAGGED,
    pts: int | None = None,
    duration: int = 1,
    time_base: Fraction = Fraction(1, 25),
) -> av.VideoFrame:
    """A smooth picture, `media.picture`, as a painter delivers it."""
    rgb = av.VideoFrame.from_ndarray(picture(index, size), "rgb24")
    matrix = {1: "ITU709", 9: "BT2020"}.get(tags[0], "ITU601")
    made = rgb.reformat(
        format=pix_fmt, dst_colorspace=matrix, dst_color_range="JPEG" if tags[1] == 2 else "MPEG"
    )
    made.colorspace, made.color_range, made.color_primaries, made.color_trc = tags
    made.pts, made.time_base = index if pts is None else pts, time_base
    made.duration = duration
    return made


def info_of(first: av.VideoFrame, **changes: Any) -> SourceInfo:
    """As a source would describe itself whose frames are like `first`."""
    format = changes.pop("format", None) or format_of(first)
    return replace(
        FakeSource().info,
        format=format,
        size=format.orientation.size(format.size),
        time_base=first.time_base,
        **changes,
    )


def write(
    path: Path, frames: Sequence[av.VideoFrame], encoder: str = "auto", **changes: Any
) -> list[str]:
    """Write frames and return the notes."""
    info = info_of(frames[0], **changes)
    writer = VideoWriter(path, info, choose_encoding(path.suffix, info.format, encoder=encoder))
    for image in frames:
        writer.write(image)
    writer.close()
    return writer.notes


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def boxes(path: Path) -> list[str]:
    """Types of an mp4's boxes at the top level."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        found.append(name.decode())
        at += length if length > 1 else struct.unpack_from(">Q", data, at + 8)[0]
    return found


# ---- times


VARIABLE = [0, 700, 1500, 4000, 4100, 9000]
DURATIONS = [700, 800, 2500, 100, 4900, 2000]


@pytest.mark.parametrize("start", [0, 6400, 123450])
@pytest.mark.parametrize(("suffix", "encoder"), [e for e in ALL if e[0] not in (".avi", ".gif")])
def test_pts_durations_and_the_start_are_kept(
    suffix: str, encoder: str, start: int, tmp_path: Path
) -> None:
    unit = Fraction(1, 12800)
    frames = [
        frame(k, pts=start + pts, duration=length, time_base=unit)
        for k, (pts, length) in enumerate(zip(VARIABLE, DURATIONS, strict=True))
    ]
    out = tmp_path / f"out{suffix}"
    assert write(out, frames, encoder) == []
    exact = 1e-9 if suffix in (".mp4", ".mov") else 0.00051  # Matroska counts milliseconds
    assert [t for t, _ in video_times(out)] == pytest.approx(
        [(start + p) / 12800 for p in VARIABLE], abs=exact
    )
    with av.open(str(out)) as container:
        # FFmpeg counts an mp4's length from its first frame, Matroska's from 0.
        counted = 0 if suffix in (".mp4", ".mov") else start
        assert container.duration / av.time_base == pytest.approx(
            (counted + 11000) / 12800, abs=0.001
        )


def test_frames_come_back_as_they_were(tmp_path: Path) -> None:
    image = frame(0, pts=7, duration=3)
    image.pict_type = 1
    info = info_of(image, rate=Fraction(10))
    writer = VideoWriter(tmp_path / "out.avi", info, choose_encoding(".avi", info.format))
    writer.write(image)
    writer.close()
    assert (image.pts, image.duration, image.time_base) == (7, 3, Fraction(1, 25))
    assert image.pict_type == 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_before_zero_move_the_whole_file_and_are_told(suffix: str, tmp_path: Path) -> None:
    notes = write(tmp_path / f"out{suffix}", [frame(k, pts=k - 5) for k in range(10)])
    assert [time for time, _ in video_times(tmp_path / f"out{suffix}")] == pytest.approx(
        [k / 25 for k in range(10)]
    )
    assert notes == [
        f"first frame of out{suffix} at -0.200 s kept, shown at 0 s, {suffix} has no time before"
    ]


@pytest.mark.parametrize(
    ("rate", "unit"),
    [(Fraction(30000, 1001), Fraction(1, 90000)), (Fraction(25), Fraction(1, 1_000_000))],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_mpeg4_whose_units_are_coarse_holds_constant_rates(
    suffix: str, rate: Fraction, unit: Fraction, tmp_path: Path
) -> None:
    step = round(1 / rate / unit)
    frames = [
        frame(k, tags=(6, 1, 6, 6), pts=k * step, duration=step, time_base=unit) for k in range(10)
    ]
    out = tmp_path / f"out{suffix}"
    assert write(out, frames, "mpeg4", rate=rate) == []
    exact = 0.00051 if suffix == ".mkv" else 1e-9
    assert [t for t, _ in video_times(out)] == pytest.approx(
        [k / float(rate) for k in range(10)], abs=exact
    )


def test_a_gif_shows_every_picture_for_its_time(tmp_path: Path) -> None:
    out = tmp_path / "out.gif"
    frames = [frame(k, pts=p, time_base=Fraction(1, 100)) for k, p in enumerate((0, 4, 10, 40, 44))]
    assert write(out, frames, rate=Fraction(25)) == []
    assert [time for time, _ in video_times(out)] == pytest.approx([0, 0.04, 0.1, 0.4, 0.44])


def test_a_gif_tells_which_times_it_moved_and_which_frames_it_left_out(tmp_path: Path) -> None:
    notes = write(tmp_path / "30.gif", [frame(k, time_base=Fraction(1, 30)) for k in range(30)])
    # Hundredths of a second hit every third frame.
    assert notes == [
        "20 timestamps of 30.gif asked for, moved to the next free ones, .gif needs increasing "
        "multiples of 1/100 s"
    ]
    assert len(video_times(tmp_path / "30.gif")) == 30
    notes = write(tmp_path / "60.gif", [frame(k, time_base=Fraction(1, 60)) for k in range(60)])
    assert notes[-1] == "10 frames of 60.gif kept, left out, .gif shows at most 50 a second"
    times = [time for time, _ in video_times(tmp_path / "60.gif")]
    assert len(times) == 50 and np.diff(times).min() > 0.019
    assert times[-1] == pytest.approx(59 / 60, abs=0.011)


# ---- what lies in the file


@pytest.mark.parametrize(
    ("suffix", "encoder"), [(".mp4", "h264"), (".mov", "hevc"), (".mp4", "av1")]
)
def test_a_finished_mp4_is_an_ordinary_one_that_seeks(
    suffix: str, encoder: str, tmp_path: Path
) -> None:
    out = tmp_path / f"out{suffix}"
    write(out, [frame(k) for k in range(60)], encoder)
    assert set(boxes(out)) <= {"ftyp", "free", "wide", "mdat", "moov"}
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.duration * stream.time_base) == (60, Fraction(60, 25))
        assert container.duration == 60 * 40_000
        container.seek(int(1.6 / stream.time_base), stream=stream)
        first = next(frame for frame in container.decode(stream) if frame.time >= 1.6 - 1e-9)
        assert first.time == pytest.approx(1.6)


@pytest.mark.parametrize(("suffix", "encoder"), ALL)
def test_a_copy_taken_at_any_moment_plays_and_lacks_less_than_two_seconds(
    suffix: str, encoder: str, tmp_path: Path
) -> None:
    # What lies on the disk while the process runs is what a kill would leave.
    first = frame(0)
    info = info_of(first)
    writer = VideoWriter(
        tmp_path / f"out{suffix}", info, choose_encoding(suffix, info.format, encoder=encoder)
    )
    for index in range(100):
        writer.write(frame(index % 10, pts=12 + index))
        if index in (49, 77, 99):
            copy = shutil.copy(writer.part, tmp_path / f"{index}{suffix}")
            images = decoded(Path(copy))
            assert index + 1 - 50 < len(images) <= index + 1
            if suffix not in (".avi", ".gif"):
                assert images[0].time == pytest.approx(0.48)
    writer.close()
    assert len(decoded(writer.path)) == 100


def test_the_part_is_visible_and_ends_as_the_whole_does(tmp_path: Path) -> None:
    assert part_path(Path("a/b.c.mp4")) == Path("a/b.c.part.mp4")
    info = info_of(frame(0))
    writer = VideoWriter(tmp_path / "out.mkv", info, choose_encoding(".mkv", info.format))
    writer.write(frame(0))
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.part.mkv"]
    writer.close()
    writer.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mkv"]


# ---- geometry


MATRICES = {
    "90": (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30),
    "180": (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
    "270": (0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
    "mirrored": (-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30),
    "flipped": (ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
    "transposed": (0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
    "transversed": (0, -ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30),
}


def turned(image: av.VideoFrame, matrix: Sequence[int]) -> PictureFormat:
    return replace(format_of(image), orientation=from_matrix(tuple(matrix)))


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_a_display_matrix_is_written_where_there_is_a_place(
    suffix: str, name: str, tmp_path: Path
) -> None:
    image = frame(0)
    assert write(tmp_path / f"out{suffix}", [image], format=turned(image, MATRICES[name])) == []
    (back,) = decoded(tmp_path / f"out{suffix}")
    assert (back.height, back.width) == (48, 64)
    assert format_of(back).orientation == from_matrix(MATRICES[name])


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("suffix", [".avi", ".gif"])
def test_pictures_are_turned_where_there_is_none(suffix: str, name: str, tmp_path: Path) -> None:
    image = frame(0, tags=(6, 1, 6, 6))
    format = turned(image, MATRICES[name])
    assert write(tmp_path / f"out{suffix}", [image], format=format) == []
    (back,) = decoded(tmp_path / f"out{suffix}")
    wanted = format.orientation.upright(image.to_ndarray(format="gray")).astype(int)
    assert np.abs(back.to_ndarray(format="gray") - wanted).mean() < 6
    assert format_of(back).orientation.upright_already


@pytest.mark.parametrize(("suffix", "encoder"), ALL)
def test_the_shape_of_pixels_is_kept_or_told(suffix: str, encoder: str, tmp_path: Path) -> None:
    image = frame(0)
    format = replace(format_of(image), sample_aspect_ratio=Fraction(4, 3))
    notes = write(tmp_path / f"out{suffix}", [image], encoder, format=format)
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        aspect = container.streams.video[0].sample_aspect_ratio or Fraction(1)
    told = [note for note in notes if note.startswith("pixels of 4:3")]
    assert (float(aspect) == pytest.approx(4 / 3, abs=0.01)) != bool(told)


def test_a_turned_picture_has_its_pixels_turned_too(tmp_path: Path) -> None:
    image = frame(0)
    format = replace(turned(image, MATRICES["90"]), sample_aspect_ratio=Fraction(4, 3))
    write(tmp_path / "out.avi", [image], "h264", format=format)
    with av.open(str(tmp_path / "out.avi")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == (64, 48)
        assert stream.sample_aspect_ratio == Fraction(3, 4)


@pytest.mark.parametrize(("suffix", "encoder"), ALL)
def test_odd_sizes_are_written_everywhere(suffix: str, encoder: str, tmp_path: Path) -> None:
    image = frame(0, (33, 65), tags=(6, 1, 6, 6))
    notes = write(tmp_path / f"out{suffix}", [image], encoder)
    (back,) = decoded(tmp_path / f"out{suffix}")
    even = encoder in ("h264", "hevc")
    assert (back.height, back.width) == ((34, 66) if even else (33, 65))
    luma = back.to_ndarray(format="gray").astype(int)
    assert np.abs(luma[:33, :65] - image.to_ndarray(format="gray")).mean() < 6
    assert np.abs(luma[-1] - luma[32]).mean() < 6
    assert len(notes) == even
    assert not even or "at 33x65 asked for, 34x66 written" in notes[0]


@pytest.mark.parametrize("encoder", ["h264", "hevc", "av1"])
def test_tiny_pictures_are_enlarged_to_what_the_encoder_takes(encoder: str, tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", [frame(0, (1, 3))], encoder)
    (back,) = decoded(tmp_path / "out.mp4")
    least = {"h264": 2, "hevc": 16, "av1": 4}[encoder]
    assert back.height == least


def test_other_sizes_are_rescaled_and_told(tmp_path: Path) -> None:
    notes = write(tmp_path / "out.mp4", [frame(0), frame(1, (96, 128)), frame(2)])
    images = decoded(tmp_path / "out.mp4")
    assert {(image.height, image.width) for image in images} == {(48, 64)}
    wanted = frame(1).to_ndarray(format="gray").astype(int)
    assert np.abs(images[1].to_ndarray(format="gray") - wanted).mean() < 6
    assert notes == [
        "1 frames of out.mp4 at their own size asked for, rescaled to 48x64, a video has one size"
    ]


def test_label_maps_are_upright_and_exact_and_rescaled_by_nearest_neighbour(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    info = info_of(frame(0), format=turned(frame(0), MATRICES["90"]))
    maps = [rng.integers(0, 256, size, np.uint8) for size in [(64, 48), (128, 96), (64, 48)]]
    writer = VideoWriter(tmp_path / "out.mkv", info, LABELS)
    for index, labels in enumerate(maps):
        gray = av.VideoFrame.from_ndarray(labels, "gray")
        gray.pts, gray.time_base = index, Fraction(1, 25)
        writer.write(gray)
    writer.close()
    back = list(read_labels(tmp_path / "out.mkv"))
    assert np.array_equal(back[0], maps[0]) and np.array_equal(back[2], maps[2])
    assert np.array_equal(back[1], maps[1][1::2, 1::2])
    assert format_of(decoded(tmp_path / "out.mkv")[0]).orientation.upright_already


# ---- colours


UNTAGGED = [(".avi", "mpeg4"), (".avi", "ffv1"), (".gif", "gif")]


@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (6, 2, 6, 6), (9, 1, 9, 16), (9, 2, 9, 18)])
@pytest.mark.parametrize(("suffix", "encoder"), [e for e in ALL if e not in UNTAGGED])
def test_all_four_tags_are_kept(
    suffix: str, encoder: str, tags: tuple[int, int, int, int], tmp_path: Path
) -> None:
    image = frame(0, tags=tags)
    write(tmp_path / f"out{suffix}", [image], encoder)
    (back,) = decoded(tmp_path / f"out{suffix}")
    if (suffix, encoder) == (".mov", "mpeg4"):  # the one that has no place for the range
        assert color_tags(back)[0::2] == tags[0::2]
        return
    assert color_tags(back) == tags
    assert np.abs(back.to_ndarray(format="yuv420p").astype(int) - image.to_ndarray()).mean() < 6


def seen(image: av.VideoFrame, tags: tuple[int, int, int, int]) -> Any:
    """RGB as a player shows it that goes by these tags."""
    matrix = {1: "ITU709", 9: "BT2020"}.get(tags[0], "ITU601")
    levels = "JPEG" if tags[1] == 2 else "MPEG"
    return image.to_ndarray(format="rgb24", src_colorspace=matrix, src_color_range=levels)


@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (6, 2, 6, 6), (1, 2, 1, 1)])
@pytest.mark.parametrize(("suffix", "encoder"), [*UNTAGGED[:2], (".mov", "mpeg4")])
def test_colours_that_cannot_be_tagged_are_made_what_players_guess(
    suffix: str, encoder: str, tags: tuple[int, int, int, int], tmp_path: Path
) -> None:
    image = frame(3, tags=tags)
    notes = write(tmp_path / f"out{suffix}", [image], encoder)
    (back,) = decoded(tmp_path / f"out{suffix}")
    guessed = (back.colorspace if suffix == ".mov" else 6, 1, 2, 2)
    difference = np.abs(seen(back, guessed).astype(int) - seen(image, tags)).mean()
    assert difference < 3
    assert [note for note in notes if "cannot tag them" in note] or tags[1] == 1


def test_a_gif_has_the_colours_of_the_video(tmp_path: Path) -> None:
    image = frame(3, tags=(1, 2, 1, 1))
    write(tmp_path / "out.gif", [image])
    (back,) = decoded(tmp_path / "out.gif")
    difference = back.to_ndarray(format="rgb24").astype(int) - seen(image, (1, 2, 1, 1))
    assert np.abs(difference.mean((0, 1))).max() < 1.5  # what is left is the dither
    assert np.abs(difference).mean() < 8


@pytest.mark.parametrize("encoder", ["hevc", "av1", "ffv1"])
def test_ten_bits_stay_ten(encoder: str, tmp_path: Path) -> None:
    image = frame(0, pix_fmt="yuv420p10le", tags=(9, 1, 9, 16))
    write(tmp_path / "out.mkv", [image], encoder)
    (back,) = decoded(tmp_path / "out.mkv")
    assert back.format.name == "yuv420p10le"
    planes = [plane_view(entry.planes[0], np.uint16).astype(int) for entry in (image, back)]
    assert np.abs(planes[0] - planes[1]).mean() < (1e-9 if encoder == "ffv1" else 8)


def mastered(tmp_path: Path) -> av.VideoFrame:
    """A decoded frame with HDR metadata, made by libx265 itself."""
    params = (
        "log-level=none:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
        "L(10000000,50):max-cll=1000,400"
    )
    path = tmp_path / "mastered.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx265", rate=25, options={"x265-params": params})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p10le"
        stream.codec_context.color_trc = 16
        container.mux(stream.encode(frame(0, pix_fmt="yuv420p10le", tags=(9, 1, 9, 16))))
        container.mux(stream.encode(None))
    return decoded(path)[0]


def mastering(image: av.VideoFrame) -> tuple[list[float], tuple[int, ...]]:
    entries: Any = image.side_data
    display = struct.unpack("=22i", bytes(entries[Type.MASTERING_DISPLAY_METADATA])[:88])
    light = struct.unpack("=2I", bytes(entries[Type.CONTENT_LIGHT_LEVEL])[:8])
    return [a / b for a, b in zip(display[0:20:2], display[1:20:2], strict=True)], light


@pytest.mark.parametrize("encoder", ["hevc", "av1", "ffv1", "h264"])
def test_hdr_mastering_metadata_is_carried_or_told(encoder: str, tmp_path: Path) -> None:
    source = mastered(tmp_path)
    image = frame(0, pix_fmt="yuv420p10le", tags=(9, 1, 9, 16))
    info = info_of(image)
    told = format_of(source)
    light = {"mastering_display": told.mastering_display, "content_light": told.content_light}
    info = replace(info, format=replace(info.format, **light))
    encoding = choose_encoding(".mkv", info.format, encoder=encoder)
    writer = VideoWriter(tmp_path / "out.mkv", info, encoding)
    writer.write(image)
    writer.close()
    (back,) = decoded(tmp_path / "out.mkv")
    if encoder in ("hevc", "av1"):
        wanted, got = mastering(source), mastering(back)
        assert got[0] == pytest.approx(wanted[0], rel=1e-3)
        assert got[1] == wanted[1]
        assert writer.notes == []
    elif encoder == "ffv1":
        assert writer.notes[0].startswith("HDR mastering metadata kept, left out, ")
    else:  # the picture is no HDR any more, as the encoding's own note says
        assert writer.notes == []


# ---- by other eyes


@pytest.mark.needs_ffmpeg
@pytest.mark.parametrize(
    ("suffix", "encoder"), [(".mp4", "hevc"), (".mov", "hevc"), (".mkv", "h264")]
)
def test_ffprobe_sees_the_same(suffix: str, encoder: str, tmp_path: Path) -> None:
    image = frame(0, pix_fmt="yuv420p10le", tags=(9, 1, 9, 18))
    format = replace(turned(image, MATRICES["270"]), sample_aspect_ratio=Fraction(4, 3))
    frames = [frame(k, pix_fmt="yuv420p10le", tags=(9, 1, 9, 18), pts=10 + k) for k in range(30)]
    out = tmp_path / f"out{suffix}"
    write(out, frames, encoder, format=format)
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(out)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=20)
    (stream,) = json.loads(done.stdout)["streams"]
    assert done.stderr == b""
    assert int(stream["nb_read_frames"]) == 30
    assert float(stream["start_time"]) == pytest.approx(0.4)
    assert stream["sample_aspect_ratio"] == "4:3"
    assert stream["side_data_list"][-1]["rotation"] == round(format.orientation.degrees)
    assert (stream["color_range"], stream["color_space"]) == ("tv", "bt2020nc")
    assert (stream["color_transfer"], stream["color_primaries"]) == ("arib-std-b67", "bt2020")
    if suffix != ".mkv":
        assert (stream["codec_tag_string"], stream["profile"]) == ("hvc1", "Main 10")


# ---- errors


def test_an_encoder_that_refuses_the_pictures_says_so(tmp_path: Path) -> None:
    image = frame(0)
    info = info_of(image)
    encoding = replace(choose_encoding(".mp4", info.format), options={"preset": "swift"})
    writer = VideoWriter(tmp_path / "out.mp4", info, encoding)
    with pytest.raises(
        SinkError, match="after 0 frames: the encoder libx264 refuses 48x64 yuv420p"
    ):
        writer.write(image)
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_made_is_told_with_the_first_frame(tmp_path: Path) -> None:
    info = info_of(frame(0))
    writer = VideoWriter(tmp_path / "gone" / "out.mkv", info, choose_encoding(".mkv", info.format))
    with pytest.raises(
        SinkError, match=r"out\.mkv failed after 0 frames: No such file or directory$"
    ):
        writer.write(frame(0))
    writer.close()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_what_was_written_before_an_error_stays_playable(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = info_of(frame(0))
    writer = VideoWriter(tmp_path / f"out{suffix}", info, choose_encoding(suffix, info.format))
    for index in range(30):
        writer.write(frame(index))

    def full(*_: Any) -> None:
        raise av.error.OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "_mux_picture", full)
        with pytest.raises(SinkError) as caught:
            writer.write(frame(30))
    assert str(caught.value) == (
        f"writing {writer.path} failed after 30 frames: No space left on device; "
        f"the unfinished file is {writer.part}"
    )
    writer.close()
    writer.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [f"out.part{suffix}"]
    assert len(decoded(writer.part)) >= 25
