"""Which encoder an output gets, and how it is set. Comes in: the file's suffix, the source's picture
format and what the user asked for. Goes out: an `Encoding`. Runs before any work is done.

Note "no B-frames": everything is encoded in the order in which it is shown. A packet then carries its own
frame's duration, an mp4 lasts as long as its source even when frame rates vary, nothing has to be
shifted by an edit list, and an encoder holds few frames back, which a killed process would lose.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import av
from av.codec.codec import UnknownCodecError

from streamseg.errors import SinkError
from streamseg.picture.format import PictureFormat

PixFmt = Literal["yuv420p", "yuv420p10le", "gray"]
"""What a painter delivers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How one file is encoded. Produced by `choose_encoding`; consumed by the painter and the writer.

    Attributes:
        codec: FFmpeg's name of the encoder.
        options: the encoder's own.
        pix_fmt: of the frames that it is to be given.
        notes: what could not be as asked: "what was asked, what was used, why".
    """

    codec: str
    options: Mapping[str, str]
    pix_fmt: PixFmt
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """An encoder's own scale; lower is better.

    Attributes:
        best, worst: ends of the scale, both allowed.
        default: what is used unless the user says otherwise.
        whole: only whole numbers are steps of it.
        options: the encoder's options that are set to it.
    """

    best: int
    worst: int
    default: int
    whole: bool = True
    options: tuple[str, ...] = ("crf",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A row of `ENCODERS`.

    Attributes:
        codec: FFmpeg's name.
        suffixes: containers that hold it, as other programs read them.
        options: see `Encoding`; chosen for speed, as the network needs the processor too.
        quality: None when there is nothing to choose.
        deep: it is given 10 bits when the source has more than 8.
    """

    codec: str
    suffixes: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    quality: Quality | None = None
    deep: bool = False


ENCODERS: dict[str, Encoder] = {
    "h264": Encoder(
        codec="libx264",
        suffixes=(".mp4", ".mov", ".mkv", ".avi"),
        options={"preset": "ultrafast", "bf": "0"},
        quality=Quality(best=1, worst=51, default=20, whole=False),
    ),
    "hevc": Encoder(
        codec="libx265",
        suffixes=(".mp4", ".mov", ".mkv"),
        options={
            "preset": "superfast",
            "x265-params": "log-level=none:info=0:bframes=0:rc-lookahead=5",
        },
        quality=Quality(best=1, worst=51, default=22, whole=False),
        deep=True,
    ),
    "av1": Encoder(
        codec="libsvtav1",
        suffixes=(".mp4", ".mkv", ".webm"),
        # 1 is low delay: the default holds 50 frames back.
        options={"preset": "10", "svtav1-params": "pred-struct=1"},
        quality=Quality(best=1, worst=63, default=32),
        deep=True,
    ),
    "vp9": Encoder(
        codec="libvpx-vp9",
        suffixes=(".mp4", ".mkv", ".webm"),
        options={
            "deadline": "realtime",
            "cpu-used": "8",
            "lag-in-frames": "0",
            "row-mt": "1",
            "tile-columns": "2",
            "b": "0",
        },
        quality=Quality(best=0, worst=63, default=30),
    ),
    "mpeg4": Encoder(
        codec="mpeg4",
        suffixes=(".mp4", ".mov", ".mkv", ".avi"),
        quality=Quality(best=1, worst=31, default=3, options=("qmin", "qmax")),
    ),
    "ffv1": Encoder(codec="ffv1", suffixes=(".mkv", ".avi"), options={"level": "3"}, deep=True),
    "gif": Encoder(codec="gif", suffixes=(".gif",)),
}
"""By the words that users give. `quality` documents ranges and defaults: CRF, for mpeg4 the quantiser."""

FORMATS = {
    ".mp4": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".gif": "gif",
}
"""FFmpeg's names of the containers, by the suffix of the output."""

SUFFIXES = tuple(FORMATS)

_AUTO = {
    ".mp4": "h264",
    ".mov": "h264",
    ".mkv": "h264",
    ".webm": "vp9",
    ".avi": "mpeg4",
    ".gif": "gif",
}

_AUTO_HDR = {".mp4": "hevc", ".mov": "hevc", ".mkv": "hevc"}


def choose_encoding(
    suffix: str, format: PictureFormat, *, encoder: str = "auto", quality: float | None = None
) -> Encoding:
    """The encoding of an overlay or colour video.

    Args:
        suffix: of the output, e.g. ".mp4".
        format: of the source's pictures.
        encoder: "auto" or one of `ENCODERS`. "auto" is what most players play: H.264, in .webm VP9,
            in .avi MPEG-4; for HDR sources HEVC with 10 bits where the container holds it.
        quality: see `Quality`.

    Raises:
        SinkError: the suffix is unknown, the container does not hold the encoder's video, or this
            FFmpeg lacks the encoder.
        ValueError: unknown encoder, or a quality outside its scale.
    """
    suffix = suffix.lower()
    if suffix not in SUFFIXES:
        raise SinkError(f"expected an output ending in {', '.join(SUFFIXES)}, got {suffix!r}")
    word, notes = _choose(suffix, format, encoder)
    row = ENCODERS[word]
    return Encoding(
        codec=row.codec,
        options=dict(row.options) | _quality_options(word, row.quality, quality),
        pix_fmt="yuv420p10le" if row.deep and format.bits > 8 else "yuv420p",
        notes=(*notes, *_lost_in(word, row, suffix, format)),
    )


