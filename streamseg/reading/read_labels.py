"""Label maps back from the files that `--save labels` wrote."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from streamseg.errors import SourceError
from streamseg.picture.planes import plane_view
from streamseg.reading.video_source import reason

LABEL_FORMATS = ("gray", "gray8", "pal8")


def read_labels(path: str | Path) -> Iterator[NDArray[np.uint8]]:
    """The label maps of a file, in order, exactly as they were written.

    Args:
        path: lossless gray video written by `--save labels`, or an image of class ids.

    Yields:
        H x W uint8 class ids.

    Raises:
        SourceError: the file is missing or damaged, or holds no 8-bit gray video.
    """
    try:
        with av.open(f"file:{path}") as container:
            if not container.streams.video:
                raise SourceError(f"expected a video of label maps in {path}; it holds none")
            for frame in container.decode(video=0):
                if frame.format.name not in LABEL_FORMATS:
                    raise SourceError(
                        f"expected 8-bit gray label maps in {path}, got {frame.format.name}; "
                        f"is it an overlay?"
                    )
                yield plane_view(frame.planes[0]).copy()
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"expected label maps in {path}: {reason(error)}") from error
