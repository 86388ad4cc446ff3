"""What a container holds besides the pictures, copied. Comes in: a source's streams, packets, metadata and
chapters. Goes out: the same in the output, as far as its container takes it. Runs on the sink's thread.
"""

import errno
import itertools
import math
import time
from collections import deque
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.stream import Discard, Disposition

from streamseg.errors import reason
from streamseg.reading.source import CopiedPacket, Kept, Source
from streamseg.writing.adts import TYPICAL
from streamseg.writing.copied_stream import (
    add,
    adts_config,
    bare,
    has_adts,
    name_of,
    of_track,
    refusal,
    start_seconds,
    without_statistics,
)

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.stream import Stream

_ITUNES_KEYS = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright",
    "grouping", "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords",
    "location", "creation_time", "timecode",
}  # fmt: skip
"""What an mp4 has a place of its own for, where every player looks."""

_INFO_KEYS = {
    "artist", "comment", "copyright", "date", "genre", "language", "title", "album", "track", "timecode",
}  # fmt: skip
"""What an AVI has a place for."""

LATE_SECONDS = 1.0
"""A stream that begins so much behind the pictures keeps an mp4 from being playable at once."""

IN_SYNC_SECONDS = 0.045
"""Sound that is earlier by no more is not noticed (ITU-R BT.1359)."""

TRIAL_PACKETS = 4
"""How many of a stream's first packets are tried before it is added to the output."""

PATIENCE_SECONDS = 0.5
"""How long the first packet of sound is waited for that cannot be added without."""

REFUSALS = (av.error.FFmpegError, OSError)
"""What muxers raise about a packet, unless `drop` knows that it is about the disk. Their numbers mean little:
a plain -1 is "Operation not permitted".
"""

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.EPIPE}


