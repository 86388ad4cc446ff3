"""Video as a source. Comes in: one FFmpeg container. Goes out: `Frame`s, and beside them the packets
that are only copied. Opened on the caller's thread, which also decodes the first picture of a file (it
alone tells how the others are turned and what they are made of); read on the producer's thread (for
files, FFmpeg decodes on threads of its own).
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
from av.stream import Disposition

from streamseg.errors import SourceError
from streamseg.frames import Frame
from streamseg.picture.convert import Converter, planar_tags
from streamseg.picture.format import PictureFormat, color_tags, format_of
from streamseg.picture.planes import planar_view
from streamseg.reading.container import OpenedVideo
from streamseg.reading.limits import MAX_PIXELS
from streamseg.reading.pipe import PolledPipe
from streamseg.reading.source import IMAGE_RATE, CopiedPacket, Cut, OnCorrupt, Pace, SourceInfo

SEEK_MARGINS_SECONDS = (0.0, 2.0, 10.0, 60.0, math.inf)
"""How far in front of the start of a cut to begin reading, until nothing is missed."""

RESTART_SECONDS = 0.2
"""Timestamps that go back by more have begun anew; by less, pictures or clocks are out of order."""

WITHOUT_PTS = 16
"""So many pictures are held back for one that has a PTS, then the source is taken to have none at all."""

MISSING_SECONDS = 0.5
"""A file without a count of its frames is cut short when it ends by so much before its duration."""

Decoded = tuple[av.VideoFrame, float, bool]
"""A picture with PTS, its time in seconds, and whether it is damaged."""


class VideoSource:
    """Implements `Source` over one FFmpeg container.

    A packet that cannot be decoded at all leaves its mark on the picture after it.

    Args:
        opened: what FFmpeg opens: an address, or a `PolledPipe`.
        name, stem: see `SourceInfo`; `name` stands in for `opened` in every message.
        cut: the part to read.
        clock: monotonic seconds, for the frames' capture times.
        pace: hold frames back until they are due (never those of a source without an end).
        live: the source cannot wait; decode with the least delay.
        seekable: jump to the start of the cut instead of reading up to it.
        on_corrupt: what becomes of damaged pictures.
        keep, max_pixels, format, options, timeout: see `OpenedVideo`.

    Raises:
        SourceError: it cannot be opened, or holds no video; or no picture can be decoded (of live video
            that shows later).
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
        live: bool = False,
        seekable: bool = False,
        on_corrupt: OnCorrupt = "keep",
        keep: frozenset[str] = frozenset(),
        max_pixels: int = MAX_PIXELS,
        format: str | None = None,
        options: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.copied: deque[CopiedPacket] = deque()
        self.reached_end = False
        self.wait_seconds = 0.0
        self.corrupt_skipped = 0
        self._name = name
        self._cut = cut
        self._clock = clock
        self._pace = pace
        self._live = live
        self._waits = live or timeout is not None or isinstance(opened, PolledPipe)
        self._on_corrupt = on_corrupt
        self._converter = Converter()
        self._packets_read = 0
        self._corrupt_pts: set[int | None] = set()
        self._failure: SourceError | None = None
        self._shift_seconds = 0.0
        self._last_seconds = self._end_seconds = -math.inf
        self._opened = OpenedVideo(
            opened,
            name,
            keep=keep,
            max_pixels=max_pixels,
            format=format,
            options=options or {},
            timeout=timeout,
        )
        kept = self._opened.kept
        self.kept = replace(kept, chapters=cut.chapters(kept.chapters, self._opened.rate))
        self.notes = self._opened.notes
        try:
            self._length = 1 / (self._opened.rate or IMAGE_RATE)
            self._opened.video.thread_type = "SLICE" if live else "AUTO"
            self._origin_seconds = self._opened.origin_seconds
            if not self._opened.stored:
                self._pace = None
            self._start_seconds = self._origin_seconds + (cut.start_seconds or 0.0)
            jump = cut.start_seconds and seekable and self._opened.has_times
            self._pictures = self._timed(self._decoded_from_start() if jump else self._decoded())
            self._first = None if live else self._decode_first()
            self.info = self._describe(stem)
        except BaseException:
            self._opened.close()
            raise

    def interrupt(self) -> None:
        """See `pipeline.Producer`. A read that hangs ends with FFmpeg's timeout."""
        self._opened.interrupted.set()

    def close(self) -> None:
        """See `pipeline.Producer`."""
        self._opened.close()

    def __iter__(self) -> Iterator[Frame]:
        end = math.inf if self._cut.end_seconds is None else self._cut.end_seconds
        index = 0
        for image, time_seconds, damaged in self._from_start():
            if self._opened.interrupted.is_set():
                return
            if time_seconds >= self._origin_seconds + end - 1e-9:
                break
            if damaged and not self._wanted_though_damaged(time_seconds):
                continue
            if self._pace:
                self.wait_seconds += self._pace.wait(time_seconds, self._opened.interrupted)
            yield self._frame(image, index, time_seconds, damaged)
            index += 1
            if index == self._cut.limit:
                return
        if not self._opened.interrupted.is_set():
            self.reached_end = self._cut.whole
            self._check_complete(index)

    def _from_start(self) -> Iterator[Decoded]:
        """Pictures from the start of the cut on, the one that opened the file among them."""
        first = [self._first] if self._first else []
        self._first = None
        for decoded in itertools.chain(first, self._pictures):
            if not self._cut.start_seconds or decoded[1] >= self._start_seconds - 1e-9:
                yield decoded

    def _wanted_though_damaged(self, time_seconds: float) -> bool:
        if self._on_corrupt == "stop":
            raise SourceError(
                f"a damaged picture at {time_seconds:.3f} s of {self._name}; what came before it was "
                f"processed (--on-corrupt keep or skip goes on)"
            )
        self.corrupt_skipped += self._on_corrupt == "skip"
        return self._on_corrupt == "keep"

    def _frame(self, image: av.VideoFrame, index: int, time_seconds: float, damaged: bool) -> Frame:
        orientation = self.info.format.orientation
        seen = self._converter.seen(image, orientation)
        return Frame(
            image=seen,
            pixels=planar_view(seen),
            decoded=image,
            orientation=orientation,
            index=index,
            time_seconds=time_seconds,
            captured_seconds=self._clock(),
            corrupt=damaged,
            interlaced=bool(image.interlaced_frame),
        )

    # ---- before the first frame

    def _decode_first(self) -> Decoded:
        first = next(self._pictures, None)
        self._opened.raise_interrupt()
        if first is None:
            raise self._no_frames()
        return first

    def _describe(self, stem: str) -> SourceInfo:
        opened = self._opened
        picture = self._format()
        if not picture.orientation.exact:
            self.notes.append(
                f"the display matrix of {self._name} for the network, its nearest turn by right angles, "
                f"pictures are neither sheared nor turned by {picture.orientation.degrees:.1f} degrees"
            )
        frames = opened.num_frames(self._cut.num_frames)
        return SourceInfo(
            name=self._name,
            stem=stem,
            size=picture.orientation.size(picture.size),
            format=picture,
            codec=opened.video.codec_context.name,
            rate=opened.rate,
            time_base=opened.time_base,
            num_frames=None if self._live else frames or self._cut.limit,
            live=self._live,
            image_tags=self._image_tags(),
        )

    def _format(self) -> PictureFormat:
        """As the first picture has it; of live video, what the header says."""
        video = self._opened.video
        aspect = video.sample_aspect_ratio
        if self._first:
            return format_of(self._first[0], aspect)
        context = video.codec_context
        pix_fmt = context.pix_fmt or "yuv420p"
        return PictureFormat(
            pix_fmt=pix_fmt,
            bits=av.VideoFormat(pix_fmt).components[0].bits,
            size=(video.height, video.width),
            sample_aspect_ratio=aspect or Fraction(1),
            color_tags=color_tags(context),
        )

    def _image_tags(self) -> tuple[int, int]:
        """Colour space and range of `Frame.image`: the network is compiled for them beforehand."""
        if self._first is None:
            return planar_tags(self._opened.video.codec_context)
        seen = self._converter.flat(self._first[0])
        return seen.colorspace, seen.color_range

    # ---- reading

    def _decoded_from_start(self) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Like `_decoded`, from the codec keyframe before the start of the cut on."""
        start = self._start_seconds
        # Where a container has no index (MPEG-TS), a jump may land too late: try further back.
        for margin in SEEK_MARGINS_SECONDS:
            at_beginning = start - margin <= self._origin_seconds
            if not (self._rewind() if at_beginning else self._seek(start - margin)):
                break  # read on from the beginning
            self.copied.clear()
            frames = self._decoded()
            first = next(frames, None)
            timed = first is not None and first[0].pts is not None
            early = timed and first is not None and self._seconds(first[0]) <= start + 1e-9
            if early or at_beginning:
                yield from [first] if first else []
                yield from frames
                return
        yield from self._decoded()

    def _rewind(self) -> bool:
        # In front of the first packet; some containers (AVI) refuse to go there.
        return self._seek(self._origin_seconds - 1.0) or self._seek(self._origin_seconds)

    def _seek(self, seconds: float) -> bool:
        target = int(seconds / self._opened.time_base)
        try:
            self._opened.container.seek(target, stream=self._opened.video)
        except (av.error.FFmpegError, OSError):
            return False
        return True

    def _seconds(self, image: av.VideoFrame) -> float:
        return float((image.pts or 0) * (image.time_base or self._opened.time_base))

    def _timed(self, images: Iterator[tuple[av.VideoFrame, bool]]) -> Iterator[Decoded]:
        """With times in seconds. Where they begin anew (a camera that restarted into the same file), they
        go on behind what was there.
        """
        for image, damaged in self._with_pts(images):
            time_seconds = self._seconds(image) + self._shift_seconds
            if time_seconds < self._last_seconds - RESTART_SECONDS:
                self._shift_seconds += self._end_seconds - time_seconds
                self.notes.append(
                    f"timestamps of {self._name} that begin anew at {self._end_seconds:.3f} s kept, "
                    f"carried on from there, a video has one clock"
                )
                time_seconds = self._end_seconds
            if self._shift_seconds:
                image.pts = round(time_seconds / Fraction(image.time_base or 1))
            self._last_seconds = max(self._last_seconds, time_seconds)
            lasts = float(image.duration * Fraction(image.time_base or 0) or self._length)
            self._end_seconds = max(self._end_seconds, time_seconds + lasts)
            yield image, time_seconds, damaged

    def _with_pts(
        self, images: Iterator[tuple[av.VideoFrame, bool]]
    ) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Pictures without PTS follow the one before them at once; the first ones precede the first that
        has one.
        """
        waiting: list[tuple[av.VideoFrame, bool]] = []
        due: Fraction | None = None
        for image, damaged in images:
            if image.pts is not None and image.time_base:
                stamp = image.pts * Fraction(image.time_base)
                yield from self._spaced(waiting, stamp - len(waiting) * self._length)
                waiting = []
                due = stamp + (image.duration * Fraction(image.time_base) or self._length)
                yield image, damaged
                continue
            waiting.append((image, damaged))
            if due is not None or len(waiting) == WITHOUT_PTS:
                due = Fraction(self._origin_seconds) if due is None else due
                yield from self._spaced(waiting, due)
                due += len(waiting) * self._length
                waiting = []
        yield from self._spaced(waiting, Fraction(self._origin_seconds))

    def _spaced(
        self, images: list[tuple[av.VideoFrame, bool]], first: Fraction
    ) -> list[tuple[av.VideoFrame, bool]]:
        """The same, with PTS from `first` seconds on."""
        for number, (image, _) in enumerate(images):
            image.time_base = self._opened.time_base
            image.pts = round((first + number * self._length) / self._opened.time_base)
        return images

    def _decoded(self) -> Iterator[tuple[av.VideoFrame, bool]]:
        """(picture, whether it is damaged, or a packet before it was lost)."""
        damaged = False
        for packet in self._packets():
            if packet.stream is not self._opened.video:
                self._keep(packet)
                continue
            self._packets_read += packet.size > 0
            if packet.is_corrupt:
                self._corrupt_pts.add(packet.pts)
            try:
                images = packet.decode()
            except av.error.FFmpegError:
                damaged = True
                continue
            for image in images:
                yield image, damaged or self._is_damaged(image)
                damaged = False
        if self._failure is not None:
            # What the decoder still holds was read before reading failed.
            with suppress(av.error.FFmpegError):
                for image in self._opened.video.codec_context.decode(None):
                    yield image, self._is_damaged(image)
            raise self._failure

    def _is_damaged(self, image: av.VideoFrame) -> bool:
        self._opened.check_size(image.height, image.width)
        in_transit = image.pts in self._corrupt_pts
        self._corrupt_pts.discard(image.pts)
        return in_transit or bool(image.is_corrupt)

    def _keep(self, packet: "av.Packet[Any]") -> None:
        if packet.size == 0:
            return  # the demuxer's flush packet
        if packet.pts is None:
            if not packet.stream.disposition & Disposition.attached_pic:
                return  # no container could place it
            seconds = -math.inf  # a cover picture has no time
        else:
            seconds = self._carried_on(packet)
        if seconds >= self._start_seconds or self._cut.whole or seconds == -math.inf:
            self.copied.append(
                CopiedPacket(packet=packet, stream_index=packet.stream.index, time_seconds=seconds)
            )

    def _carried_on(self, packet: "av.Packet[Any]") -> float:
        """The packet's time in seconds; where the pictures' times began anew, moved with them."""
        unit = Fraction(packet.time_base)
        seconds = float((packet.pts or 0) * unit)
        shifted = seconds + self._shift_seconds
        if abs(shifted - self._end_seconds) >= abs(seconds - self._end_seconds):
            return seconds
        ticks = round(self._shift_seconds / unit)
        packet.pts = (packet.pts or 0) + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        return shifted

    def _packets(self) -> Iterator["av.Packet[Any]"]:
        opened = self._opened
        beside = [stream for stream in self.kept.streams if stream.type != "attachment"]
        packets = opened.container.demux([opened.video, *beside])
        while not opened.interrupted.is_set():
            started = self._clock()
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, OSError) as error:
                if not opened.interrupted.is_set():
                    self._failure = opened.reading_failed(error)
                return
            if self._waits:
                self.wait_seconds += self._clock() - started
            yield packet

    # ---- the end

    def _no_frames(self) -> SourceError:
        where = "between start and end of" if not self._cut.whole else "in"
        return SourceError(f"expected frames {where} {self._name}; none could be decoded")

    def _check_complete(self, decoded: int) -> None:
        if decoded == 0 and not self.corrupt_skipped:
            raise self._no_frames()
        if self._live or not self._cut.whole:
            return
        packets, end = self._opened.promised_packets(), self._opened.promised_end()
        if packets is not None:
            if self._packets_read < packets:
                raise SourceError(
                    f"{self._name} is cut short: its header promises {packets} frames, "
                    f"{decoded} could be decoded and were processed"
                )
        elif end is not None and self._end_seconds < end - MISSING_SECONDS:
            promised, reached = end - self._origin_seconds, self._end_seconds - self._origin_seconds
            raise SourceError(
                f"{self._name} is cut short: its header promises {promised:.2f} s, "
                f"{reached:.2f} s ({decoded} frames) could be decoded and were processed"
            )
