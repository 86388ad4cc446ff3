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

from streamseg.errors import SourceError, reason
from streamseg.frames import Frame
from streamseg.picture.convert import Converter
from streamseg.picture.format import format_of
from streamseg.picture.orientation import orientation_of_photograph
from streamseg.picture.planes import planar_view
from streamseg.reading.limits import MAX_PIXELS
from streamseg.reading.png_chunks import unpacks_too_far
from streamseg.reading.source import (
    IMAGE_RATE,
    CopiedPacket,
    Cut,
    Kept,
    OnCorrupt,
    Pace,
    SourceInfo,
)

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

    An image that cannot be read is left out, its time with it, unless `on_corrupt` is "stop".

    Raises:
        SourceError: no image can be read, or the cut leaves none.
    """

    def __init__(
        self,
        name: str,
        files: list[Path],
        *,
        cut: Cut,
        pace: Pace | None,
        clock: Callable[[], float],
        on_corrupt: OnCorrupt = "keep",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.kept = Kept()
        self.copied: deque[CopiedPacket] = deque()
        self.notes: list[str] = []
        self.reached_end = False
        self.wait_seconds = 0.0
        self.corrupt_skipped = 0
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
        self._on_corrupt = on_corrupt
        self._max_pixels = max_pixels
        self._interrupted = threading.Event()
        self._converter = Converter()
        decoded = self._first_readable()
        picture = format_of(decoded, codec="png")
        seen = self._converter.seen(decoded, picture.orientation)
        self.info = SourceInfo(
            name=name,
            stem="images" if any(mark in name for mark in "*?[") else Path(name).resolve().stem,
            size=(seen.height, seen.width),
            format=picture,
            codec=self._files[0].suffix[1:].lower(),
            rate=IMAGE_RATE,
            time_base=1 / IMAGE_RATE,
            num_frames=len(self._files),
            live=False,
            image_tags=(seen.colorspace, seen.color_range),
        )

    def interrupt(self) -> None:
        """See `pipeline.Producer`."""
        self._interrupted.set()

    def close(self) -> None:
        """See `pipeline.Producer`. Nothing stays open between images."""

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        for position, file in enumerate(self._files):
            if self._interrupted.is_set():
                return
            try:
                decoded = self._read(file)
            except SourceError as error:
                if self._on_corrupt == "stop":
                    raise
                self.corrupt_skipped += 1
                self.notes.append(f"{file.name} asked for, left out, {error}")
                continue
            frame = self._frame(decoded, index, self._first + position)
            if self._pace:
                self.wait_seconds += self._pace.wait(frame.time_seconds, self._interrupted)
            yield frame
            index += 1

    def _frame(self, decoded: av.VideoFrame, index: int, pts: int) -> Frame:
        decoded.pts, decoded.time_base, decoded.duration = pts, self.info.time_base, 1
        # Photographs are turned one by one.
        orientation = orientation_of_photograph(decoded)
        seen = self._converter.seen(decoded, orientation)
        return Frame(
            image=seen,
            pixels=planar_view(seen),
            decoded=decoded,
            orientation=orientation,
            index=index,
            time_seconds=float(pts * self.info.time_base),
            captured_seconds=self._clock(),
            corrupt=bool(decoded.is_corrupt),
        )

    def _first_readable(self) -> av.VideoFrame:
        """The first image that can be read; what is wrong with the others is told while reading."""
        failure: SourceError | None = None
        for file in self._files:
            try:
                decoded = self._read(file)
            except SourceError as error:
                if self._on_corrupt == "stop":
                    raise
                failure = failure or error
                continue
            decoded.pts, decoded.time_base = 0, 1 / IMAGE_RATE
            return decoded
        assert failure is not None  # there is at least one file
        raise failure

    def _read(self, file: Path) -> av.VideoFrame:
        limit = {"max_pixels": str(self._max_pixels)}
        options = limit | {
            "pattern_type": "none"
        }  # else a name may stand for a sequence: f%03d.png
        try:
            if unpacks_too_far(file):
                raise SourceError(f"{file} holds more text or colour profile than any honest image")
            with av.open(f"file:{file}", options=options, metadata_errors="replace") as container:
                stream = container.streams.video[0]
                if stream.codec_context is not None:
                    stream.codec_context.options = limit
                return next(container.decode(stream))
        except (av.error.FFmpegError, OSError, IndexError, StopIteration) as error:
            raise SourceError(
                f"expected an image of at most {self._max_pixels} pixels in {file}: {reason(error)}"
            ) from error
