"""Any decoded picture as 8-bit planar 4:2:0. Pictures that are so already pass untouched."""

import av
from av.video.reformatter import ColorRange, VideoReformatter

from streamseg.picture.planes import PLANAR_FORMATS, SWS_COLORSPACE, matrix_of

TAG_OF_MATRIX = {"bt601": 6, "bt709": 1, "bt2020": 9}
"""FFmpeg's AVColorSpace numbers."""


class Converter:
    """Converts frames of one stream; not thread-safe (it keeps FFmpeg's scaler between frames)."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def planar(self, image: av.VideoFrame) -> av.VideoFrame:
        """`image` itself, or a copy in yuv420p, limited range, with its matrix tagged."""
        if image.format.name in PLANAR_FORMATS:
            return image
        matrix = matrix_of(image)
        colorspace = SWS_COLORSPACE[matrix]
        converted = self._reformatter.reformat(
            image,
            format="yuv420p",
            src_colorspace=colorspace,
            dst_colorspace=colorspace,
            dst_color_range="MPEG",
        )
        converted.colorspace, converted.color_range = TAG_OF_MATRIX[matrix], int(ColorRange.MPEG)
        return converted


def planar_tags(context: av.VideoCodecContext) -> tuple[int, int]:
    """(colour space, range) that a decoder's frames will carry once they are planar."""
    if context.pix_fmt in PLANAR_FORMATS:
        full = context.pix_fmt.startswith("yuvj")
        return context.colorspace, int(ColorRange.JPEG) if full else context.color_range
    return TAG_OF_MATRIX[matrix_of(context)], int(ColorRange.MPEG)