class SideStreams:
    """Everything of a source that is copied into one file. Not thread-safe.

    Args:
        source: open until the first frame is written, as its streams are templates; None to copy nothing.
        suffix: of the file.
    """

    def __init__(self, source: Source | None, suffix: str) -> None:
        kept = source.kept if source else Kept()
        self._source = source
        self._suffix = suffix
        self._notes: list[str] = []
        self._configs: dict[int, bytes] = {}  # of streams whose packets lose their ADTS headers
        self._covers: dict[int, Stream] = {}
        self._video_metadata = of_track(kept.video_metadata, suffix)
        self._templates = [stream for stream in kept.streams if self._fits(stream)]
        self._metadata = self._keep_metadata(kept.metadata)
        self._chapters = self._keep_chapters(kept.chapters)
        self._targets: dict[int, Any] = {}
        self._names = {stream.index: name_of(stream) for stream in kept.streams}
        self._starts = {stream.index: start_seconds(stream) for stream in self._templates}
        self._wanted = {*self._starts, *self._covers}
        self._waiting: dict[int, deque[CopiedPacket]] = {}
        self._last_dts: dict[int, int] = {}
        self._odd_packets: dict[int, int] = {}
        self._first_seconds = 0.0
        # Seconds by which sound in an AVI is before the pictures.
        self._leads: dict[int, float] = {}

    @property
    def notes(self) -> list[str]:
        """What could not be kept: "what was asked, what was used, why"."""
        return self._notes + [
            f"{count} packet{'s' * (count > 1)} of {self._names[index]} kept, left out, damaged or of "
            f"another kind than the first"
            for index, count in self._odd_packets.items()
        ]

    @property
    def time_bases(self) -> list[Fraction]:
        """Units of the sound that is copied, seconds."""
        return [
            Fraction(stream.time_base or Fraction(1, 1000))
            for stream in self._templates
            if stream.type == "audio"
        ]

    @property
    def needs_free_keys(self) -> bool:
        """Whether an mp4 must be told to keep metadata that it has no place of its own for.

        Players that look in the usual places only miss the title then; QuickTime's own files and FFmpeg
        do it so.
        """
        return any(key.lower() not in _ITUNES_KEYS for key in self._metadata)

    def attach(self, container: "OutputContainer", video: av.VideoStream) -> None:
        """Give metadata and chapters to a file whose header is not yet written."""
        container.metadata.update(self._metadata)
        video.metadata.update(self._video_metadata)
        if self._source is not None:
            video.disposition = Disposition(self._source.kept.video_disposition)
        if self._chapters:
            container.set_chapters(self._chapters)

    def begin(self, container: "OutputContainer", first_seconds: float) -> None:
        """Add the streams, which their first packets are asked about, where they have come: the header is
        about to be written.

        Args:
            first_seconds: PTS of the first frame.
        """
        self._first_seconds = first_seconds
        self._collect()
        for template in self._templates:
            self._begin_stream(container, template)
        self._attach_covers(container)
        if self._suffix in (".mp4", ".mov"):
            for index in self._targets:
                start = self._starts[index]
                if start is not None and start > first_seconds + LATE_SECONDS:
                    self._notes.append(
                        f"a part file that plays at any moment asked for, one from {start:.1f} s on "
                        f"written, {self._suffix} waits for {self._names[index]} to begin"
                    )

    def mux(self, container: "OutputContainer", until_seconds: float, shift: Fraction) -> None:
        """Write the packets that begin before `until_seconds`.

        Args:
            until_seconds: in the source's time.
            shift: seconds that are taken from every timestamp.

        Raises:
            av.error.FFmpegError, OSError: the disk is full.
        """
        self._collect()
        for packet in _in_order(self._waiting.values(), until_seconds):
            self._mux_one(container, packet, shift)

    def drop(self, index: int | None, error: Exception) -> bool:
        """Copy a stream no longer; of unknown ones, the last to have written. False when there is none, or
        when it is the disk that failed.
        """
        if getattr(error, "errno", None) in _DISK:
            return False
        if index is None:
            index = next(reversed(self._last_dts), None)
        if index is None or index not in self._targets:
            return False
        del self._targets[index]
        self._wanted.discard(index)
        self._waiting.pop(index, None)
        self._last_dts.pop(index, None)
        self._notes.append(
            f"{self._names[index]} kept, left out from some point on, {self._suffix} refused a packet "
            f"({reason(error)})"
        )
        return True

    # ---- what the container takes

    def _fits(self, stream: "Stream") -> bool:
        name = name_of(stream)
        if stream.type == "data" and "timecode" in stream.metadata:
            # As a tag of the video, from which muxers of mp4 and mov make the stream again.
            self._video_metadata.setdefault("timecode", stream.metadata["timecode"])
            if self._suffix in (".avi", ".gif"):
                self._notes.append(f"{name} kept, left out, {self._suffix} cannot hold it")
            return False
        if stream.type == "data" and stream.discard == Discard.all:
            return False  # the text by which an mp4 names its chapters: FFmpeg hides it
        if stream.disposition & Disposition.attached_pic and self._suffix == ".mkv":
            self._covers[stream.index] = stream
            return False
        error = refusal(stream, self._suffix, TYPICAL, None)
        if error is None:
            return True
        elsewhere = self._suffix != ".mkv" and refusal(stream, ".mkv", TYPICAL, None) is None
        self._notes.append(
            f"{name} kept, left out, {self._suffix} cannot hold it"
            f"{' (.mkv can)' if elsewhere else ''}"
        )
        return False

    def _begin_stream(self, container: "OutputContainer", template: "Stream") -> None:
        index = template.index
        config, why = self._check(template)
        if why and not self._waiting.get(index) and self._await_first(index):
            config, why = self._check(template)
        if why:
            self._wanted.discard(index)
            self._waiting.pop(index, None)
            self._notes.append(f"{self._names[index]} kept, left out, {why}")
            return
        self._targets[index] = add(container, template, self._suffix, config)
        if config is not None:
            self._configs[index] = config

    def _check(self, template: "Stream") -> tuple[bytes | None, str | None]:
        """How a stream's AAC is to be decoded if its packets must not say so, and why the stream is left out."""
        waiting = self._waiting.get(template.index, ())
        first = [copied.packet for copied in itertools.islice(waiting, TRIAL_PACKETS)]
        if template.type != "audio":
            return None, None
        config = None
        if has_adts(template, self._suffix):
            config = adts_config(template, first)
            if config is None:
                return None, "its packets do not say how they are to be decoded"
            first = [stripped for packet in first if (stripped := bare(packet, config))]
        error = refusal(template, self._suffix, config, first)
        return config, None if error is None else f"{self._suffix} refused it ({reason(error)})"

    def _await_first(self, index: int) -> bool:
        """Let the source read on until a stream has begun that is about to: an mp4 with AC-3 cannot be
        closed without a packet of it, and HE-AAC is described by its packets only.
        """
        start = self._starts[index]
        if start is None or start > self._first_seconds + LATE_SECONDS:
            return False
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._waiting.get(index) and time.monotonic() < deadline:
            time.sleep(0.002)
            self._collect()
        return bool(self._waiting.get(index))

    def _attach_covers(self, container: "OutputContainer") -> None:
        """Matroska has cover pictures as files, in its header."""
        for index, cover in self._covers.items():
            packets = self._waiting.get(index)
            if not packets:
                self._notes.append(
                    f"{self._names[index]} kept, left out, the source did not give it"
                )
            else:
                kind = {"mjpeg": "jpeg"}.get(cover.codec_context.name, cover.codec_context.name)
                data = bytes(packets.popleft().packet)
                container.add_attachment(f"cover.{kind}", f"image/{kind}", data)

    # ---- metadata and chapters

    def _keep_metadata(self, metadata: dict[str, str]) -> dict[str, str]:
        wanted = without_statistics(metadata)
        places = {".avi": _INFO_KEYS, ".gif": set[str]()}.get(self._suffix)
        if places is None:
            return wanted
        lost = [key for key in wanted if key.lower() not in places]
        if lost:
            self._notes.append(
                f"metadata {', '.join(lost)} kept, left out, {self._suffix} has no place for "
                f"{'them' if len(lost) > 1 else 'it'}"
            )
        return {key: text for key, text in wanted.items() if key not in lost}

    def _keep_chapters(self, chapters: Iterable[Any]) -> list[Any]:
        found = list(chapters)
        whole = [c for c in found if c.get("time_base") and 0 <= c["start"] <= c["end"]]
        if len(whole) < len(found):
            self._notes.append(
                f"{len(found) - len(whole)} chapters kept, left out, they end before they begin"
            )
        if whole and self._suffix in (".avi", ".gif"):
            self._notes.append(f"{len(whole)} chapters kept, left out, {self._suffix} has none")
            return []
        return _without_gaps(whole) if self._suffix in (".mp4", ".mov") else whole

    # ---- packets

    def _collect(self) -> None:
        """By stream: one that is stored ahead of the others must not hold them up."""
        copied = self._source.copied if self._source else deque[CopiedPacket]()
        while copied:
            packet = copied.popleft()
            if packet.stream_index in self._wanted:
                self._waiting.setdefault(packet.stream_index, deque()).append(packet)

    def _mux_one(self, container: "OutputContainer", copied: CopiedPacket, shift: Fraction) -> None:
        index, packet = copied.stream_index, copied.packet
        target = self._targets.get(index)
        if target is None or (self._suffix == ".avi" and self._before_pictures(copied)):
            return
        if index in self._configs:
            stripped = bare(packet, self._configs[index])
            if stripped is None:
                self._odd_packets[index] = self._odd_packets.get(index, 0) + 1
                return
            packet = stripped
        _rescale(packet, Fraction(target.time_base), shift)
        self._order(index, packet)
        packet.stream = target
        try:
            container.mux_one(packet)
        except REFUSALS as error:
            if not self.drop(index, error):
                raise

    def _before_pictures(self, copied: CopiedPacket) -> bool:
        """Whether an AVI, whose streams all begin at once, is in time without this packet."""
        index, packet = copied.stream_index, copied.packet
        if index not in self._leads:
            lead = self._leads[index] = self._first_seconds - copied.time_seconds
            if abs(lead) > IN_SYNC_SECONDS:
                self._notes.append(
                    f"{self._names[index]} asked for {abs(lead):.3f} s "
                    f"{'before' if lead > 0 else 'after'} the first picture, begun with it, "
                    f"{self._suffix} has no timestamps"
                )
        if self._leads[index] <= IN_SYNC_SECONDS:
            return False
        end = copied.time_seconds + float((packet.duration or 0) * packet.time_base)
        return end <= self._first_seconds + 1e-3

    def _order(self, index: int, packet: "av.Packet[Any]") -> None:
        """Damaged and joined files go back in time, which muxers refuse: such packets follow at once."""
        if packet.dts is None:
            packet.dts = packet.pts or 0
        last = self._last_dts.pop(index, None)
        if last is not None:
            # Matroska may show two subtitles at once.
            packet.dts = max(packet.dts, last + (self._suffix not in (".mkv", ".webm")))
        if packet.pts is None or packet.pts < packet.dts:
            packet.pts = packet.dts
        self._last_dts[index] = packet.dts


