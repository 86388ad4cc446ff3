"""GIF pictures. Comes in: planar frames. Goes out: frames of 256 colours, each with a palette of its own.
Runs on the sink's thread.
"""

from fractions import Fraction

import av
from av.video.reformatter import ColorRange, VideoReformatter

from streamseg.picture.convert import EXACT
from streamseg.picture.planes import SWS_COLORSPACE, is_full_range, matrix_of


class Palette:
    """Finds 256 colours for every frame, by FFmpeg's `palettegen` and `paletteuse`.

    Args:
        size: (height, width) of all frames.
        unit: their time base, seconds.
    """

    def __init__(self, size: tuple[int, int], unit: Fraction) -> None:
        self._reformatter = VideoReformatter()
        self._graph = graph = av.filter.Graph()
        rgb = av.VideoFormat("bgra", size[1], size[0])
        source = graph.add_buffer(width=size[1], height=size[0], format=rgb, time_base=unit)
        both = graph.add("split")
        find = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=3")
        sink = graph.add("buffersink")
        source.link_to(both)
        both.link_to(find, 0, 0)
        both.link_to(use, 1, 0)
        find.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()

    def __call__(self, image: av.VideoFrame) -> av.VideoFrame:
        """The frame in pal8, with its PTS."""
        rgb = self._reformatter.reformat(
            image,
            format="bgra",
            src_colorspace=SWS_COLORSPACE[matrix_of(image)],
            src_color_range=ColorRange.JPEG if is_full_range(image) else ColorRange.MPEG,
            interpolation=EXACT,
        )
        rgb.pts, rgb.time_base = image.pts, image.time_base
        self._graph.push(rgb)
        indexed = self._graph.pull()
        assert isinstance(indexed, av.VideoFrame)
        return indexed
