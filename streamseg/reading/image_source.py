"""Images as a source. Comes in: files. Goes out: one `Frame` each, at `IMAGE_RATE`. Runs on the
producer's thread.
"""

import glob
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import av

from streamseg.errors import SourceError
from streamseg.frames import Frame
from streamseg.picture.convert import Converter
from streamseg.picture.planes import planar_view
from streamseg.reading.source import IMAGE_RATE, CopiedPacket, Cut, Pace, SourceInfo
from streamseg.reading.video_source import reason

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


def list_images(text: str) -> list[Path] | None:
    """Image files of a folder or glob, in natural order (2 before 10); None when it is neither.

    Raises:
        SourceError: a folder or glob without images.
    """
    path = Path(text)
    if path.is_dir():
        files = list(path.iterdir())
    elif path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
        files = [path]
    elif any(mark in text for mark in "*?[") and not path.exists():
        files = [Path(name) for name in glob.glob(text, recursive=True)]
    else:
        return None
    files = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise SourceError(
            f"expected images ({', '.join(IMAGE_SUFFIXES)}) in {text}; found none. "
            f"For a video give the file itself, for many use `streamseg batch`"
        )
    return sorted(files, key=lambda file: [_natural(part) for part in _DIGITS.split(str(file))])


_DIGITS = re.compile(r"([0-9]+)")


def _natural(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if _DIGITS.fullmatch(part) else (1, 0, part)


class ImageSource:
    """Implements `Source` over image files. They may differ in size; the first one's is in `info`.

    Raises:
        SourceError: the first image cannot be read, or the cut leaves none.
    """

    def __init__(
        self,
        name: str,
        files: list[Path],
        *,
        cut: Cut,
        pace: Pace | None,
        clock: Callable[[], float],
    ) -> None:
        self.audio: list[av.AudioStream] = []
        self.copied: deque[CopiedPacket] = deque()
        self.notes: list[str] = []
        self.reached_end = False
        self.wait_seconds = 0.0
        first = math.ceil((cut.start_seconds or 0.0) * IMAGE_RATE - 1e-9)
        stop = len(files)
        if cut.end_seconds is not None and cut.end_seconds < math.inf:
            stop = math.ceil(cut.end_seconds * IMAGE_RATE - 1e-9)
        self._files = files[first:stop][: cut.limit]
        if not self._files:
            raise SourceError(
                f"no image of {name} lies between start and end: {len(files)} images at "
                f"{IMAGE_RATE} per second last {float(len(files) / IMAGE_RATE):g} s"
            )
        self._first = first
        self._pace = pace
        self._clock = clock
        self._interrupted = threading.Event()
        self._converter = Converter()
        image = self._converter.planar(self._read(self._files[0]))
        self.info = SourceInfo(
            name=name,
            stem="images" if any(mark in name for mark in "*?[") else Path(name).resolve().stem,
            size=(image.height, image.width),
            rate=IMAGE_RATE,
            time_base=1 / IMAGE_RATE,
            num_frames=len(self._files),
            live=False,
            color_tags=(image.colorspace, image.color_range),
        )

    def interrupt(self) -> None:
        """See `pipeline.Producer`."""
        self._interrupted.set()

    def close(self) -> None:
        """See `pipeline.Producer`. Nothing stays open between images."""

    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self._files):
            planar = self._converter.planar(self._read(file))
            planar.pts, planar.time_base = self._first + index, self.info.time_base
            planar.duration = 1
            time_seconds = float(planar.pts * self.info.time_base)
            if self._pace:
                self.wait_seconds += self._pace.wait(time_seconds, self._interrupted)
            if self._interrupted.is_set():
                return
            yield Frame(
                image=planar,
                pixels=planar_view(planar),
                index=index,
                time_seconds=time_seconds,
                captured_seconds=self._clock(),
                corrupt=bool(planar.is_corrupt),
            )

    @staticmethod
    def _read(file: Path) -> av.VideoFrame:
        try:
            with av.open(f"file:{file}", metadata_errors="replace") as container:
                return next(container.decode(video=0))
        except (av.error.FFmpegError, OSError, IndexError, StopIteration) as error:
            raise SourceError(f"expected an image in {file}: {reason(error)}") from error