def _rescale(packet: "av.Packet[Any]", unit: Fraction, shift: Fraction) -> None:
    """Count a packet's times in the output's unit, less `shift` seconds."""
    scale, moved = Fraction(packet.time_base) / unit, shift / unit
    packet.pts = None if packet.pts is None else round(packet.pts * scale - moved)
    packet.dts = None if packet.dts is None else round(packet.dts * scale - moved)
    packet.duration = round((packet.duration or 0) * scale)
    packet.time_base = unit


def _in_order(
    waiting: Iterable[deque[CopiedPacket]], until_seconds: float
) -> Iterable[CopiedPacket]:
    """Take packets that begin before `until_seconds`, the earliest first."""
    streams = list(waiting)
    while True:
        first = min(
            (queue for queue in streams if queue),
            key=lambda queue: queue[0].time_seconds,
            default=None,
        )
        if first is None or first[0].time_seconds >= until_seconds:
            return
        yield first.popleft()


def _without_gaps(chapters: list[Any]) -> list[Any]:
    """For mp4, whose first chapter begins at 0 whatever it says: one without words goes before it. FFmpeg
    leaves chapters out that have no title at all.
    """
    named = [{**entry, "metadata": {"title": ""} | entry["metadata"]} for entry in chapters]
    if named and named[0]["start"] > 0:
        lead = {
            **named[0],
            "id": 0,
            "start": 0,
            "end": named[0]["start"],
            "metadata": {"title": ""},
        }
        return [lead, *({**entry, "id": k} for k, entry in enumerate(named, 1))]
    return named


def movie_timescale(units: Iterable[Fraction]) -> int:
    """Per second: the unit of an mp4's chapters and edit lists, in which the beginning of each stream is
    told. One that holds all, and milliseconds.
    """
    finest = math.lcm(*(unit.denominator for unit in units))
    if finest < 1000:
        return math.lcm(finest, 1000)
    return finest if finest < 1 << 30 else 90000
