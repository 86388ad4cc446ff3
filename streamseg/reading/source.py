"""What a source of frames is, and what is known of it before its first frame.

`open_source` finds the right one: `video_source` or `image_source`.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, Protocol

import av

from streamseg.frames import Frame
from streamseg.picture.format import PictureFormat

IMAGE_RATE = Fraction(25)
"""Frames per second that a folder of images is given."""

OnCorrupt = Literal["keep", "skip", "stop"]
"""What becomes of damaged pictures: processed like any other, left out, or the end of the stream."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceInfo:
    """What is known of a source before its first frame. Produced by a source; consumed by the sink
    and by users.

    Attributes:
        name: what reports call it; credentials are redacted.
        stem: its name without folder or suffix, for naming outputs.
        size: (height, width) in pixels of the upright picture: that of label maps and results.
        format: the picture as stored, before it is turned or converted.
        codec: FFmpeg's name of the decoder.
        rate: frames per second, None when the container does not say.
        time_base: unit of the PTS, seconds.
        num_frames: how many to expect, None when unknown (live, pipe).
        live: frames come at their own pace and waiting loses them.
        image_tags: FFmpeg's numbers of colour space and range that `Frame.image` will carry.
    """

    name: str
    stem: str
    size: tuple[int, int]
    format: PictureFormat
    codec: str
    rate: Fraction | None
    time_base: Fraction
    num_frames: int | None
    live: bool
    image_tags: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which part of a source to read.

    Attributes:
        start_seconds, end_seconds: frames from start on, up to but not including end. Counted from
            the beginning of the video, as a player does, whatever its first timestamp.
        limit: at most so many frames.
    """

    start_seconds: float | None = None
    end_seconds: float | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        start, end = self.start_seconds or 0.0, self.end_seconds
        if not 0 <= start < math.inf or (end is not None and not start < end):
            raise ValueError(f"expected 0 <= start < end in seconds, got start {start}, end {end}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"expected a limit of at least 1 frame, got {self.limit}")

    @property
    def whole(self) -> bool:
        """Whether nothing is cut away."""
        return not self.start_seconds and self.end_seconds is None and self.limit is None

    def chapters(
        self, chapters: Iterable[Any], rate: Fraction | None
    ) -> tuple[dict[str, Any], ...]:
        """Those that the part touches, ending with it: an mp4 lasts as long as its last chapter."""
        start = self.start_seconds or 0.0
        end = math.inf if self.end_seconds is None else self.end_seconds
        if self.limit is not None and rate:
            end = min(end, start + float(self.limit / rate))
        touched = []
        for chapter in chapters:
            unit = Fraction(chapter["time_base"] or 0)
            if chapter["start"] * unit < end and chapter["end"] * unit > start:
                last = chapter["end"] if end == math.inf else min(chapter["end"], int(end / unit))
                touched.append({**chapter, "end": last})
        return tuple(touched)

    def num_frames(self, total: int, rate: Fraction | None) -> int:
        """About how many of `total` frames at `rate` remain; for progress bars."""
        if rate is not None and self.end_seconds is not None and self.end_seconds < math.inf:
            total = min(total, math.ceil(self.end_seconds * rate))
        if rate is not None and self.start_seconds:
            total = max(total - math.ceil(self.start_seconds * rate), 0)
        return min(total, self.limit or total)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """What a container holds besides pictures. Produced by a source; consumed by the writer.

    Attributes:
        streams: audio, subtitles, data, attachments whose packets go into `Source.copied`; for use as
            templates while the source is open.
        metadata: of the container (title, creation_time, location ...).
        video_metadata: of the video stream (language, handler_name ...).
        video_disposition: PyAV's flags of it (default, forced ...).
        chapters: as PyAV gives and takes them.
    """

    streams: "tuple[av.stream.Stream, ...]" = ()
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    video_disposition: int = 0
    chapters: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CopiedPacket:
    """A packet of sound, subtitles or data to be written unchanged. Produced by a video source; consumed by the sink.

    Attributes:
        stream_index: its stream in the source. Kept apart from `packet`, whose own reference to the
            stream dangles once the source is closed.
        time_seconds: its PTS in seconds.
    """

    packet: "av.Packet[Any]"
    stream_index: int
    time_seconds: float


class Source(Protocol):
    """A `pipeline.Producer` that also says what it is.

    Attributes:
        kept: what the container holds besides pictures.
        copied: packets of `kept.streams` read so far, for the sink to take from the left.
        notes: what was asked of the source and is not so, for the report's fallbacks.
        reached_end: everything was read, so that the sound behind the last frame belongs to it.
        wait_seconds: time spent waiting for input to arrive or for a frame's turn, so far.
        corrupt_skipped: damaged pictures that became no frames, so far.
    """

    info: SourceInfo
    kept: Kept
    copied: deque[CopiedPacket]
    notes: list[str]
    reached_end: bool
    wait_seconds: float

    @property
    def corrupt_skipped(self) -> int: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


class Pace:
    """Gives frames out when their timestamps are due, as a camera would."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._origin: float | None = None

    def wait(self, time_seconds: float, interrupted: threading.Event) -> float:
        """Sleep until `time_seconds` after the first frame, or until interrupted.

        Returns:
            Seconds slept.
        """
        now = self._clock()
        if self._origin is None:
            self._origin = now - time_seconds
        interrupted.wait(max(0.0, self._origin + time_seconds - now))
        return self._clock() - now
