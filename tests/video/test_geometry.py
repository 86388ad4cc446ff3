"""Geometry: upright for the network, as stored for the player."""

import av
import numpy as np
import pytest
from fakes import fake_segmenter
from video import goldens
from video.clips import MIRRORED, Clips
from video.conftest import Run
from video.seen import assert_same, by_network, by_user, frame_of

pytestmark = pytest.mark.needs_ffmpeg

ROTATED = ("rotated-90.mp4", "rotated-180.mp4", "rotated-270.mp4")
TURNED = (*ROTATED, "rotated-90.mov", *MIRRORED)


def upright_size(name: str) -> tuple[int, int]:
    return (128, 96) if "90" in name or "270" in name else (96, 128)


@pytest.mark.parametrize("name", TURNED)
def test_the_network_sees_what_ffmpeg_turns_upright(name: str, clips: Clips) -> None:
    path = clips(name)
    wanted = goldens.shown(path)
    assert wanted.shape == (*upright_size(name), 3)
    frame = frame_of(path)
    assert_same(by_network(frame), wanted)
    assert_same(by_user(frame), wanted)


def test_no_turn_looks_like_another(clips: Clips) -> None:
    """The goldens can tell."""
    names = ("upright.mp4", *(name for name in TURNED if name.endswith("mp4")))
    pictures = [goldens.shown(clips(name)) for name in names]
    for index, one in enumerate(pictures):
        for other in pictures[index + 1 :]:
            assert one.shape != other.shape or np.abs(one - other).mean() > 10


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *((name, ".mp4") for name in TURNED),
        *((name, ".mov") for name in ("rotated-270.mp4", "mirrored-90.mp4")),
    ],
)
def test_label_maps_are_upright_and_the_output_turns_as_the_input(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    source, (out, report) = clips(name), run(name, suffix, alpha=0.0)
    with fake_segmenter().stream(source, limit=2) as stream:
        assert {result.labels.shape for result in stream} == {upright_size(name)}
    assert goldens.display_matrix(out) == goldens.display_matrix(source) is not None
    stored = goldens.video(out)
    assert (stored["height"], stored["width"]) == (96, 128) == tuple(report["video"]["size"])
    assert report["fallbacks"] == ["a, b, because"]
    assert_same(goldens.shown(out), goldens.shown(source))


@pytest.mark.parametrize("name", ROTATED)
def test_the_report_has_the_rotation_of_ffprobe(name: str, clips: Clips, run: Run) -> None:
    (data,) = goldens.video(clips(name))["side_data_list"]
    rotation = run(name, ".mp4", alpha=0.0).report["video"]["rotation"]
    assert abs(rotation) == abs(data["rotation"])
    assert (rotation - data["rotation"]) % 360 == 0


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
@pytest.mark.parametrize("name", ["rotated-90.mp4", "rotated-180.mp4", "mirrored.mp4"])
def test_where_no_matrix_fits_the_picture_is_upright_or_the_report_says_so(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    """ffprobe 5.1 reads no turn from Matroska, FFmpeg 8 (in PyAV) does."""
    source, (out, report) = clips(name), run(name, suffix, alpha=0.0)
    with av.open(str(source)) as before, av.open(str(out)) as after:
        wanted, got = (next(file.decode(video=0)).rotation for file in (before, after))
    if not [note for note in report["fallbacks"] if out.name in note]:
        assert got == wanted
        assert_same(by_network(frame_of(out)), goldens.shown(source))


@pytest.mark.parametrize("suffix", [".avi", ".gif"])
def test_containers_without_turns_hold_upright_pictures(
    suffix: str, clips: Clips, run: Run
) -> None:
    out = run("rotated-90.mp4", suffix, alpha=0.0).out
    assert_same(goldens.shown(out), goldens.shown(clips("rotated-90.mp4")))


ODD = ("odd-420.mkv", "odd-422.mkv", "odd-444.mp4", "odd-vp9.webm", "tiny.mkv")
ODD_RUNS = [
    *((name, suffix) for name in ODD for suffix in (".mp4", ".webm")),
    *(("odd-444.mp4", suffix) for suffix in (".mov", ".mkv", ".avi", ".gif")),
]


@pytest.mark.parametrize(("name", "suffix"), ODD_RUNS)
def test_odd_sizes_are_kept_or_the_report_says_what_was_written(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    source, (out, report) = clips(name), run(name, suffix, save=("overlay", "labels"))
    before, after = goldens.video(source), goldens.video(out)
    size = before["height"], before["width"]
    written = after["height"], after["width"]
    told = [note for note in report["fallbacks"] if f"{written[0]}x{written[1]} written" in note]
    assert (written == size) != bool(told)
    assert all(0 <= grown - side <= 1 for grown, side in zip(written, size, strict=True))
    labels = goldens.video(out.with_name("out_labels.mkv"))
    assert (labels["height"], labels["width"]) == size
    assert len(goldens.frames(out)) == len(goldens.frames(source))


@pytest.mark.parametrize("name", ODD)
def test_the_network_sees_odd_sizes_right(name: str, clips: Clips) -> None:
    matrix = "bt709" if name == "odd-444.mp4" else "bt601"
    wanted = goldens.rgb(clips(name), goldens.ycbcr_to_rgb_of_odd_sizes(matrix))
    seen = by_network(frame_of(clips(name)))
    assert seen.shape == wanted.shape
    # In so few pixels it matters how halved chroma is interpolated; luma it does not touch.
    weights = [0.2126, 0.7152, 0.0722] if matrix == "bt709" else [0.299, 0.587, 0.114]
    assert np.abs(seen @ weights - wanted @ weights).mean() < 1.5


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *(("anamorphic.mp4", suffix) for suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi")),
        *((name, ".mp4") for name in ("anamorphic.mkv", "anamorphic.mpg")),
        ("anamorphic.mkv", ".mkv"),
    ],
)
def test_the_shape_of_pixels_is_kept(name: str, suffix: str, clips: Clips, run: Run) -> None:
    out, report = run(name, suffix)
    wanted = goldens.video(clips(name))["sample_aspect_ratio"]
    assert wanted in ("4:3", "64:45")
    assert report["video"]["sample_aspect_ratio"] == wanted
    told = [note for note in report["fallbacks"] if f"pixels of {wanted}" in note]
    if suffix == ".webm":  # VP9 has no place for it, and PyAV none to tell the container
        assert told
    else:
        assert goldens.video(out)["sample_aspect_ratio"] == wanted
        assert not told


@pytest.mark.parametrize("name", ["interlaced.ts", "interlaced.mp4"])
def test_interlaced_pictures_are_counted(name: str, clips: Clips, run: Run) -> None:
    frames = goldens.frames(clips(name))
    count = sum(frame["interlaced_frame"] for frame in frames)
    assert count == len(frames) > 0
    report = run(name, ".mp4").report
    assert report["frames"]["interlaced"] == count
    assert any("interlaced" in note for note in report["fallbacks"])
    assert run("25.mp4", ".mp4").report["frames"]["interlaced"] == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("name", ["growing.ts", "shrinking.ts"])
def test_a_new_size_in_mid_stream_goes_on_in_the_old_frame(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    source, (out, report) = clips(name), run(name, suffix, alpha=0.0)
    sizes = [(frame["height"], frame["width"]) for frame in goldens.frames(source)]
    height, width = sizes[0]
    others = sum(size != sizes[0] for size in sizes)
    assert others == 10
    with fake_segmenter().stream(source) as stream:
        assert [result.labels.shape for result in stream] == sizes
    assert {(frame["height"], frame["width"]) for frame in goldens.frames(out)} == {sizes[0]}
    assert len(goldens.frames(out)) == len(sizes)
    assert [note for note in report["fallbacks"] if note.startswith(f"{others} frames")]
    second = "larger.ts" if name == "growing.ts" else "small.ts"
    last = goldens.rgb(clips(second), f"scale={width}:{height}:flags=bilinear", 9)
    assert np.abs(goldens.rgb(out, "null", len(sizes) - 1) - last).mean() < 8
