"""What a container holds besides the pictures, copied. Comes in: a source's streams, packets, metadata and
chapters. Goes out: the same in the output, as far as its container takes it. Runs on the sink's thread.
"""

import io
import math
from collections import deque
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.stream import Discard, Disposition

from streamseg.errors import reason
from streamseg.reading.source import CopiedPacket, Kept, Source
from streamseg.writing.encoders import FORMATS

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.stream import Stream

_KINDS = {".webm": ("audio", "subtitle"), ".avi": ("audio",), ".gif": ()}
"""Containers whose muxer takes less than its header says."""

_MADE_BY_MUXERS = {
    "encoder", "major_brand", "minor_version", "compatible_brands", "duration", "bps", "rotate",
    "number_of_frames", "number_of_bytes", "vendor_id",
}  # fmt: skip
"""Metadata that describes the source's own file, in lower case."""

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

_MOV_LANGUAGES = {
    "bod": "tib", "cym": "wel", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per", "hye": "arm",
    "isl": "ice", "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "nld": "dut", "sqi": "alb",
    "swe": "sve", "zho": "chi",
}  # fmt: skip
"""QuickTime numbers languages; FFmpeg finds the number by the older of two names only."""

LATE_SECONDS = 1.0
"""A stream that begins so much behind the pictures keeps an mp4 from being playable at once."""

REFUSALS = (av.error.InvalidDataError, av.error.ArgumentError, av.error.PatchWelcomeError)
"""What muxers raise about a packet, not about the disk."""


