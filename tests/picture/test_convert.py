"""What a network sees of a picture, and what is painted on."""

from fractions import Fraction

import av
import numpy as np
import pytest
from media import picture

from streamseg.picture.convert import Converter
from streamseg.picture.orientation import UPRIGHT, Orientation
from streamseg.picture.planes import planar_view
from streamseg.result import to_bgr

SIZE = (49, 65)


def decoded(
    pix_fmt: str, *, matrix: str = "ITU601", tag: int = 6, full: bool = False
) -> av.VideoFrame:
    source = av.VideoFrame.from_ndarray(picture(3, SIZE), "rgb24")
    frame = source.reformat(
        format=pix_fmt, dst_colorspace=matrix, dst_color_range="JPEG" if full else "MPEG"
    )
    frame.colorspace, frame.color_range = tag, 2 if full else 1
    frame.pts, frame.time_base, frame.duration = 7, Fraction(1, 25), 2
    return frame


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p10le", "yuv420p12le", "nv12", "yuva420p"])
def test_range_and_matrix_are_kept_and_the_colors_right(pix_fmt: str, full: bool) -> None:
    image = decoded(pix_fmt, matrix="ITU709", tag=1, full=full)
    seen = Converter().seen(image, UPRIGHT)
    assert seen.format.name == "yuv420p"
    assert (seen.colorspace, seen.color_range) == (1, 2 if full else 1)
    assert (seen.pts, seen.time_base, seen.duration) == (7, Fraction(1, 25), 2)
    assert np.abs(to_bgr(seen)[..., ::-1].astype(int) - picture(3, SIZE)).mean() < 2


@pytest.mark.parametrize("pix_fmt", ["rgb24", "gbrp", "rgba", "gbrp10le"])
def test_rgb_becomes_limited_range(pix_fmt: str) -> None:
    image = av.VideoFrame.from_ndarray(picture(3, SIZE), "rgb24").reformat(format=pix_fmt)
    image.pts, image.time_base = 0, Fraction(1, 25)
    seen = Converter().seen(image, UPRIGHT)
    assert (seen.colorspace, seen.color_range) == (6, 1)
    assert np.abs(to_bgr(seen)[..., ::-1].astype(int) - picture(3, SIZE)).mean() < 2


def test_what_is_planar_and_upright_already_is_not_touched() -> None:
    image = decoded("yuv420p")
    converter = Converter()
    assert converter.seen(image, UPRIGHT) is image
    assert converter.flat(image) is image
    deep = decoded("yuv420p10le")
    assert converter.deep(deep) is deep


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_turned_picture_keeps_its_colors_and_times(
    transposed: bool, mirrored: bool, flipped: bool
) -> None:
    orientation = Orientation(transposed=transposed, mirrored=mirrored, flipped=flipped)
    image = decoded("yuv420p")
    seen = Converter().seen(image, orientation)
    assert (seen.height, seen.width) == orientation.size(SIZE)
    assert seen.pts == 7
    rgb = picture(3, SIZE).astype(int)
    wanted = np.stack([orientation.upright(rgb[..., channel]) for channel in range(3)], 2)
    assert np.abs(to_bgr(seen)[..., ::-1] - wanted).mean() < 2


def test_more_bits_are_kept_where_they_are_asked_for() -> None:
    image = decoded("yuv444p12le", matrix="ITU709", tag=1)
    deep = Converter().deep(image)
    assert (deep.format.name, deep.colorspace, deep.color_range) == ("yuv420p10le", 1, 1)
    planes = planar_view(deep)
    assert (planes.bits, planes.y.dtype, planes.size) == (10, np.uint16, SIZE)
    eight = planar_view(Converter().flat(image))
    difference = planes.y / 4 - eight.y  # both are dithered
    assert abs(difference.mean()) < 0.05
    assert np.abs(difference).max() < 2
