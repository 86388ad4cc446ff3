"""Goldens come from the ffmpeg command: zscale has the curves of PQ and HLG, tonemap has the tone curve.

`agamma=0` turns off zscale's approximate HLG, which bends each channel by itself; BT.2100 bends luminance.
"""

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.picture.format import Transfer
from streamseg.picture.hdr import ToneMapper, painted_colors
from streamseg.picture.planes import planar_view, ycbcr_to_rgb

TRC = {"pq": "smpte2084", "hlg": "arib-std-b67"}
FULL = {False: "tv", True: "pc"}

SDR = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=pc"
TO_SDR = (
    "zscale=t=linear:npl=203:agamma=0,format=gbrpf32le,zscale=p=bt709,"
    "tonemap=mobius:peak=1000/203:desat=0,zscale=t=bt709:m=gbr:r=pc,format=gbrp,format=rgb24"
)

HDR: list[Transfer] = ["pq", "hlg"]
SIZE = (90, 160)


def ffmpeg(*arguments: str, stdin: bytes = b"") -> bytes:
    command = ["ffmpeg", "-v", "error", *arguments]
    return subprocess.run(command, check=True, input=stdin, stdout=subprocess.PIPE).stdout


def lavfi(source: str) -> tuple[str, ...]:
    return "-f", "lavfi", "-i", f"{source}=size={SIZE[1]}x{SIZE[0]}"


def hdr_clip(folder: Path, source: str, tags_and_curve: str) -> Path:
    """One frame of a lavfi source, 160 x 90, in 4:4:4 of 10 bits."""
    path = folder / "clip.mkv"
    steps = f"format=gbrp,{tags_and_curve},format=yuv444p10le"
    ffmpeg(*lavfi(source), "-frames:v", "1", "-vf", steps, "-c:v", "ffv1", str(path))
    return path


def as_signal(transfer: Transfer, full_range: bool) -> str:
    """The source's R'G'B' are taken for HDR signals: all of BT.2020, up to 1000 or 10,000 nits."""
    tags = f"color_primaries=bt2020:color_trc={TRC[transfer]}:colorspace=gbr:range=pc"
    return f"setparams={tags},zscale=m=bt2020nc:r={FULL[full_range]}"


def at_reference_white(transfer: Transfer, full_range: bool) -> str:
    """The source's R'G'B' are an SDR picture, shown with white at 203 nits."""
    target = f"t={TRC[transfer]}:p=bt2020:m=bt2020nc:r={FULL[full_range]}:npl=203:agamma=0"
    return f"{SDR},zscale={target}"


