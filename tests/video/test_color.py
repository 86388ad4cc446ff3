"""Colour: the network sees, and players of our output show, the RGB that ffmpeg makes of the input."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from video import goldens
from video.clips import GRADIENT, MATRICES, OTHER_COLOR, TAGGED, YCBCR, Clips
from video.conftest import Run
from video.seen import GREATEST_DIFFERENCE, assert_same, by_network, by_user, difference, frame_of

pytestmark = pytest.mark.needs_ffmpeg

AS_RGB = "format=rgb24"
"""swscale's own conversion: right for RGB, palettes and full-range gray, where there is no matrix."""

GOLDENS = {name: goldens.ycbcr_to_rgb(MATRICES[m][3], r) for name, (m, r, _) in YCBCR.items()}
GOLDENS |= {
    # As streamseg documents it, and most players do: BT.601 below 720 lines.
    "untagged-small.mkv": goldens.ycbcr_to_rgb("170m", "limited"),
    "untagged-large.mkv": goldens.ycbcr_to_rgb("709", "limited"),
    "nv12.nut": "format=yuv420p," + goldens.ycbcr_to_rgb("170m", "limited"),
    "yuyv.nut": "format=yuv422p," + goldens.ycbcr_to_rgb("170m", "limited"),
    "v210.mov": goldens.ycbcr_to_rgb("709", "limited"),
    "411.mkv": goldens.ycbcr_to_rgb("170m", "limited"),
    "440.mkv": goldens.ycbcr_to_rgb("170m", "limited"),
    "mjpeg.mov": goldens.ycbcr_to_rgb("170m", "full"),
    "h264-full.mp4": goldens.ycbcr_to_rgb("709", "full"),
    "16-bit.mkv": goldens.ycbcr_to_rgb("709", "limited"),
    # Alpha is ignored, not blended with anything.
    "alpha.mkv": "format=yuv420p," + goldens.ycbcr_to_rgb("709", "limited"),
    "prores4444.mov": "format=yuv444p10le," + goldens.ycbcr_to_rgb("709", "limited"),
    # swscale 5.1 takes all gray for full range, whatever its tag.
    "gray-limited.mkv": "zscale=rangein=limited:range=full,format=rgb24",
}


@cache
def original() -> NDArray[np.float64]:
    """The RGB picture that all these clips are made of."""
    raw = goldens.output(
        "ffmpeg", "-v", "error", "-f", "lavfi", "-i", GRADIENT, "-frames:v", "1", "-pix_fmt", "rgb24",
        "-f", "rawvideo", "-",
    )  # fmt: skip
    return np.frombuffer(raw, np.uint8).reshape(96, 128, 3).astype(np.float64)


def golden(path: Path) -> NDArray[np.float64]:
    """The first frame as ffmpeg makes it RGB."""
    return goldens.rgb(path, GOLDENS.get(path.name, AS_RGB))


@pytest.mark.parametrize("name", [*YCBCR, *OTHER_COLOR])
def test_network_and_user_see_the_rgb_that_ffmpeg_makes(name: str, clips: Clips) -> None:
    path = clips(name)
    if "gray" not in name and "large" not in name:  # and the golden is right
        assert difference(golden(path), original()).max() < 1
    frame = frame_of(path)
    assert frame.image.format.name in ("yuv420p", "yuvj420p")
    assert_same(by_network(frame), golden(path))
    assert_same(by_user(frame), golden(path))


