"""Views between PyAV frames and numpy planes, and the Y'CbCr matrices.

Colour: Y'CbCr = offset + scale * M . R'G'B', all in 0..255. M is given by the matrix's two luma coefficients.
"""

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from streamseg.frames import Planar

LUMA_COEFFICIENTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
"""Kr and Kb of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance)."""

PLANAR_FORMATS = ("yuv420p", "yuvj420p")
"""PyAV formats whose planes are used as they are."""

_MATRIX_OF_TAG = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
"""FFmpeg's AVColorSpace numbers; FCC (4) and SMPTE 170M (6) are BT.601 within rounding."""

SWS_COLORSPACE = {
    "bt601": Colorspace.ITU601,
    "bt709": Colorspace.ITU709,
    "bt2020": Colorspace.BT2020,
}
"""libswscale's numbers, which are not the tags', for `reformat`."""


def matrix_of(video: av.VideoFrame | av.VideoCodecContext) -> str:
    """The tagged matrix; untagged video is BT.601 below 720 lines and BT.709 from there on."""
    return _MATRIX_OF_TAG.get(video.colorspace) or ("bt709" if video.height >= 720 else "bt601")


def is_full_range(frame: av.VideoFrame) -> bool:
    """Whether luma spans 0..255; untagged video is limited, but for FFmpeg's yuvj formats."""
    return frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG


def plane_view(plane: VideoPlane) -> NDArray[np.uint8]:
    """height x width uint8 view of one 8-bit plane; valid while its frame lives."""
    buffer: Any = plane  # it has the buffer protocol, which its type does not say
    rows: NDArray[np.uint8] = np.frombuffer(buffer, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def planar_view(frame: av.VideoFrame) -> Planar:
    """Views of a yuv420p frame.

    Raises:
        ValueError: another pixel format.
    """
    if frame.format.name not in PLANAR_FORMATS:
        raise ValueError(f"expected a frame in {PLANAR_FORMATS}, got {frame.format.name}")
    y, u, v = (plane_view(plane) for plane in frame.planes)
    return Planar(y=y, u=u, v=v, matrix=matrix_of(frame), full_range=is_full_range(frame))


def gray_frame(size: tuple[int, int], color_tags: tuple[int, int]) -> av.VideoFrame:
    """A gray yuv420p frame of `size` (height, width), tagged with colour space and range."""
    frame = av.VideoFrame(size[1], size[0], "yuv420p")
    for plane in frame.planes:
        plane_view(plane)[:] = 128
    frame.colorspace, frame.color_range = color_tags
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    return frame


def with_gaps(planes: Planar) -> Planar:
    """The same pixels in rows that do not touch, as decoders leave them for some widths."""

    def spread(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        wide = np.empty((plane.shape[0], plane.shape[1] + 1), np.uint8)
        wide[:, :-1] = plane
        return wide[:, :-1]

    y, u, v = spread(planes.y), spread(planes.u), spread(planes.v)
    return Planar(y=y, u=u, v=v, matrix=planes.matrix, full_range=planes.full_range)


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
