"""What a picture is made of, apart from its pixels: what a writer must know to keep it so."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
from av.sidedata.sidedata import Type

from streamseg.picture.orientation import (
    UPRIGHT,
    Orientation,
    orientation_of,
    orientation_of_photograph,
    side_data,
)

Transfer = Literal["sdr", "pq", "hlg"]
"""Standard dynamic range, or SMPTE ST 2084 (PQ) or ARIB STD-B67 (HLG): the two kinds of HDR."""

_HDR_TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}
"""By FFmpeg's AVColorTransferCharacteristic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFormat:
    """Of a decoded frame, before anything is converted. Produced by a source; consumed by the writer
    and the report.

    Attributes:
        pix_fmt: FFmpeg's name of the pixel format.
        bits: of one sample of luma (or of red).
        size: (height, width) in pixels as stored, not yet turned.
        orientation: how it is to be turned for display.
        sample_aspect_ratio: width of a pixel over its height; 1 when the file does not say.
        color_tags: FFmpeg's numbers of colour space, range, primaries and transfer.
        mastering_display, content_light: FFmpeg's side data of HDR video, as it lies in memory.
    """

    pix_fmt: str
    bits: int
    size: tuple[int, int]
    orientation: Orientation = UPRIGHT
    sample_aspect_ratio: Fraction = Fraction(1)
    color_tags: tuple[int, int, int, int] = (2, 0, 2, 2)
    mastering_display: bytes | None = None
    content_light: bytes | None = None

    @property
    def transfer(self) -> Transfer:
        """Whether it is HDR, and of which kind."""
        return transfer_of(self.color_tags[3])


def transfer_of(tag: int) -> Transfer:
    """By FFmpeg's number of the transfer characteristic."""
    return _HDR_TRANSFERS.get(tag, "sdr")


PHOTOGRAPHS = ("png", "apng", "mjpeg", "tiff", "webp")
"""Decoders whose frames may carry a colour profile or Exif."""


def format_of(
    frame: av.VideoFrame, sample_aspect_ratio: Fraction | None = None, *, codec: str = ""
) -> PictureFormat:
    """The format of a decoder's frame; its container knows the aspect ratio, and which decoder it was."""
    mastering = light = None
    photograph = codec in PHOTOGRAPHS
    if transfer_of(frame.color_trc) != "sdr" and not photograph:
        mastering = side_data(frame, Type.MASTERING_DISPLAY_METADATA)
        light = side_data(frame, Type.CONTENT_LIGHT_LEVEL)
    return PictureFormat(
        pix_fmt=frame.format.name,
        bits=frame.format.components[0].bits,
        size=(frame.height, frame.width),
        orientation=orientation_of_photograph(frame) if photograph else orientation_of(frame),
        sample_aspect_ratio=sample_aspect_ratio or Fraction(1),
        color_tags=color_tags(frame),
        mastering_display=mastering,
        content_light=light,
    )


def color_tags(video: "av.VideoFrame | av.VideoCodecContext") -> tuple[int, int, int, int]:
    """FFmpeg's numbers of colour space, range, primaries and transfer."""
    return (
        int(video.colorspace),
        int(video.color_range),
        int(video.color_primaries),
        int(video.color_trc),
    )
