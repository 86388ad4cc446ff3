"""Which encoder an output gets."""

from pathlib import Path
from typing import Any

import pytest

from streamseg.errors import SinkError
from streamseg.picture.format import PictureFormat
from streamseg.writing.encoders import ENCODERS, SUFFIXES, Encoder, choose_encoding

PQ = (9, 1, 9, 16)
"""Colour tags of BT.2020 with the PQ curve."""


def picture_format(pix_fmt: str = "yuv420p", bits: int = 8, **settings: Any) -> PictureFormat:
    return PictureFormat(pix_fmt=pix_fmt, bits=bits, size=(48, 64), **settings)


HDR = picture_format("yuv420p10le", 10, color_tags=PQ)


@pytest.mark.parametrize(
    ("suffix", "codec", "hdr_codec", "hdr_pix_fmt"),
    [
        (".mp4", "libx264", "libx265", "yuv420p10le"),
        (".mov", "libx264", "libx265", "yuv420p10le"),
        (".mkv", "libx264", "libx265", "yuv420p10le"),
        (".webm", "libvpx-vp9", "libvpx-vp9", "yuv420p"),
        (".avi", "mpeg4", "mpeg4", "yuv420p"),
        (".gif", "gif", "gif", "yuv420p"),
        (".MP4", "libx264", "libx265", "yuv420p10le"),
    ],
)
def test_auto_goes_by_the_container_and_by_hdr(
    suffix: str, codec: str, hdr_codec: str, hdr_pix_fmt: str
) -> None:
    plain = choose_encoding(suffix, picture_format())
    assert (plain.codec, plain.pix_fmt, plain.notes) == (codec, "yuv420p", ())
    hdr = choose_encoding(suffix, HDR)
    assert (hdr.codec, hdr.pix_fmt) == (hdr_codec, hdr_pix_fmt)
    assert bool(hdr.notes) == (hdr_pix_fmt == "yuv420p")


def test_the_options_of_the_usual_h264_are_kept() -> None:
    encoding = choose_encoding(".mp4", picture_format())
    assert encoding.options == {"preset": "ultrafast", "crf": "20", "bf": "0"}


@pytest.mark.parametrize("word", ENCODERS)
def test_every_encoder_is_here_and_fits_where_it_says(word: str) -> None:
    for suffix in ENCODERS[word].suffixes:
        assert choose_encoding(suffix, picture_format(), encoder=word).codec == ENCODERS[word].codec
    assert set(ENCODERS[word].suffixes) <= set(SUFFIXES)


@pytest.mark.parametrize(
    ("word", "bits", "pix_fmt", "note"),
    [
        ("h264", 10, "yuv420p", "10 bits kept, 8 used, h264 has no more (hevc, av1, ffv1 take 10)"),
        ("hevc", 10, "yuv420p10le", None),
        ("hevc", 8, "yuv420p", None),
        ("av1", 10, "yuv420p10le", None),
        ("ffv1", 10, "yuv420p10le", None),
        ("ffv1", 12, "yuv420p10le", "12 bits kept, 10 used, ffv1 has no more"),
        ("vp9", 10, "yuv420p", "10 bits kept, 8 used, vp9 has no more here"),
    ],
)
def test_more_bits_are_carried_or_told(
    word: str, bits: int, pix_fmt: str, note: str | None
) -> None:
    source = picture_format({8: "yuv420p"}.get(bits, f"yuv420p{bits}le"), bits)
    encoding = choose_encoding(".mkv", source, encoder=word)
    assert encoding.pix_fmt == pix_fmt
    assert len(encoding.notes) == (note is not None)
    assert note is None or encoding.notes[0].startswith(note)


def test_a_note_on_lost_bits_says_who_takes_them() -> None:
    (note,) = choose_encoding(".webm", HDR).notes
    assert note == (
        "HDR (PQ) of 10 bits kept, standard range in 8 used, vp9 has no more here (av1 takes 10)"
    )