class SideStreams:
    """Everything of a source that is copied into one file. Not thread-safe.

    Args:
        source: open, as its streams are templates; None to copy nothing.
        suffix: of the file.

    Attributes:
        notes: what could not be kept: "what was asked, what was used, why".
    """

    def __init__(self, source: Source | None, suffix: str) -> None:
        kept = source.kept if source else Kept()
        self._source = source
        self._suffix = suffix
        self.notes: list[str] = []
        self._covers: dict[int, Stream] = {}
        self._video_metadata = _of_track(kept.video_metadata, suffix)
        self._templates = [stream for stream in kept.streams if self._fits(stream)]
        self._metadata = self._keep_metadata(kept.metadata)
        self._chapters = self._keep_chapters(kept.chapters)
        self._targets: dict[int, Any] = {}
        self._names = {stream.index: _name(stream) for stream in kept.streams}
        self._starts = {stream.index: _start_seconds(stream) for stream in self._templates}
        self._waiting: dict[int, deque[CopiedPacket]] = {}
        self._last_dts: dict[int, int] = {}

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
        """Add streams, metadata and chapters to a file whose header is not yet written."""
        container.metadata.update(self._metadata)
        video.metadata.update(self._video_metadata)
        if self._source is not None:
            video.disposition = Disposition(self._source.kept.video_disposition)
        if self._chapters:
            container.set_chapters(self._chapters)
        for template in self._templates:
            self._targets[template.index] = _add(container, template, self._suffix)

    def begin(self, container: "OutputContainer", first_seconds: float) -> None:
        """What is to be known before the header is written: Matroska attaches cover pictures as files.

        Args:
            first_seconds: PTS of the first frame.
        """
        self._collect()
        for index, cover in self._covers.items():
            packets = self._waiting.get(index)
            if not packets:
                self.notes.append(
                    f"{self._names[index]} kept, left out, the source did not give it"
                )
            else:
                kind = {"mjpeg": "jpeg"}.get(cover.codec_context.name, cover.codec_context.name)
                data = bytes(packets.popleft().packet)
                container.add_attachment(f"cover.{kind}", f"image/{kind}", data)
        if self._suffix in (".mp4", ".mov"):
            for index, start in self._starts.items():
                if start is not None and start > first_seconds + LATE_SECONDS:
                    self.notes.append(
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
        """Copy a stream no longer; of unknown ones, the last to have written. False when there is none."""
        if index is None:
            index = next(reversed(self._last_dts), None)
        if index is None or index not in self._targets:
            return False
        del self._targets[index]
        self._waiting.pop(index, None)
        self._last_dts.pop(index, None)
        self.notes.append(
            f"{self._names[index]} kept, left out from some point on, {self._suffix} refused a packet "
            f"({reason(error)})"
        )
        return True

    # ---- what the container takes

    def _fits(self, stream: "Stream") -> bool:
        name = _name(stream)
        if stream.type == "data" and "timecode" in stream.metadata:
            # As a tag of the video, from which muxers of mp4 and mov make the stream again.
            self._video_metadata.setdefault("timecode", stream.metadata["timecode"])
            if self._suffix in (".avi", ".gif"):
                self.notes.append(f"{name} kept, left out, {self._suffix} cannot hold it")
            return False
        if stream.type == "data" and stream.discard == Discard.all:
            return False  # the text by which an mp4 names its chapters: FFmpeg hides it
        if stream.disposition & Disposition.attached_pic and self._suffix == ".mkv":
            self._covers[stream.index] = stream
            return False
        error = self._refusal(stream, self._suffix)
        if error is None:
            return True
        elsewhere = self._suffix != ".mkv" and self._refusal(stream, ".mkv") is None
        self.notes.append(
            f"{name} kept, left out, {self._suffix} cannot hold it"
            f"{' (.mkv can)' if elsewhere else ''}"
        )
        return False

    def _refusal(self, stream: "Stream", suffix: str) -> Exception | None:
        """Why a container does not take a stream, found out by trying."""
        if stream.disposition & Disposition.attached_pic:
            # FFmpeg would leave an empty track beside it in an mp4 that grows in fragments.
            return None if suffix == ".mkv" else ValueError(f"{suffix} takes no cover pictures")
        if stream.type not in _KINDS.get(suffix, (stream.type,)):
            return ValueError(f"{suffix} takes no {stream.type}")
        try:
            trial = av.open(io.BytesIO(), "w", format=FORMATS[suffix])
            try:
                _add(trial, stream, suffix)
                trial.start_encoding()
            finally:
                trial.close()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            return error
        return None

    # ---- metadata and chapters

    def _keep_metadata(self, metadata: dict[str, str]) -> dict[str, str]:
        wanted = without_statistics(metadata)
        places = {".avi": _INFO_KEYS, ".gif": set[str]()}.get(self._suffix)
        if places is None:
            return wanted
        lost = [key for key in wanted if key.lower() not in places]
        if lost:
            self.notes.append(
                f"metadata {', '.join(lost)} kept, left out, {self._suffix} has no place for "
                f"{'them' if len(lost) > 1 else 'it'}"
            )
        return {key: text for key, text in wanted.items() if key not in lost}

    def _keep_chapters(self, chapters: Iterable[Any]) -> list[Any]:
        found = list(chapters)
        whole = [c for c in found if c.get("time_base") and 0 <= c["start"] <= c["end"]]
        if len(whole) < len(found):
            self.notes.append(
                f"{len(found) - len(whole)} chapters kept, left out, they end before they begin"
            )
        if whole and self._suffix in (".avi", ".gif"):
            self.notes.append(f"{len(whole)} chapters kept, left out, {self._suffix} has none")
            return []
        return _without_gaps(whole) if self._suffix in (".mp4", ".mov") else whole

    # ---- packets

    def _collect(self) -> None:
        """By stream: one that is stored ahead of the others must not hold them up."""
        copied = self._source.copied if self._source else deque[CopiedPacket]()
        while copied:
            packet = copied.popleft()
            if packet.stream_index in self._targets or packet.stream_index in self._covers:
                self._waiting.setdefault(packet.stream_index, deque()).append(packet)

    def _mux_one(self, container: "OutputContainer", copied: CopiedPacket, shift: Fraction) -> None:
        index, packet = copied.stream_index, copied.packet
        target = self._targets.get(index)
        if target is None:
            return
        _rescale(packet, Fraction(target.time_base), shift)
        self._order(index, packet)
        packet.stream = target
        try:
            container.mux_one(packet)
        except REFUSALS as error:
            self.drop(index, error)

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


def without_statistics(metadata: dict[str, str]) -> dict[str, str]:
    """What a user or camera wrote: not what a muxer did, and not FFmpeg's "-eng" doubles."""
    wanted = {}
    for key, text in metadata.items():
        plain, _, language = key.partition("-")
        if language and metadata.get(plain) == text:
            continue
        if plain.lower() in _MADE_BY_MUXERS or plain.upper().startswith("_STATISTICS"):
            continue
        wanted[key] = text
    return wanted


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


def _of_track(metadata: dict[str, str], suffix: str) -> dict[str, str]:
    """Metadata of one stream, its title where players of the container look for it."""
    wanted = without_statistics(metadata)
    plain = {key.lower(): text for key, text in wanted.items()}
    title = plain.get("title", plain.get("name"))
    if title:
        wanted.setdefault("title", title)
    if title and suffix in (".mp4", ".mov") and "handler_name" not in plain:
        wanted["handler_name"] = title
    if suffix == ".mov" and "language" in wanted:
        wanted["language"] = _MOV_LANGUAGES.get(wanted["language"], wanted["language"])
    return wanted


def _add(container: "OutputContainer", template: "Stream", suffix: str) -> Any:
    """A stream that only describes packets, with the template's language, title and dispositions."""
    target: Any = container.add_stream_from_template(template, opaque=True)
    target.disposition = Disposition(template.disposition)
    target.metadata.update(_of_track(dict(template.metadata), suffix))
    return target


def _start_seconds(stream: "Stream") -> float | None:
    start, unit = stream.start_time, stream.time_base
    return None if start is None or unit is None else float(start * unit)


def _name(stream: "Stream") -> str:
    """As reports call a stream: "subtitle stream 2 (subrip)"."""
    context = getattr(stream, "codec_context", None)
    codec = context.codec.canonical_name if context else getattr(stream, "name", None)
    if stream.type == "data" and "timecode" in stream.metadata:
        codec = "timecode"
    kind = "cover picture" if stream.disposition & Disposition.attached_pic else stream.type
    where = "" if kind == "cover picture" else " stream"
    return f"{kind}{where} {stream.index}{f' ({codec})' if codec else ''}"


def movie_timescale(units: Iterable[Fraction]) -> int:
    """Per second: the unit of an mp4's chapters and edit lists, in which the beginning of each stream is
    told. One that holds all, and milliseconds.
    """
    finest = math.lcm(*(unit.denominator for unit in units))
    if finest < 1000:
        return math.lcm(finest, 1000)
    return finest if finest < 1 << 30 else 90000
