"""One opened FFmpeg container: which stream is the video, what stands beside it, what its header
promises. Comes in: an address or a pipe. Goes out: what `video_source` decodes from. Opened on the
caller's thread.
"""

import threading
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.container.core import Flags
from av.stream import Disposition

from streamseg.errors import SourceError, reason
from streamseg.reading.pipe import PolledPipe
from streamseg.reading.source import Kept

if TYPE_CHECKING:
    from av.container import InputContainer


class OpenedVideo:
    """A container with a video stream that can be decoded.

    Args:
        opened: what FFmpeg opens: an address, or a `PolledPipe`.
        name: stands in for `opened` in every message.
        keep: kinds of streams to be copied: "audio", "subtitle", "data", "attachment"; any at all also
            keeps cover pictures.
        max_pixels: greater pictures are refused.
        motion_vectors: have the decoder export them, where it can.
        format, options, timeout: for FFmpeg; `timeout` in seconds, per read.

    Attributes:
        video: the stream to decode.
        kept: what is to be copied.
        notes: what was to be kept and cannot be.
        interrupted: set to end reading; a pipe's own.

    Raises:
        SourceError: it cannot be opened, or holds no video that FFmpeg can decode.
    """

    def __init__(
        self,
        opened: str | PolledPipe,
        name: str,
        *,
        keep: frozenset[str],
        max_pixels: int,
        motion_vectors: bool,
        format: str | None,
        options: dict[str, str],
        timeout: float | None,
    ) -> None:
        self.name = name
        self.notes: list[str] = []
        self.pipe = opened if isinstance(opened, PolledPipe) else None
        self.interrupted = self.pipe.stop if self.pipe else threading.Event()
        self._max_pixels = max_pixels
        self._timeout = timeout
        limit = {"max_pixels": str(max_pixels)}
        try:
            self.container: InputContainer = av.open(
                opened,
                "r",
                format=format,
                options=options | limit,  # FFmpeg decodes a little here already
                timeout=timeout,
                metadata_errors="replace",
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.raise_interrupt(error)
            raise SourceError(self._cannot_open(error)) from error
        # PyAV has FFmpeg make up missing PTS, which is wrong behind B-frames of an AVI.
        self.container.flags &= ~Flags.gen_pts.value  # type: ignore[operator]  # it is an int
        try:
            self.video = self._pick_video()
            export = {"flags2": "+export_mvs"} if motion_vectors else {}
            self.video.codec_context.options = limit | export
            self.kept = self._pick_kept(keep)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Idempotent."""
        self.container.close()

    def raise_interrupt(self, error: Exception | None = None) -> None:
        """Ctrl-C that came while FFmpeg read from a pipe, which cannot pass it on."""
        if self.pipe and self.pipe.interrupted:
            raise KeyboardInterrupt from error

    @property
    def time_base(self) -> Fraction:
        """Unit of the video's PTS, seconds."""
        return Fraction(self.video.time_base or Fraction(1, 90000))

    @property
    def origin_seconds(self) -> float:
        """PTS of the first picture, as the header has it."""
        return float((self.video.start_time or 0) * self.time_base)

    @property
    def rate(self) -> Fraction | None:
        """Pictures per second; None when the container does not say."""
        rate = self.video.average_rate or self.video.guessed_rate
        return Fraction(rate) if rate else None

    @property
    def has_times(self) -> bool:
        """Whether pictures have timestamps that one can seek by; bare H.264 has none."""
        return self.video.start_time is not None

    @property
    def stored(self) -> bool:
        """Whether it has a length; an address with a camera behind it has none."""
        return bool(self.container.duration)

    def check_size(self, height: int, width: int) -> None:
        """Refuse pictures that are too large to be honest.

        Raises:
            SourceError: they are.
        """
        if height * width > self._max_pixels:
            raise SourceError(
                f"expected pictures of at most {self._max_pixels} pixels in {self.name}, got "
                f"{height}x{width}; --max-pixels allows more"
            )

    def reading_failed(self, error: Exception) -> SourceError:
        """What to raise when FFmpeg cannot read on."""
        return SourceError(f"reading {self.name} failed: {self._reason(error)}")

    # ---- streams

    def _pick_video(self) -> av.VideoStream:
        videos = [
            stream
            for stream in self.container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        if not videos:
            kinds = ", ".join(sorted({entry.type for entry in self.container.streams})) or "none"
            if self.container.streams.video:
                kinds = "sound with a cover picture"
            raise SourceError(f"expected a video stream in {self.name}; it holds: {kinds}")
        best = self.container.streams.best("video")
        stream = next((video for video in videos if video is best), videos[0])
        # PyAV gives no decoder for a codec that its FFmpeg lacks, whatever its type says.
        if getattr(stream, "codec_context", None) is None:
            raise SourceError(f"FFmpeg has no decoder for the video in {self.name}")
        if not stream.width or not stream.height:
            raise SourceError(f"the video in {self.name} has no picture size; is it cut off?")
        self.check_size(stream.height, stream.width)
        return stream

    def _pick_kept(self, kinds: frozenset[str]) -> Kept:
        streams = []
        for stream in self.container.streams if kinds else ():
            cover = stream.type == "video" and stream.disposition & Disposition.attached_pic
            if stream is self.video:
                continue
            if stream.type == "video" and not cover:
                self.notes.append(
                    f"video stream {stream.index} kept, left out, stream {self.video.index} is the one "
                    f"that is processed"
                )
            if not (stream.type in kinds or cover):
                continue
            if stream.type == "audio" and getattr(stream, "codec_context", None) is None:
                self.notes.append(
                    f"audio stream {stream.index} kept, left out, FFmpeg does not know its codec"
                )
                continue
            streams.append(stream)
        return Kept(
            streams=tuple(streams),
            metadata=dict(self.container.metadata),
            video_metadata=dict(self.video.metadata),
            video_disposition=int(self.video.disposition),
            chapters=tuple(self.container.chapters()),
        )

    # ---- what the header promises

    def promised_packets(self) -> int | None:
        """Pictures that the header lists, when it lists them one by one (the mp4 family)."""
        # Not `frames` alone: it counts pictures that an edit list takes away again.
        listed = len(self.video.index_entries)
        if "mp4" in self.container.format.name.split(",") and self.video.frames and listed:
            return min(self.video.frames, listed)
        return None

    def promised_end(self) -> float | None:
        """When the last picture ends by the header, in seconds; None when it does not say."""
        seconds = self.promised_seconds()
        # Matroska's DURATION counts from 0, whenever the first picture is shown.
        from_zero = any(key.startswith("DURATION") for key in self.video.metadata)
        return None if seconds is None else seconds + (0 if from_zero else self.origin_seconds)

    def promised_seconds(self) -> float | None:
        """The video's own length by the header; None when it does not say."""
        tags = [text for key, text in self.video.metadata.items() if key.startswith("DURATION")]
        if tags:  # Matroska: 00:01:02.345
            try:
                hours, minutes, seconds = tags[0].split(":")
                return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
            except ValueError:
                return None
        if self.video.frames and self.video.average_rate:
            return float(self.video.frames / self.video.average_rate)
        return None

    def num_frames(self, count: Callable[[int, Fraction | None], int]) -> int | None:
        """About how many pictures are left of all by `count` (`Cut.num_frames`); None when unknown."""
        frames: int | None = self.video.frames or None
        seconds = self.promised_seconds()
        if frames is None and seconds is None and self.container.duration:
            seconds = self.container.duration / av.time_base
        if frames is None and seconds is not None and self.rate:
            frames = round(seconds * self.rate)
        return None if frames is None else count(frames, self.rate)

    # ---- words

    def _cannot_open(self, error: Exception) -> str:
        if isinstance(error, av.error.InvalidDataError):
            return (
                f"expected a video in {self.name}; FFmpeg recognises none "
                f"(damaged, cut off, or another kind of file)"
            )
        return f"cannot open {self.name}: {self._reason(error)}"

    def _reason(self, error: Exception) -> str:
        if isinstance(error, av.error.ExitError):  # FFmpeg's own timeout
            return f"no data for {self._timeout:g} s"
        return reason(error)