def _choose(suffix: str, format: PictureFormat, encoder: str) -> tuple[str, list[str]]:
    """The encoder's word, and what to say of it."""
    if encoder != "auto" and encoder not in ENCODERS:
        raise ValueError(f"expected encoder from auto, {', '.join(ENCODERS)}, got {encoder!r}")
    if encoder != "auto":
        row = ENCODERS[encoder]
        if suffix not in row.suffixes:
            fits = ", ".join(word for word, other in ENCODERS.items() if suffix in other.suffixes)
            raise SinkError(
                f"{suffix} cannot hold {encoder}; {suffix} holds {fits}, "
                f"{encoder} fits into {', '.join(row.suffixes)}"
            )
        if not _is_there(row.codec):
            raise SinkError(
                f"this FFmpeg has no {row.codec} to encode {encoder}; choose from "
                f"{', '.join(_there(suffix)) or 'another container'}"
            )
        return encoder, []
    usual = _AUTO[suffix]
    wanted = usual if format.transfer == "sdr" else _AUTO_HDR.get(suffix, usual)
    candidates = [word for word in dict.fromkeys((wanted, usual)) if word in _there(suffix)]
    if not candidates:
        others = _there(suffix)
        hint = f"pass --encoder {others[0]}" if others else "choose another container"
        raise SinkError(f"this FFmpeg has no {ENCODERS[usual].codec} to encode {suffix}; {hint}")
    if candidates[0] == wanted:
        return wanted, []
    lacking = ENCODERS[wanted].codec
    return usual, [f"{wanted} asked for HDR, {usual} used, this FFmpeg has no {lacking}"]


def _there(suffix: str) -> list[str]:
    return [w for w, row in ENCODERS.items() if suffix in row.suffixes and _is_there(row.codec)]


def _is_there(codec: str) -> bool:
    try:
        av.codec.Codec(codec, "w")
    except UnknownCodecError:
        return False
    return True


def _quality_options(word: str, scale: Quality | None, asked: float | None) -> dict[str, str]:
    if scale is None:
        if asked is not None:
            why = "is lossless" if word == "ffv1" else "has one quality"
            raise ValueError(f"expected no quality for {word}, which {why}, got {asked:g}")
        return {}
    value = scale.default if asked is None else asked
    if not scale.best <= value <= scale.worst or (scale.whole and value != round(value)):
        kind = "a whole number" if scale.whole else "a number"
        raise ValueError(
            f"expected quality for {word} as {kind} from {scale.best} (best) to {scale.worst}, "
            f"got {value:g}"
        )
    return dict.fromkeys(scale.options, f"{value:g}")


def _lost_in(word: str, row: Encoder, suffix: str, format: PictureFormat) -> list[str]:
    """What no option of the encoding keeps."""
    lost = []
    hdr = f"HDR ({format.transfer.upper()}) of " if format.transfer != "sdr" else ""
    bits = 10 if row.deep else 8
    if format.bits > bits or (hdr and bits == 8):
        deep = [other for other in _there(suffix) if ENCODERS[other].deep]
        hint = f" ({', '.join(deep)} {'take' if len(deep) > 1 else 'takes'} 10)" if deep else ""
        mapped = "standard range in " if hdr and bits == 8 else ""
        where = " here" if word == "vp9" else ""
        lost.append(
            f"{hdr}{format.bits} bits kept, {mapped}{bits} used, {word} has no more{where}{hint}"
        )
    layout = _layout(format.pix_fmt)
    if layout:
        lost.append(f"{layout} pictures kept, 4:2:0 used, that is what overlays are painted in")
    return lost


def _layout(pix_fmt: str) -> str | None:
    """What 4:2:0 loses of a pixel format; None when nothing."""
    try:
        video = av.VideoFormat(pix_fmt, 16, 16)
    except ValueError:
        return None
    alpha = len(video.components) in (2, 4) or video.has_palette
    if len(video.components) < 3 and not video.has_palette:
        return f"{pix_fmt} (with transparency)" if alpha else None
    half = (video.chroma_width(16), video.chroma_height(16)) == (8, 8)
    if half and not video.is_rgb and not alpha:
        return None
    return f"{pix_fmt} (with transparency)" if alpha and not video.has_palette else pix_fmt