@pytest.mark.parametrize("extent", ["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_no_other_matrix_or_range_would_pass(matrix: str, extent: str, clips: Clips) -> None:
    path = clips(f"{matrix}-{extent}-8-444.mkv")
    seen = by_network(frame_of(path))
    for other, (*_, zscale) in MATRICES.items():
        for range_ in ("limited", "full"):
            wrong = goldens.rgb(path, goldens.ycbcr_to_rgb(zscale, range_))
            right = (other, range_) == (matrix, extent)
            assert (difference(seen, wrong).max() <= GREATEST_DIFFERENCE) == right, (other, range_)


OUTPUTS = [
    *((name, ".mp4") for name in YCBCR if name.endswith(("-8-420.mkv", "-10-422.mkv", "-12-444.mkv"))),
    *((name, ".mp4") for name in OTHER_COLOR if name != "untagged-large.mkv"),
    *((name, ".mkv") for name in ("bt709-full-8-420.mkv", "bt2020-limited-10-420.mkv", "gbrp.mkv")),
    *((name, ".webm") for name in ("bt709-full-8-420.mkv", "bt2020-limited-10-420.mkv", "gbrp.mkv")),
    *((name, ".mov") for name in ("bt601-limited-8-444.mkv", "alpha.mkv")),
    # MPEG-4 part 2 in an AVI can tag nothing: a player takes it for BT.601, limited.
    *((name, ".avi") for name in ("bt709-limited-8-420.mkv", "bt601-full-8-420.mkv", "rgb24.mov")),
    *((name, ".gif") for name in ("bt709-limited-8-420.mkv", "bt601-full-8-420.mkv", "palette.gif")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "suffix"), OUTPUTS)
def test_a_player_shows_the_output_in_the_colors_of_the_input(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    assert_same(goldens.shown(run(name, suffix, alpha=0.0).out), golden(clips(name)))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *((name, suffix) for name in (*TAGGED, "tags-none.mp4") for suffix in (".mp4", ".webm")),
        *((name, ".mkv") for name in ("tags-bt709-full.mp4", "tags-p3.mp4", "tags-none.mp4")),
        *((name, ".mov") for name in ("tags-pal.mp4", "tags-bt2020.mp4", "tags-none.mp4")),
    ],
)
def test_color_tags_are_carried(name: str, suffix: str, clips: Clips, run: Run) -> None:
    out, report = run(name, suffix)
    wanted = goldens.color_tags(clips(name))
    if name in TAGGED:  # and the clip is what its command says
        keys = ("color_space", "color_range", "color_primaries", "color_transfer")
        assert wanted == dict(zip(keys, TAGGED[name], strict=True))
    if suffix == ".webm" and not wanted:
        wanted = {"color_range": "tv"}  # VP9 has one bit for it, which cannot say "unknown"
    assert goldens.color_tags(out) == wanted
    assert not [note for note in report["fallbacks"] if "colo" in note]


@pytest.mark.parametrize("name", ["tags-bt709-full.mp4", "tags-bt2020.mp4", "tags-p3.mp4"])
def test_tags_that_an_avi_cannot_hold_are_told(name: str, run: Run) -> None:
    notes = run(name, ".avi").report["fallbacks"]
    assert [note for note in notes if "colours of out.avi" in note]


@pytest.mark.parametrize("name", ["tags-bt2020.mp4", "tags-p3.mp4"])
def test_wide_primaries_that_a_gif_shows_as_srgb_are_told(name: str, run: Run) -> None:
    notes = run(name, ".gif").report["fallbacks"]
    assert [note for note in notes if "colo" in note], notes


@pytest.mark.parametrize("encoder", ["auto", "hevc", "ffv1"])
@pytest.mark.parametrize("bits", ["8", "10", "12"])
@pytest.mark.parametrize("chroma", ["420", "444"])
def test_the_report_says_what_was_written(
    bits: str, chroma: str, encoder: str, clips: Clips, run: Run
) -> None:
    name = f"bt709-limited-{bits}-{chroma}.mkv"
    out, report = run(name, ".mkv", encoder=encoder)
    before, after = goldens.video(clips(name)), goldens.video(out)
    assert (report["video"]["codec"], report["video"]["pix_fmt"]) == ("ffv1", before["pix_fmt"])
    assert [entry["pix_fmt"] for entry in report["outputs"]] == [after["pix_fmt"]]
    assert (after["pix_fmt"] == "yuv420p10le") == (bits != "8" and encoder != "auto")
    fewer_bits = [note for note in report["fallbacks"] if note.startswith(f"{bits} bits kept, ")]
    less_chroma = [note for note in report["fallbacks"] if "4:2:0 used" in note]
    assert bool(fewer_bits) == (bits == "12" or (bits, encoder) == ("10", "auto"))
    assert bool(less_chroma) == (chroma == "444")
