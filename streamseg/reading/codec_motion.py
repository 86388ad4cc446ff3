"""What a decoder tells of how pictures move. Comes in: a decoded picture. Goes out: `CodecMotion`, linked to the last.
Runs on the producer's thread, so that pictures that are dropped are followed, too.
"""

from typing import Any

import av
from av.sidedata.sidedata import SideDataContainer

from streamseg.frames import CodecMotion
from streamseg.picture.pixels import Planar

DECODERS_WITH_VECTORS = frozenset(
    {
        *("h264", "mpeg4", "mpeg2video", "mpeg1video", "h263", "h261", "flv", "rv10", "rv20"),
        *("msmpeg4", "msmpeg4v2", "wmv1", "wmv2"),
    }
)
"""FFmpeg's names of the decoders that export motion vectors. Those of HEVC, VP8, VP9 and AV1 do not."""

MOST_DROPPED = 16
"""Pictures whose motion stays reachable from a later frame: more than all links and stages hold, so that none is lost
but where pictures are dropped. Each keeps its picture's memory."""


def codec_motion(image: av.VideoFrame, pixels: Planar, previous: CodecMotion | None) -> CodecMotion:
    """Of a picture whose decoder was told to export vectors.

    Args:
        pixels: as it is seen.
        previous: of the picture shown before; None where that is not known.
    """
    from streamseg.motion.cells import squares  # numba takes long to load

    # Not image.side_data: the frame would keep that, and that the frame, until the garbage collector comes by:
    # hundreds of pictures, in memory that the decoder cannot use again.
    container: Any = SideDataContainer  # its stub knows no arguments
    vectors: Any = container(image).get("MOTION_VECTORS")
    kind = av.video.frame.PictureType(image.pict_type).name
    motion = CodecMotion(
        vectors=None if vectors is None else vectors.to_ndarray(),
        kind=kind if kind in ("I", "P", "B") else "?",
        luma=squares(pixels.y),
        previous=previous,
    )
    oldest: CodecMotion | None = motion
    for _ in range(MOST_DROPPED):
        oldest = oldest.previous if oldest else None
    if oldest:
        oldest.previous = None
    return motion