def decoded(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def twice_as_large(path: Path, full_range: bool) -> av.VideoFrame:
    """The clip in 4:2:0, each of its pixels four pixels that share a chroma sample: no colour is lost."""
    larger = path.with_name("larger.mkv")
    scale = f"scale={2 * SIZE[1]}:{2 * SIZE[0]}:flags=neighbor"
    both_ranges = f"in_range={FULL[full_range]}:out_range={FULL[full_range]}"
    steps = f"{scale}:{both_ranges},format=yuv420p10le"
    ffmpeg("-i", str(path), "-vf", steps, "-c:v", "ffv1", str(larger))
    return decoded(larger)


def ffmpeg_rgb(*source: str, steps: str) -> NDArray[np.float64]:
    """SIZE x 3, 0..255: the first frame of `source`, after `steps`."""
    raw = ffmpeg(*source, "-frames:v", "1", "-vf", steps, "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(*SIZE, 3).astype(np.float64)


def rgb_of_fours(frame: av.VideoFrame) -> NDArray[np.float64]:
    """H x W x 3 of a frame of 2H x 2W, whose pixels are alike in fours."""
    planes = planar_view(frame)
    for row, column in ((0, 1), (1, 0), (1, 1)):
        assert np.array_equal(planes.y[::2, ::2], planes.y[row::2, column::2])
    linear, offset = ycbcr_to_rgb("bt709", False)
    ycbcr = np.stack([planes.y[::2, ::2], planes.u, planes.v], 2)
    return np.clip(ycbcr @ linear.T + offset, 0, 255)


def deep_frame(y: Any, u: Any = 512, v: Any = 512, size: tuple[int, int] = (2, 2)) -> av.VideoFrame:
    frame = av.VideoFrame(size[1], size[0], "yuv420p10le")
    planes = planar_view(frame)
    planes.y[:], planes.u[:], planes.v[:] = y, u, v
    frame.pts, frame.time_base = 7, Fraction(1, 30)
    return frame


@pytest.mark.needs_ffmpeg
@pytest.mark.parametrize("curve", [as_signal, at_reference_white])
@pytest.mark.parametrize("source", ["testsrc2", "colorspectrum"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("transfer", HDR)
def test_colours_are_those_of_the_ffmpeg_command(
    tmp_path: Path, transfer: Transfer, full_range: bool, source: str, curve: Any
) -> None:
    clip = hdr_clip(tmp_path, source, curve(transfer, full_range))
    ours = rgb_of_fours(ToneMapper(transfer, full_range).planar(twice_as_large(clip, full_range)))
    difference = np.abs(ours - ffmpeg_rgb("-i", str(clip), steps=TO_SDR))
    # What is left is the rounding of 8-bit Y'CbCr.
    assert difference.mean(axis=(0, 1)).max() < 1
    assert np.percentile(difference, 99) < 3


@pytest.mark.needs_ffmpeg
@pytest.mark.parametrize("transfer", HDR)
def test_an_sdr_picture_shown_in_hdr_comes_back_but_for_its_highlights(
    tmp_path: Path, transfer: Transfer
) -> None:
    clip = hdr_clip(tmp_path, "colorspectrum", at_reference_white(transfer, False))
    original = ffmpeg_rgb(*lavfi("colorspectrum"), steps="format=gbrp,format=rgb24")
    ours = rgb_of_fours(ToneMapper(transfer).planar(twice_as_large(clip, False)))
    below_knee = original.max(axis=2) < 150
    assert below_knee.mean() > 0.25
    assert np.abs(ours - original)[below_knee].mean() < 2
    assert ours[~below_knee].mean() < original[~below_knee].mean() - 5


@pytest.mark.parametrize(
    ("transfer", "percent", "luma"),
    [
        # ITU-R BT.2408, table 1: a gray card of 18 % is at 26 nits, reference white at 203 nits.
        # Out come (26 / 203) ^ (1 / 2.4) = 42 %, and 85 % by the tone curve.
        ("pq", 0, 16),
        ("pq", 38, 16 + 0.425 * 219),
        ("pq", 58, 16 + 0.851 * 219),
        ("pq", 75.2, 235),  # 1000 nits
        ("pq", 100, 235),
        ("hlg", 0, 16),
        ("hlg", 38, 16 + 0.425 * 219),
        ("hlg", 75, 16 + 0.851 * 219),
        ("hlg", 100, 235),
    ],
)
@pytest.mark.parametrize("full_range", [False, True])
def test_the_levels_of_bt2408_come_out_where_sdr_has_them(
    transfer: Transfer, percent: float, luma: float, full_range: bool
) -> None:
    code = round(percent / 100 * 1023) if full_range else round(64 + percent / 100 * 876)
    mapped = planar_view(ToneMapper(transfer, full_range).planar(deep_frame(code)))
    assert mapped.y == pytest.approx(np.full((2, 2), luma), abs=1)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("transfer", HDR)
def test_grays_stay_gray_and_in_order(transfer: Transfer, full_range: bool) -> None:
    ramp = deep_frame(np.arange(1024), size=(2, 1024))
    mapped = planar_view(ToneMapper(transfer, full_range).planar(ramp))
    assert np.all(mapped.u == 128)
    assert np.all(mapped.v == 128)
    assert np.all(np.diff(mapped.y.astype(int)) >= 0)
    assert (mapped.y.min(), mapped.y.max()) == (16, 235)


def test_the_frame_is_tagged_as_what_it_is_and_keeps_its_times() -> None:
    frame = deep_frame(500)
    frame.duration = 3
    frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = 9, 1, 9, 16
    mapped = ToneMapper("pq").planar(frame)
    assert mapped.format.name == "yuv420p"
    assert (mapped.pts, mapped.time_base, mapped.duration) == (7, Fraction(1, 30), 3)
    assert (mapped.colorspace, mapped.color_range) == (1, 1)
    assert (mapped.color_primaries, mapped.color_trc) == (1, 1)


@pytest.mark.parametrize("transfer", HDR)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 65)])
def test_a_frame_of_odd_size_is_the_corner_of_an_even_one(
    transfer: Transfer, size: tuple[int, int], rng: np.random.Generator
) -> None:
    height, width = size
    half = (height + 1) // 2, (width + 1) // 2
    u, v = rng.integers(400, 600, (2, *half))
    y = rng.integers(200, 800, size)
    odd = deep_frame(y, u, v, size)
    assert odd.planes[0].line_size > 2 * width  # rows have gaps
    even = deep_frame(
        np.pad(y, ((0, height % 2), (0, width % 2)), "edge"), u, v, (2 * half[0], 2 * half[1])
    )
    mapper = ToneMapper(transfer)
    ours, whole = planar_view(mapper.planar(odd)), planar_view(mapper.planar(even))
    assert ours.size == size
    assert np.array_equal(ours.y, whole.y[:height, :width])
    assert np.array_equal(ours.u, whole.u)
    assert np.array_equal(ours.v, whole.v)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("transfer", HDR)
def test_samples_of_more_than_10_bits_are_taken_for_the_greatest(
    transfer: Transfer, full_range: bool
) -> None:
    mapper = ToneMapper(transfer, full_range)
    for y, u, v in ((65535, 65535, 65535), (0, 65535, 1024), (65535, 0, 0), (1024, 512, 65535)):
        damaged = planar_view(mapper.planar(deep_frame(y, u, v)))
        greatest = planar_view(mapper.planar(deep_frame(*np.minimum((y, u, v), 1023))))
        assert np.array_equal(damaged.y, greatest.y)
        assert (damaged.u, damaged.v) == (greatest.u, greatest.v)


def test_other_formats_and_standard_range_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a frame in yuv420p10le, got yuv420p"):
        ToneMapper("pq").planar(av.VideoFrame(16, 16, "yuv420p"))
    with pytest.raises(ValueError, match="expected transfer 'pq' or 'hlg', got 'sdr'"):
        ToneMapper("sdr")


@pytest.mark.needs_ffmpeg
@pytest.mark.parametrize("transfer", HDR)
def test_painted_colours_are_those_of_the_ffmpeg_command(
    transfer: Transfer, rng: np.random.Generator
) -> None:
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    palette[:8] = np.array(np.meshgrid([0, 255], [0, 255], [0, 255])).reshape(3, 8).T
    tags = "color_primaries=bt709:color_trc=iec61966-2-1:colorspace=gbr:range=pc"
    target = f"t={TRC[transfer]}:p=bt2020:m=bt2020nc:r=pc:npl=203:agamma=0"
    steps = f"format=gbrp,setparams={tags},zscale={target},format=yuv444p16le"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "16x16", "-i", "-", "-vf", steps]
    planes = np.frombuffer(ffmpeg(*raw, "-f", "rawvideo", "-", stdin=palette.tobytes()), np.uint16)
    ycbcr = (planes.reshape(3, 256) - np.array([[0], [32768], [32768]])) * (255 / 65535)
    linear, _ = ycbcr_to_rgb("bt2020", True)
    assert painted_colors(palette, transfer) == pytest.approx(ycbcr.T @ linear.T, abs=0.02)


@pytest.mark.parametrize(("transfer", "percent"), [("pq", 58), ("hlg", 75)])
def test_white_is_painted_at_reference_white(transfer: Transfer, percent: float) -> None:
    palette = np.array([[255, 255, 255], [0, 0, 0]], np.uint8)
    painted = painted_colors(palette, transfer) * (100 / 255)
    assert painted == pytest.approx(np.array([[percent] * 3, [0] * 3]), abs=0.1)


def test_on_sdr_pictures_the_palette_is_painted_as_it_is(rng: np.random.Generator) -> None:
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    painted = painted_colors(palette, "sdr")
    assert painted.dtype == np.float64
    assert np.array_equal(painted, palette)
