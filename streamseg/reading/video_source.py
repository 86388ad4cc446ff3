"""Video as a source. Comes in: one FFmpeg container. Goes out: `Frame`s, and packets of sound beside
them. Runs on the producer's thread (for files, FFmpeg decodes on threads of its own).
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
from av.stream import Disposition

from streamseg.errors import SourceError
from streamseg.frames import Frame
from streamseg.picture.convert import Converter, planar_tags
from streamseg.picture.planes import planar_view
from streamseg.reading.pipe import PolledPipe
from streamseg.reading.source import IMAGE_RATE, CopiedPacket, Cut, Pace, SourceInfo

SEEK_MARGINS_SECONDS = (0.0, 2.0, 10.0, 60.0, math.inf)
"""How far in front of the start of a cut to begin reading, until nothing is missed."""

MISSING_SECONDS = 0.5
"""A file without a count of its frames is cut short when it ends by so much before its duration."""


class VideoSource:
    """Implements `Source` over one FFmpeg container.

    Damaged packets are skipped and marked on the frame after them.

    Args:
        opened: what FFmpeg opens: an address, or a `PolledPipe`.
        name, stem: see `SourceInfo`; `name` stands in for `opened` in every message.
        cut: the part to read.
        clock: monotonic seconds, for the frames' capture times.
        pace: hold frames back until they are due (never those of a source without an end).
        keep_audio: collect packets of sound in `copied`.
        live: the source cannot wait; decode with the least delay.
        seekable: jump to the start of the cut instead of reading up to it.
        format, options, timeout: for FFmpeg; `timeout` in seconds, per read.

    Raises:
        SourceError: it cannot be opened, or holds no video.
    """

    def __init__(
        self,
        opened: str | PolledPipe,
        name: str,
        stem: str,
        *,
        cut: Cut,
        clock: Callable[[], float],
        pace: Pace | None = None,
        keep_audio: bool = False,
        live: bool = False,
        seekable: bool = False,
        format: str | None = None,
        options: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.copied: deque[CopiedPacket] = deque()
        self.notes: list[str] = []
        self.reached_end = False
        self.wait_seconds = 0.0
        self._name = name
        self._cut = cut
        self._clock = clock
        self._pace = pace
        self._live = live
        self._seekable = seekable
        self._timeout = timeout
        self._pipe = opened if isinstance(opened, PolledPipe) else None
        self._interrupted = self._pipe.stop if self._pipe else threading.Event()
        self._converter = Converter()
        self._packets_read = 0
        self._end_seconds = 0.0
        try:
            self._container = av.open(
                opened,
                "r",
                format=format,
                options=options or {},
                timeout=timeout,
                metadata_errors="replace",
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if self._pipe and self._pipe.interrupted:
                raise KeyboardInterrupt from error
            raise SourceError(self._cannot_open(error)) from error
        try:
            self._video = self._pick_video()
            self._video.thread_type = "SLICE" if live else "AUTO"
            self.audio = self._pick_audio() if keep_audio else []
            self._origin_seconds = float((self._video.start_time or 0) * self._time_base())
            self.info = self._describe(stem)
            if not self._container.duration:
                self._pace = (
                    None  # nothing stored has no length: an address with a camera behind it
                )
        except BaseException:
            self._container.close()
            raise

    def interrupt(self) -> None:
        """See `pipeline.Producer`. A read that hangs ends with FFmpeg's timeout."""
        self._interrupted.set()

    def close(self) -> None:
        """See `pipeline.Producer`."""
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        start = self._origin_seconds + (self._cut.start_seconds or 0.0)
        end = self._cut.end_seconds
        jump = self._cut.start_seconds and self._seekable
        index = 0
        for image, damaged in self._decoded_from(start) if jump else self._decoded():
            if self._interrupted.is_set():
                return
            time_seconds = self._stamp(image, index)
            if index == 0 and image.rotation:
                self.notes.append(
                    f"video turned by {image.rotation} degrees as its tag says, processed as it is "
                    f"stored, turning is not in this version"
                )
            if self._cut.start_seconds and time_seconds < start - 1e-9:
                continue
            if end is not None and time_seconds >= self._origin_seconds + end - 1e-9:
                return
            if self._pace:
                self.wait_seconds += self._pace.wait(time_seconds, self._interrupted)
            planar = self._converter.planar(image)
            yield Frame(
                image=planar,
                pixels=planar_view(planar),
                index=index,
                time_seconds=time_seconds,
                captured_seconds=self._clock(),
                corrupt=damaged or bool(image.is_corrupt),
            )
            index += 1
            if index == self._cut.limit:
                return
        if not self._interrupted.is_set():
            self.reached_end = self._cut.whole
            self._check_complete(index)

    # ---- before the first frame

    def _pick_video(self) -> av.VideoStream:
        videos = [
            stream
            for stream in self._container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        if not videos:
            kinds = ", ".join(sorted({entry.type for entry in self._container.streams})) or "none"
            if self._container.streams.video:
                kinds = "sound with a cover picture"
            raise SourceError(f"expected a video stream in {self._name}; it holds: {kinds}")
        best = self._container.streams.best("video")
        stream = next((video for video in videos if video is best), videos[0])
        # PyAV gives no decoder for a codec that its FFmpeg lacks, whatever its type says.
        if getattr(stream, "codec_context", None) is None:
            raise SourceError(f"FFmpeg has no decoder for the video in {self._name}")
        if not stream.width or not stream.height:
            raise SourceError(f"the video in {self._name} has no picture size; is it cut off?")
        return stream

    def _pick_audio(self) -> list[av.AudioStream]:
        kept = []
        for stream in self._container.streams.audio:
            if getattr(stream, "codec_context", None) is None:
                self.notes.append(
                    f"audio stream {stream.index} kept, left out, FFmpeg does not know its codec"
                )
            else:
                kept.append(stream)
        return kept

    def _time_base(self) -> Fraction:
        return Fraction(self._video.time_base or Fraction(1, 90000))

    def _describe(self, stem: str) -> SourceInfo:
        video = self._video
        rate = video.average_rate or video.guessed_rate or None
        frames: int | None = video.frames or None
        seconds = self._promised_seconds()
        if frames is None and seconds is None and self._container.duration:
            seconds = self._container.duration / av.time_base
        if frames is None and seconds is not None and rate:
            frames = round(seconds * rate)
        if frames is not None:
            frames = self._cut.num_frames(frames, rate)
        return SourceInfo(
            name=self._name,
            stem=stem,
            size=(video.height, video.width),
            rate=Fraction(rate) if rate else None,
            time_base=self._time_base(),
            num_frames=None if self._live else frames or self._cut.limit,
            live=self._live,
            color_tags=planar_tags(video.codec_context),
        )

    # ---- reading

    def _decoded_from(self, start: float) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Like `_decoded`, from the codec keyframe before `start` on."""
        # Where a container has no index (MPEG-TS), a jump may land too late: try further back.
        for margin in SEEK_MARGINS_SECONDS:
            at_beginning = start - margin <= self._origin_seconds
            target = self._origin_seconds - 1.0 if at_beginning else start - margin
            try:
                self._container.seek(int(target / self.info.time_base), stream=self._video)
            except (av.error.FFmpegError, OSError):
                break  # read on from the beginning
            self.copied.clear()
            frames = self._decoded()
            first = next(frames, None)
            if first is None and not at_beginning:
                continue
            if first is None or self._stamp(first[0], 0) <= start + 1e-9 or at_beginning:
                yield from [first] if first else []
                yield from frames
                return
        yield from self._decoded()

    def _stamp(self, image: av.VideoFrame, index: int) -> float:
        """The frame's time in seconds; a frame without PTS gets one by its index."""
        if image.pts is None or not image.time_base:
            image.time_base = self.info.time_base
            image.pts = round(index / (self.info.rate or IMAGE_RATE) / self.info.time_base)
        time_seconds = float(image.pts * image.time_base)
        length = image.duration * image.time_base or 1 / (self.info.rate or IMAGE_RATE)
        self._end_seconds = max(self._end_seconds, time_seconds + float(length))
        return time_seconds

    def _decoded(self) -> Iterator[tuple[av.VideoFrame, bool]]:
        """(frame, whether damage was met since the frame before it)."""
        damaged = False
        for packet in self._packets():
            if packet.stream is not self._video:
                self._keep(packet)
                continue
            self._packets_read += packet.size > 0
            try:
                images = packet.decode()
            except av.error.FFmpegError:
                damaged = True
                continue
            for image in images:
                assert isinstance(image, av.VideoFrame)
                yield image, damaged
                damaged = False

    def _keep(self, packet: "av.Packet[Any]") -> None:
        if packet.dts is None or packet.pts is None:
            return  # the demuxer's flush packet, or one that no container could place
        seconds = float(packet.pts * packet.time_base)
        if seconds >= self._origin_seconds + (self._cut.start_seconds or 0.0) or self._cut.whole:
            self.copied.append(
                CopiedPacket(packet=packet, stream_index=packet.stream.index, time_seconds=seconds)
            )

    def _packets(self) -> Iterator["av.Packet[Any]"]:
        packets = self._container.demux([self._video, *self.audio])
        while not self._interrupted.is_set():
            started = self._clock()
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, OSError) as error:
                if self._interrupted.is_set():
                    return
                raise SourceError(f"reading {self._name} failed: {self._reason(error)}") from error
            if self._timeout is not None or self._live or self._pipe:
                self.wait_seconds += self._clock() - started
            yield packet

    # ---- the end

    def _promised_packets(self) -> int | None:
        """Pictures that the header lists, when it lists them one by one (the mp4 family)."""
        # Not `frames` alone: it counts pictures that an edit list takes away again.
        listed = len(self._video.index_entries)
        if "mp4" in self._container.format.name.split(",") and self._video.frames and listed:
            return min(self._video.frames, listed)
        return None

    def _promised_seconds(self) -> float | None:
        """The video's own length by the header; None when it does not say."""
        tags = [text for key, text in self._video.metadata.items() if key.startswith("DURATION")]
        if tags:  # Matroska: 00:01:02.345
            try:
                hours, minutes, seconds = tags[0].split(":")
                return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
            except ValueError:
                return None
        if self._video.frames and self._video.average_rate:
            return float(self._video.frames / self._video.average_rate)
        return None

    def _check_complete(self, decoded: int) -> None:
        if decoded == 0:
            where = "between start and end of" if not self._cut.whole else "in"
            raise SourceError(f"expected frames {where} {self._name}; none could be decoded")
        if self._live or not self._cut.whole:
            return
        packets, seconds = self._promised_packets(), self._promised_seconds()
        reached = self._end_seconds - self._origin_seconds
        if packets is not None:
            if self._packets_read < packets:
                raise SourceError(
                    f"{self._name} is cut short: its header promises {packets} frames, "
                    f"{decoded} could be decoded and were processed"
                )
        elif seconds is not None and reached < seconds - MISSING_SECONDS:
            raise SourceError(
                f"{self._name} is cut short: its header promises {seconds:.2f} s, "
                f"{reached:.2f} s ({decoded} frames) could be decoded and were processed"
            )

    # ---- words

    def _cannot_open(self, error: Exception) -> str:
        if isinstance(error, av.error.InvalidDataError):
            return (
                f"expected a video in {self._name}; FFmpeg recognises none "
                f"(damaged, cut off, or another kind of file)"
            )
        return f"cannot open {self._name}: {self._reason(error)}"

    def _reason(self, error: Exception) -> str:
        if isinstance(error, av.error.ExitError):  # FFmpeg's own timeout
            return f"no data for {self._timeout:g} s"
        return reason(error)


def reason(error: Exception) -> str:
    """FFmpeg's or the system's words, without the file name that may hold a password."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
