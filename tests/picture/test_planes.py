from typing import Any

import av
import numpy as np
import pytest
from media import picture

from streamseg.picture.pixels import Planar
from streamseg.picture.planes import (
    gray_frame,
    is_full_range,
    matrix_of,
    planar_view,
    rgb_to_ycbcr,
    ycbcr_to_rgb,
)

PUBLISHED = {
    # R' = Y' + a Cr, G' = Y' - b Cb - c Cr, B' = Y' + d Cb, for unscaled (full range) values:
    # ITU-R BT.601-7 and BT.709-6, to four places.
    "bt601": (1.4020, 0.3441, 0.7141, 1.7720),
    "bt709": (1.5748, 0.1873, 0.4681, 1.8556),
    "bt2020": (1.4746, 0.1646, 0.5714, 1.8814),
}


@pytest.mark.parametrize("matrix", sorted(PUBLISHED))
def test_matrices_are_the_published_ones(matrix: str) -> None:
    a, b, c, d = PUBLISHED[matrix]
    linear, offset = ycbcr_to_rgb(matrix, True)
    assert linear == pytest.approx(np.array([[1, 0, a], [1, -b, -c], [1, d, 0]]), abs=1e-4)
    assert linear @ [0, 128, 128] + offset == pytest.approx([0, 0, 0], abs=1e-9)
    limited, offset = ycbcr_to_rgb(matrix, False)
    assert limited[0, 0] == pytest.approx(255 / 219)
    assert limited[0, 2] == pytest.approx(a * 255 / 224, abs=1e-4)
    assert limited @ [16, 128, 128] + offset == pytest.approx([0, 0, 0], abs=1e-9)
    assert limited @ [235, 128, 128] + offset == pytest.approx([255, 255, 255], abs=1e-9)


@pytest.mark.parametrize("matrix", sorted(PUBLISHED))
@pytest.mark.parametrize("full_range", [False, True])
def test_there_and_back_is_where_it_began(matrix: str, full_range: bool) -> None:
    forward, offset = rgb_to_ycbcr(matrix, full_range)
    back, back_offset = ycbcr_to_rgb(matrix, full_range)
    rgb = np.array([12.0, 200, 99])
    assert back @ (forward @ rgb + offset) + back_offset == pytest.approx(rgb)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(
    ("matrix", "tag", "colorspace"),
    [("bt601", 6, "ITU601"), ("bt709", 1, "ITU709"), ("bt2020", 9, "BT2020")],
)
def test_swscale_converts_by_the_same_matrix(
    matrix: str, tag: int, colorspace: str, full_range: bool
) -> None:
    rgb = picture(3, (48, 64))
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
        format="yuv444p",
        dst_colorspace=colorspace,
        dst_color_range="JPEG" if full_range else "MPEG",
    )
    planes = np.stack([np.asarray(plane_of(frame, k), np.float64) for k in range(3)], 2)
    forward, offset = rgb_to_ycbcr(matrix, full_range)
    assert np.abs(planes - (rgb @ forward.T + offset)).max() < 1.5
    frame.colorspace, frame.color_range = tag, 2 if full_range else 1
    assert matrix_of(frame) == matrix
    assert is_full_range(frame) == full_range


def plane_of(frame: av.VideoFrame, index: int) -> Any:
    plane = frame.planes[index]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
    return rows[: plane.height, : plane.width]


@pytest.mark.parametrize(("height", "matrix"), [(719, "bt601"), (720, "bt709")])
def test_untagged_video_is_judged_by_its_height(height: int, matrix: str) -> None:
    frame = av.VideoFrame(16, height, "yuv420p")
    assert frame.colorspace == 2
    assert matrix_of(frame) == matrix
    assert not is_full_range(frame)


def test_views_share_the_frames_memory_and_have_its_size() -> None:
    frame = gray_frame((33, 65), (1, 2))
    planes = planar_view(frame)
    assert planes.size == (33, 65)
    assert planes.u.shape == planes.v.shape == (17, 33)
    assert (planes.matrix, planes.full_range) == ("bt709", True)
    planes.y[5, 64] = 9
    assert planar_view(frame).y[5, 64] == 9


def test_other_formats_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a frame in .*yuv420p.*, got rgb24"):
        planar_view(av.VideoFrame(16, 16, "rgb24"))


def test_planes_that_do_not_fit_are_refused() -> None:
    y, u, v = (np.zeros(shape, np.uint8) for shape in ((5, 5), (3, 3), (2, 3)))
    with pytest.raises(ValueError, match="expected planes of H x W and twice"):
        Planar(y=y, u=u, v=v, matrix="bt601", full_range=False)
