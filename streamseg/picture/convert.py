"""A decoder's picture made into what networks see, and into what is painted on."""

from typing import TYPE_CHECKING

import av
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from streamseg.picture.format import transfer_of
from streamseg.picture.orientation import Orientation
from streamseg.picture.planes import (
    DEEP_FORMAT,
    PLANAR_FORMATS,
    SWS_COLORSPACE,
    is_full_range,
    matrix_of,
    planar_view,
)

if TYPE_CHECKING:
    from streamseg.picture.hdr import ToneMapper

TAG_OF_MATRIX = {"bt601": 6, "bt709": 1, "bt2020": 9}
"""FFmpeg's AVColorSpace numbers."""


EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
"""For libswscale, which otherwise rounds colours down by up to 3 of 255."""


class Converter:
    """Converts frames of one stream; not thread-safe (it keeps FFmpeg's scaler between frames)."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._tone_mapper: ToneMapper | None = None
        self._mapped: tuple[str, bool] | None = None

    def seen(self, decoded: av.VideoFrame, orientation: Orientation) -> av.VideoFrame:
        """What a network sees: 8-bit yuv420p, upright, standard dynamic range. `decoded` itself if it
        is all that.
        """
        flat = self.flat(decoded)
        return flat if orientation.upright_already else upright(flat, orientation)

    def flat(self, decoded: av.VideoFrame) -> av.VideoFrame:
        """8-bit yuv420p in standard dynamic range, as stored."""
        transfer = transfer_of(decoded.color_trc)
        if transfer != "sdr":
            deep = self.deep(decoded)
            full = is_full_range(deep)
            if self._tone_mapper is None or self._mapped != (transfer, full):
                from streamseg.picture.hdr import ToneMapper

                self._tone_mapper, self._mapped = ToneMapper(transfer, full), (transfer, full)
            return self._tone_mapper.planar(deep)
        if decoded.format.name in PLANAR_FORMATS:
            return decoded
        return self._reformat(decoded, "yuv420p")

    def deep(self, decoded: av.VideoFrame) -> av.VideoFrame:
        """10-bit yuv420p, as stored, its transfer kept."""
        if decoded.format.name == DEEP_FORMAT:
            return decoded
        return self._reformat(decoded, DEEP_FORMAT)

    def _reformat(self, decoded: av.VideoFrame, pix_fmt: str) -> av.VideoFrame:
        """4:2:0 in the matrix and range that it has; RGB becomes limited range."""
        matrix, full = matrix_of(decoded), is_full_range(decoded) and not decoded.format.is_rgb
        colorspace = SWS_COLORSPACE[matrix]
        rgb = decoded.format.is_rgb
        to_range = ColorRange.JPEG if full else ColorRange.MPEG
        converted = self._reformatter.reformat(
            decoded,
            format=pix_fmt,
            src_colorspace=colorspace,
            dst_colorspace=colorspace,
            src_color_range=None if rgb else to_range,
            dst_color_range=to_range,
            interpolation=EXACT,
        )
        converted.colorspace, converted.color_range = TAG_OF_MATRIX[matrix], int(to_range)
        return converted


def upright(image: av.VideoFrame, orientation: Orientation) -> av.VideoFrame:
    """A copy of a planar picture, turned as it is to be seen."""
    height, width = orientation.size((image.height, image.width))
    turned = av.VideoFrame(width, height, image.format.name)
    source, target = planar_view(image), planar_view(turned)
    for name in ("y", "u", "v"):
        getattr(target, name)[:] = orientation.upright(getattr(source, name))
    return with_times_and_tags(turned, image)


def with_times_and_tags(image: av.VideoFrame, source: av.VideoFrame) -> av.VideoFrame:
    """`image`, with the PTS and colour tags of `source`."""
    image.pts, image.time_base, image.duration = source.pts, source.time_base, source.duration
    image.colorspace, image.color_range = source.colorspace, source.color_range
    image.color_primaries, image.color_trc = source.color_primaries, source.color_trc
    return image


def planar_tags(context: av.VideoCodecContext) -> tuple[int, int]:
    """Colour space and range that a decoder's frames will carry once they are what a network sees;
    for video whose first frame is not there yet.
    """
    if transfer_of(context.color_trc) != "sdr":
        return TAG_OF_MATRIX["bt709"], int(ColorRange.MPEG)
    pix_fmt = context.pix_fmt or "yuv420p"
    full = pix_fmt.startswith("yuvj") or context.color_range == ColorRange.JPEG
    if pix_fmt in PLANAR_FORMATS:
        return context.colorspace, int(ColorRange.JPEG) if full else context.color_range
    full = full and not av.VideoFormat(pix_fmt).is_rgb
    return TAG_OF_MATRIX[matrix_of(context)], int(ColorRange.JPEG if full else ColorRange.MPEG)
