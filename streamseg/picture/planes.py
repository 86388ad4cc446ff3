"""Views between PyAV frames and numpy planes, and the Y'CbCr matrices.

Colour: Y'CbCr = offset + scale * M . R'G'B', all in 0..255. M is given by the matrix's two luma coefficients.
"""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from streamseg.picture.pixels import Planar

LUMA_COEFFICIENTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
"""Kr and Kb of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance)."""

PLANAR_FORMATS = ("yuv420p", "yuvj420p")
"""PyAV formats whose planes are used as they are."""

DEEP_FORMAT = "yuv420p10le"
"""The one format with more bits that is painted on."""

_BT2020 = 9
"""Of AVColorSpace and of AVColorPrimaries."""

_MATRIX_OF_TAG = {
    1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "bt709", _BT2020: "bt2020", 10: "bt2020",
}  # fmt: skip
"""FFmpeg's AVColorSpace numbers; FCC (4) and SMPTE 170M (6) are BT.601 within rounding, SMPTE 240M (7)
is BT.709 within 2 %."""

NOT_LINEAR = {8: "YCgCo", 10: "BT.2020 constant luminance", 14: "ICtCp"}
"""Tags of colour spaces that no matrix here describes; they are read by the nearest, and wrongly."""

SWS_COLORSPACE = {
    "bt601": Colorspace.ITU601,
    "bt709": Colorspace.ITU709,
    "bt2020": Colorspace.BT2020,
}
"""libswscale's numbers, which are not the tags', for `reformat`."""


def matrix_of(video: av.VideoFrame | av.VideoCodecContext) -> str:
    """The tagged matrix. Untagged video is BT.2020 if its primaries are, else BT.601 below 720 lines and
    BT.709 from there on.
    """
    tagged = _MATRIX_OF_TAG.get(video.colorspace)
    if tagged is None and video.color_primaries == _BT2020:
        return "bt2020"
    return tagged or ("bt709" if video.height >= 720 else "bt601")


def is_full_range(frame: av.VideoFrame) -> bool:
    """Whether luma spans 0..255; untagged video is limited, but for FFmpeg's yuvj formats."""
    return frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG


def plane_view(plane: VideoPlane, dtype: type[np.unsignedinteger[Any]] = np.uint8) -> NDArray[Any]:
    """height x width view of one plane, uint8 or `dtype`; valid while its frame lives."""
    buffer: Any = plane  # it has the buffer protocol, which its type does not say
    samples: NDArray[Any] = np.frombuffer(buffer, np.uint8)
    rows = samples.reshape(-1, plane.line_size).view(dtype)
    return rows[: plane.height, : plane.width]


def planar_view(frame: av.VideoFrame) -> Planar:
    """Views of a frame in one of `PLANAR_FORMATS`, or in `DEEP_FORMAT`.

    Raises:
        ValueError: another pixel format.
    """
    deep = frame.format.name == DEEP_FORMAT
    if not deep and frame.format.name not in PLANAR_FORMATS:
        known = (*PLANAR_FORMATS, DEEP_FORMAT)
        raise ValueError(f"expected a frame in {known}, got {frame.format.name}")
    y, u, v = (plane_view(plane, np.uint16 if deep else np.uint8) for plane in frame.planes)
    return Planar(
        y=y,
        u=u,
        v=v,
        matrix=matrix_of(frame),
        full_range=is_full_range(frame),
        bits=10 if deep else 8,
    )


def gray_frame(
    size: tuple[int, int], color_tags: tuple[int, int], pix_fmt: str = "yuv420p"
) -> av.VideoFrame:
    """A gray frame of `size` (height, width), tagged with colour space and range."""
    frame = av.VideoFrame(size[1], size[0], pix_fmt)
    planes = planar_view(frame)
    for plane in (planes.y, planes.u, planes.v):
        plane[:] = 1 << planes.bits - 1
    frame.colorspace, frame.color_range = color_tags
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    return frame


def with_gaps(planes: Planar) -> Planar:
    """The same pixels in rows that do not touch, as decoders leave them for some widths."""

    def spread(plane: NDArray[Any]) -> NDArray[Any]:
        wide = np.empty((plane.shape[0], plane.shape[1] + 1), plane.dtype)
        wide[:, :-1] = plane
        return wide[:, :-1]

    y, u, v = spread(planes.y), spread(planes.u), spread(planes.v)
    return replace(planes, y=y, u=u, v=v)


def rgb_to_ycbcr(matrix: str, full_range: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(3 x 3, 3): Y'CbCr = first @ R'G'B' + second, all in 0..255."""
    red, blue = LUMA_COEFFICIENTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    unit = np.stack(
        [
            luma,
            (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)),
            (np.array([1, 0, 0]) - luma) / (2 * (1 - red)),
        ]
    )
    if full_range:
        return unit, np.array([0.0, 128, 128])
    return unit * (np.array([219, 224, 224]) / 255)[:, None], np.array([16.0, 128, 128])


def ycbcr_to_rgb(matrix: str, full_range: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(3 x 3, 3): R'G'B' = first @ Y'CbCr + second, all in 0..255 (before clipping)."""
    forward, offset = rgb_to_ycbcr(matrix, full_range)
    inverse = np.linalg.inv(forward).astype(np.float64)
    return inverse, -inverse @ offset
