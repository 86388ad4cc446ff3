"""Copies of a video at other sizes, lengths and rates: H.264 in MP4."""

from pathlib import Path

import av

from streamseg.benchmark.records import Size

RATE = 25
"""Frames a second of a copy, unless a real-time source is wanted."""


def scaled_copy(video: Path, size: Size, out: Path, frames: int, rate: int = RATE) -> int:
    """Write `video` at `size`, its frames repeated until there are `frames`; how many it has."""
    written = 0
    with av.open(str(out), "w", format="mp4") as target:
        stream = target.add_stream(
            "libx264", rate=rate, options={"preset": "veryfast", "crf": "20"}
        )
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        while written < frames:
            before = written
            with av.open(str(video)) as source:
                for image in source.decode(video=0):
                    scaled = image.reformat(width=size[1], height=size[0], format="yuv420p")
                    scaled.pts, scaled.time_base = written, 1 / stream.codec_context.framerate
                    scaled.pict_type = 0
                    target.mux(stream.encode(scaled))
                    written += 1
                    if written == frames:
                        break
            if written == before:
                break
        target.mux(stream.encode(None))
    return written
