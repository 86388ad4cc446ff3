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
from streamseg.frames import CodecMotion, Frame
from streamseg.picture.convert import Converter, planar_tags
from streamseg.picture.format import PictureFormat, color_tags, format_of
from streamseg.picture.planes import NOT_LINEAR, planar_view
from streamseg.reading.codec_motion import DECODERS_WITH_VECTORS, codec_motion
from streamseg.reading.container import OpenedVideo
from streamseg.reading.limits import MAX_PIXELS
from streamseg.reading.pipe import PolledPipe
from streamseg.reading.source import IMAGE_RATE, CopiedPacket, Cut, OnCorrupt, Pace, SourceInfo
from streamseg.reading.timeline import Decoded, Timeline, seconds_of

SEEK_MARGINS_SECONDS = (0.0, 2.0, 10.0, 60.0, math.inf)
"""How far in front of the start of a cut to begin reading, until nothing is missed."""

SINGLE_DECODER_PIXELS = 1920 * 1088
"""Up to this size one core decodes several times faster than two cores segment."""

SOUND_BEHIND_SECONDS = 1.0
"""How far behind its pictures sound may be stored, to be found at the end of a cut."""

MISSING_SECONDS = 0.5
"""A file without a count of its frames is cut short when it ends by so much before its duration."""


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
        motion_vectors: fill `Frame.motion`, if FFmpeg's decoder is one of `DECODERS_WITH_VECTORS`.
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
        motion_vectors: bool = False,
        keep: frozenset[str] = frozenset(),
        max_pixels: int = MAX_PIXELS,
        format: str | None = None,
        options: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.copied: deque[CopiedPacket] = deque()
        self.reached_end = False
        self.wait_seconds = 0.0
        self._skipped = 0
        self._not_decoded = 0
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
        self._motion: CodecMotion | None = None
        self._opened = OpenedVideo(
            opened,
            name,
            keep=keep,
            max_pixels=max_pixels,
            motion_vectors=motion_vectors,
            format=format,
            options=options or {},
            timeout=timeout,
        )
        codec = self._opened.video.codec_context.name
        self._wants_motion = motion_vectors and codec in DECODERS_WITH_VECTORS
        kept = self._opened.kept
        self.kept = replace(kept, chapters=cut.chapters(kept.chapters, self._opened.rate))
        self.notes = self._opened.notes
        try:
            # Decoding several pictures at once delays them, and where one is damaged it loses those
            # that are in the making, too.
            large = self._opened.video.height * self._opened.video.width > SINGLE_DECODER_PIXELS
            threads = "AUTO" if large else "NONE"
            self._opened.video.thread_type = "SLICE" if live else threads
            self._origin_seconds = self._opened.origin_seconds
            self._timeline = Timeline(
                name,
                origin_seconds=self._origin_seconds,
                time_base=self._opened.time_base,
                length=1 / (self._opened.rate or IMAGE_RATE),
            )
            if not self._opened.stored:
                self._pace = None
            self._start_seconds = self._origin_seconds + (cut.start_seconds or 0.0)
            jump = cut.start_seconds and seekable and self._opened.has_times
            decoded = self._decoded_from_start() if jump else self._decoded()
            self._pictures = self._timeline.timed(decoded)
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
                self._read_sound_until(self._origin_seconds + end)
                break
            if damaged and not self._wanted_though_damaged(time_seconds):
                self._motion = None  # what moved meanwhile is not known
                continue
            if self._pace:
                self.wait_seconds += self._pace.wait(time_seconds, self._opened.interrupted)
            yield self._frame(image, index, time_seconds, damaged)
            index += 1
            if index == self._cut.limit:
                self._read_sound_until(self._timeline.end_seconds)
                break
        if not self._opened.interrupted.is_set():
            self.reached_end = self._cut.whole
            self._check_complete(index)

    @property
    def corrupt_skipped(self) -> int:
        """See `Source`: those left out by `on_corrupt`, and those that no picture came of."""
        return self._skipped + self._not_decoded

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
        self._skipped += self._on_corrupt == "skip"
        return self._on_corrupt == "keep"

    def _frame(self, image: av.VideoFrame, index: int, time_seconds: float, damaged: bool) -> Frame:
        orientation = self.info.format.orientation
        seen = self._converter.seen(image, orientation)
        pixels = planar_view(seen)
        if self._wants_motion:
            self._motion = codec_motion(image, pixels, self._motion)
        return Frame(
            image=seen,
            pixels=pixels,
            decoded=image if self._keeps_more() else seen,
            orientation=orientation,
            index=index,
            time_seconds=time_seconds,
            captured_seconds=self._clock(),
            corrupt=damaged,
            interlaced=bool(image.interlaced_frame),
            motion=self._motion,
        )

    def _keeps_more(self) -> bool:
        """Whether a writer may want what the network does not see; if not, RGB of 8K is soon let go."""
        picture = self.info.format
        return (
            picture.bits > 8 or picture.transfer != "sdr" or picture.orientation.matrix is not None
        )

    def _read_sound_until(self, end_seconds: float) -> None:
        """Sound is often stored behind its pictures: what belongs to the last one may not be read yet."""
        missing = {stream.index for stream in self.kept.streams if stream.type == "audio"}
        packets = self._packets() if missing and not self._live else iter(())
        for packet in packets:
            seconds = -math.inf if packet.dts is None else float(packet.dts * packet.time_base)
            if packet.stream is self._opened.video:
                if seconds > end_seconds + SOUND_BEHIND_SECONDS:
                    return
                continue
            self._keep(packet)
            if seconds >= end_seconds:
                missing.discard(packet.stream.index)
                if not missing:
                    return

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
        if strange := NOT_LINEAR.get(picture.color_tags[0]):
            self.notes.append(
                f"colours of {self._name} as tagged ({strange}), taken for Y'CbCr and so wrong, this "
                f"version converts no others"
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
            return format_of(self._first[0], aspect, codec=video.codec_context.name)
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
            early = timed and first is not None and seconds_of(first[0]) <= start + 1e-9
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
                self._not_decoded += 1
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
            seconds = self._timeline.carry_on(packet)
        if seconds >= self._start_seconds or self._cut.whole or seconds == -math.inf:
            self.copied.append(
                CopiedPacket(packet=packet, stream_index=packet.stream.index, time_seconds=seconds)
            )

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
        self.notes += self._timeline.notes
        if self._not_decoded and self._on_corrupt == "stop":
            raise SourceError(
                f"{self._not_decoded} pictures of {self._name} could not be decoded; the others were "
                f"processed (--on-corrupt keep or skip goes on)"
            )
        if decoded == 0 and self._skipped:
            raise SourceError(
                f"expected whole pictures in {self._name}; all {self._skipped} are damaged "
                f"(--on-corrupt keep processes them)"
            )
        if decoded == 0:
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
        elif end is not None and self._timeline.end_seconds < end - MISSING_SECONDS:
            promised = end - self._origin_seconds
            reached = self._timeline.end_seconds - self._origin_seconds
            raise SourceError(
                f"{self._name} is cut short: its header promises {promised:.2f} s, "
                f"{reached:.2f} s ({decoded} frames) could be decoded and were processed"
            )
