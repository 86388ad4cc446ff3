"""One stream that is copied: whether a container takes it, how it is added, and what its packets have to lose.
Comes in: a stream of the source as template. Goes out: a stream of the output. Runs on the sink's thread.
"""

import io
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import av
from av.stream import Disposition

from streamseg.writing import adts
from streamseg.writing.encoders import FORMATS
from streamseg.writing.partial import crash_proof_options

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.stream import Stream

_KINDS = {".webm": ("audio", "subtitle"), ".avi": ("audio",), ".gif": ()}
"""Containers whose muxer takes less than its header says."""

_AVI_SOUND = {"aac", "ac3", "mp2", "mp3"}
"""Beside PCM, the sound that an AVI, which counts packets or bytes, plays at the right time: others' packets
differ in length, or FFmpeg writes a header that it cannot read itself.
"""

_BARE_AAC = (".mp4", ".mov", ".avi")
"""Containers that want AAC without ADTS headers. FFmpeg removes them for Matroska by itself."""

_MADE_BY_MUXERS = {
    "encoder", "major_brand", "minor_version", "compatible_brands", "duration", "bps", "rotate",
    "number_of_frames", "number_of_bytes", "vendor_id",
}  # fmt: skip
"""Metadata that describes the source's own file, in lower case."""

_MOV_LANGUAGES = {
    "bod": "tib", "cym": "wel", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per", "hye": "arm",
    "isl": "ice", "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "nld": "dut", "sqi": "alb",
    "swe": "sve", "zho": "chi",
}  # fmt: skip
"""QuickTime numbers languages; FFmpeg finds the number by the older of two names only."""


def name_of(stream: "Stream") -> str:
    """As reports call a stream: "subtitle stream 2 (subrip)"."""
    codec = _codec(stream)
    if stream.type == "data" and "timecode" in stream.metadata:
        codec = "timecode"
    kind = "cover picture" if stream.disposition & Disposition.attached_pic else stream.type
    where = "" if kind == "cover picture" else " stream"
    return f"{kind}{where} {stream.index}{f' ({codec})' if codec else ''}"


def _codec(stream: "Stream") -> str | None:
    """FFmpeg's name of what a stream holds, whichever decoder was chosen for it."""
    context = getattr(stream, "codec_context", None)
    return context.codec.canonical_name if context else getattr(stream, "name", None)


def start_seconds(stream: "Stream") -> float | None:
    start, unit = stream.start_time, stream.time_base
    return None if start is None or unit is None else float(start * unit)


def refusal(
    stream: "Stream",
    suffix: str,
    config: bytes | None,
    packets: "Sequence[av.Packet[Any]] | None",
) -> Exception | None:
    """Why a container does not take a stream, found out by trying.

    Args:
        config: for AAC that `has_adts`.
        packets: its first ones, which some muxers look at only when they write their index; None not to
            go so far.
    """
    if stream.disposition & Disposition.attached_pic:
        # FFmpeg would leave an empty track beside it in an mp4 that grows in fragments.
        return None if suffix == ".mkv" else ValueError(f"{suffix} takes no cover pictures")
    if stream.type not in _KINDS.get(suffix, (stream.type,)):
        return ValueError(f"{suffix} takes no {stream.type}")
    codec = _codec(stream) or ""
    if suffix == ".avi" and not (codec in _AVI_SOUND or codec.startswith("pcm_")):
        return ValueError(f"{suffix} has no times for {codec}")
    if suffix == ".mp4" and codec.startswith("pcm_"):
        # Allowed since 2020 only: older players show nothing, FFmpeg 5 plays noise.
        return ValueError(f"players of {suffix} expect no PCM")
    try:
        options = {} if packets is None else crash_proof_options(suffix)
        trial = av.open(io.BytesIO(), "w", format=FORMATS[suffix], container_options=options)
        try:
            target = add(trial, stream, suffix, config)
            trial.start_encoding()
            for time, packet in enumerate(packets or []):
                tried = _like(packet, bytes(packet))
                tried.pts = tried.dts = time  # their own may be damaged
                tried.time_base, tried.stream = target.time_base, target
                trial.mux_one(tried)
        finally:
            trial.close()
    except (av.error.FFmpegError, OSError, ValueError) as error:
        return error
    return None


def add(
    container: "OutputContainer",
    template: "Stream",
    suffix: str,
    config: bytes | None,
) -> Any:
    """A stream that only describes packets, with the template's language, title and dispositions.

    Args:
        config: for AAC that `has_adts`.
    """
    try:
        target: Any = container.add_stream_from_template(template, opaque=True)
    except ValueError:
        if suffix != ".mkv" or template.type != "audio":
            raise
        # PyAV asks FFmpeg's list, which lacks what Matroska takes by the names of WAV: G.711, ADPCM, WMA.
        target = container.add_mux_stream("pcm_s16le", time_base=template.time_base)
        av.BitStreamFilterContext("null", template, target)  # makes it the template's codec
    if has_adts(template, suffix):
        target.codec_context.extradata = config
    target.disposition = Disposition(template.disposition)
    target.metadata.update(of_track(dict(template.metadata), suffix))
    return target


def has_adts(stream: "Stream", suffix: str) -> bool:
    """Whether packets bring headers that a container does not want, see `bare`."""
    return (
        suffix in _BARE_AAC
        and stream.type == "audio"
        and _codec(stream) == "aac"
        and not stream.codec_context.extradata
    )


def adts_config(stream: "Stream", packets: "Sequence[av.Packet[Any]]") -> bytes | None:
    """AudioSpecificConfig of AAC that `has_adts`; None when nothing tells.

    Args:
        packets: its first ones, damaged ones among them; none when none has come.
    """
    if not packets:
        return adts.expected_config(stream.codec_context)
    headers = [adts.parse(bytes(packet)) for packet in packets]
    configs = Counter(header.config for header in headers if header)
    return configs.most_common(1)[0][0] if configs else None


def bare(packet: "av.Packet[Any]", config: bytes) -> "av.Packet[Any] | None":
    """A packet without its ADTS header; None when it has no such, or another configuration."""
    data = bytes(packet)
    header = adts.parse(data)
    return _like(packet, data[header.size :]) if header and header.config == config else None


def _like(packet: "av.Packet[Any]", data: bytes) -> "av.Packet[Any]":
    """Other bytes at the same time."""
    other: av.Packet[Any] = av.Packet(data)
    other.time_base = packet.time_base
    other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
    other.is_keyframe = packet.is_keyframe
    return other


def of_track(metadata: dict[str, str], suffix: str) -> dict[str, str]:
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