@pytest.mark.parametrize(
    ("pix_fmt", "told"),
    [
        ("yuv420p", None),
        ("yuvj420p", None),
        ("nv12", None),
        ("gray", None),
        ("yuv444p", "yuv444p pictures kept, 4:2:0 used"),
        ("yuv422p", "yuv422p pictures kept, 4:2:0 used"),
        ("yuv410p", "yuv410p pictures kept, 4:2:0 used"),
        ("rgb24", "rgb24 pictures kept, 4:2:0 used"),
        ("gbrp", "gbrp pictures kept, 4:2:0 used"),
        ("pal8", "pal8 pictures kept, 4:2:0 used"),
        ("yuva420p", "yuva420p (with transparency) pictures kept, 4:2:0 used"),
        ("ya8", "ya8 (with transparency) pictures kept, 4:2:0 used"),
    ],
)
def test_chroma_and_transparency_that_get_lost_are_told_once(
    pix_fmt: str, told: str | None
) -> None:
    notes = choose_encoding(".mp4", picture_format(pix_fmt)).notes
    assert len(notes) == (told is not None)
    assert told is None or notes[0].startswith(told)


@pytest.mark.parametrize(
    ("word", "quality", "options"),
    [
        ("h264", 23.5, {"crf": "23.5"}),
        ("hevc", 51, {"crf": "51"}),
        ("av1", 1, {"crf": "1"}),
        ("vp9", 0, {"crf": "0"}),
        ("mpeg4", 7.0, {"qmin": "7", "qmax": "7"}),
    ],
)
def test_quality_is_the_encoders_own_scale(
    word: str, quality: float, options: dict[str, str]
) -> None:
    encoding = choose_encoding(".mkv", picture_format(), encoder=word, quality=quality)
    assert encoding.options.items() >= options.items()


@pytest.mark.parametrize(
    ("suffix", "settings", "error", "message"),
    [
        (".ogv", {}, SinkError, "expected an output ending in .mp4, .*, got '.ogv'"),
        (".mp4", {"encoder": "prores"}, ValueError, "expected encoder from auto, h264, .*'prores'"),
        (".webm", {"encoder": "h264"}, SinkError, ".webm cannot hold h264; .webm holds av1, vp9,"),
        (".mp4", {"encoder": "ffv1"}, SinkError, "ffv1 fits into .mkv, .avi"),
        (".gif", {"encoder": "h264"}, SinkError, ".gif cannot hold h264; .gif holds gif"),
        (".mp4", {"quality": 0}, ValueError, r"quality for h264 .* from 1 \(best\) to 51, got 0"),
        (".mp4", {"quality": 52}, ValueError, "quality for h264"),
        (".mp4", {"quality": float("nan")}, ValueError, "quality for h264"),
        (".webm", {"quality": 10.5}, ValueError, "quality for vp9 as a whole number from 0"),
        (
            ".mkv",
            {"encoder": "ffv1", "quality": 3},
            ValueError,
            "no quality for ffv1, which is loss",
        ),
        (".gif", {"quality": 3}, ValueError, "no quality for gif, which has one quality"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    suffix: str, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        choose_encoding(suffix, picture_format(), **settings)
    assert "\n" not in str(caught.value)


def lack(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let FFmpeg be without an encoder."""
    for word, row in ENCODERS.items():
        if row.codec == codec:
            lacking = Encoder(codec="no-such-encoder", suffixes=row.suffixes, deep=row.deep)
            monkeypatch.setitem(ENCODERS, word, lacking)


def test_an_encoder_that_ffmpeg_lacks_is_told_with_those_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lack("libx265", monkeypatch)
    with pytest.raises(SinkError, match="no no-such-encoder to encode hevc; choose from h264, av1"):
        choose_encoding(".mp4", HDR, encoder="hevc")
    encoding = choose_encoding(".mp4", HDR)
    assert encoding.codec == "libx264"
    assert encoding.notes[0].startswith("hevc asked for HDR, h264 used, this FFmpeg has no")
    lack("libx264", monkeypatch)
    with pytest.raises(SinkError, match=r"to encode \.mp4; pass --encoder av1"):
        choose_encoding(".mp4", picture_format())


def test_the_documentation_lists_every_scale() -> None:
    page = (Path(__file__).parents[2] / "docs" / "video.md").read_text(encoding="utf-8")
    for word, row in ENCODERS.items():
        scale = row.quality
        if scale is None:
            assert f"| {word} | {row.codec} | " in page
        else:
            ends = f"{scale.best} to {scale.worst}"
            assert f"| {word} | {row.codec} | {ends} | {scale.default} |" in page
