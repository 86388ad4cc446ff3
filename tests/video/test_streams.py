"""Streams: what stands beside the pictures is copied, or the report says that it could not be."""

import itertools
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from video import goldens
from video.clips import SOUND, Clips
from video.conftest import Run

pytestmark = pytest.mark.needs_ffmpeg

CONTAINERS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
SOURCES = ("everything.mkv", "everything.mp4", "everything.webm")

HELD = {
    # sound, subtitles and more that each container takes, by FFmpeg's names
    ".mp4": {"aac", "opus", "mov_text", "mp3", "tmcd"},
    ".mov": {"aac", "mov_text", "mp3", "pcm_s16le", "tmcd"},
    ".mkv": {"aac", "opus", "mp3", "pcm_s16le", "subrip", "webvtt", "ttf", "png"},
    ".webm": {"opus", "webvtt"},
    ".avi": {"aac", "mp3", "pcm_s16le"},
    ".gif": set(),
}  # fmt: skip


def lower_tags(holder: dict[str, Any]) -> dict[str, str]:
    """Metadata of a file or stream; Matroska writes the keys in capitals."""
    return {key.lower(): value for key, value in holder.get("tags", {}).items()}


def codec(stream: dict[str, Any]) -> str:
    """FFmpeg's name of what a stream holds."""
    return str(stream.get("codec_name") or stream["codec_tag_string"])


def beside(path: Path) -> list[dict[str, Any]]:
    """Every stream but the video, and but the text in which an mp4 keeps its chapters."""
    return [
        stream
        for stream in goldens.streams(path)
        if (stream["codec_type"] != "video" or stream["disposition"]["attached_pic"])
        and not (stream["codec_type"] == "data" and stream["codec_tag_string"] == "text")
    ]


def described(stream: dict[str, Any]) -> tuple[Any, ...]:
    """Kind, codec, language and title of a stream, and whether it is the default or forced."""
    tags, flags = lower_tags(stream), stream["disposition"]
    language, title = tags.get("language", "und"), tags.get("title")
    language = {"ger": "deu", "fre": "fra"}.get(language, language)  # ISO 639-2 has both
    handler = tags.get("handler_name", "Handler")
    if title is None and not handler.endswith("Handler"):
        title = handler  # where an mp4 has it; what ends so are muxers' own words
    return (
        stream["codec_type"], codec(stream), language, title, flags["default"], flags["forced"],
    )  # fmt: skip


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("name", [*SOURCES, "timecode.mov", "mp3.avi", "cover.mp4"])
def test_every_stream_is_in_the_output_or_in_the_report(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    out, report = run(name, suffix)
    written = [codec(stream) for stream in beside(out)]
    for stream in beside(clips(name)):
        kind, place = codec(stream), rf"(stream|picture) {stream['index']} .*left out"
        told = [note for note in report["fallbacks"] if re.search(place, note)]
        if kind in written:
            written.remove(kind)
            assert not told
        elif kind == "tmcd" and "timecode" in lower_tags(goldens.video(out)):
            assert not told
        else:
            assert kind not in HELD[suffix], told
            assert len(told) == 1 or kind == "tmcd", (kind, report["fallbacks"])
            assert told or "timecode" in str(report["fallbacks"])
    assert not written


def test_a_timecode_is_kept(run: Run) -> None:
    for suffix in (".mov", ".mp4", ".mkv"):
        stream = goldens.video(run("timecode.mov", suffix).out)
        assert lower_tags(stream)["timecode"] == "01:02:03:04"


@pytest.mark.parametrize(
    ("name", "suffix"),
    [(name, Path(name).suffix) for name in (*SOURCES, "mp3.avi", "sound-first.mp4")]
    + [("two-videos.mkv", ".mkv"), ("sound-first.mp4", ".mkv")],
)
def test_languages_titles_and_dispositions_are_kept(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    source, out = clips(name), run(name, suffix).out
    assert [described(stream) for stream in beside(out)] == [
        described(stream) for stream in beside(source)
    ]
    before, after = described(goldens.video(source)), described(goldens.video(out))
    assert (after[0], *after[2:]) == (before[0], *before[2:])


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("everything.mkv", ".mp4"),
        ("everything.mkv", ".mov"),
        ("everything.mp4", ".mkv"),
        ("everything.webm", ".mkv"),
    ],
)
def test_languages_and_dispositions_are_kept_and_titles_kept_or_told_in_another_container(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    source, (out, report) = clips(name), run(name, suffix)
    for one, other in zip(
        goldens.streams(source, "audio"), goldens.streams(out, "audio"), strict=True
    ):
        (*kind, title, default, forced), (*its, its_title, its_default, its_forced) = (
            described(one), described(other),
        )  # fmt: skip
        assert (its, its_default, its_forced) == (kind, default, forced), report["fallbacks"]
        # ffprobe 5.1 sees no titles in an mp4 that ffmpeg 5.1 wrote; FFmpeg 8 does.
        told = [note for note in report["fallbacks"] if " title" in note]
        assert its_title == title or title is None or told
    assert goldens.video(out)["tags"].get("language") == "jpn"


@cache
def packets(path: Path, stream: str) -> list[dict[str, str]]:
    keys = "packet=pts_time,duration_time,size"
    found: list[dict[str, str]] = goldens.probe(
        path, "-select_streams", stream, "-show_entries", keys
    )["packets"]
    return found


def packet_times(path: Path, stream: str) -> list[float]:
    return [float(packet["pts_time"]) for packet in packets(path, stream)]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *((name, suffix) for name in SOURCES[:2] for suffix in (".mp4", ".mov", ".mkv")),
        ("everything.webm", ".webm"),
        ("everything.webm", ".mp4"),
        ("sound-first.mp4", ".mkv"),
        ("timecode.mov", ".mov"),
        ("mp3.avi", ".avi"),
        ("mp3.avi", ".mp4"),
    ],
)
def test_sound_is_copied_bit_for_bit_at_its_own_time(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    source, out = clips(name), run(name, suffix).out
    hashes = goldens.sound_hashes(source)
    assert len(hashes) in (1, 2)
    assert goldens.sound_hashes(out) == hashes
    for track in range(len(hashes)):
        before, after = packet_times(source, f"a:{track}"), packet_times(out, f"a:{track}")
        assert after == pytest.approx(before, abs=0.0011)


ALIKE = [name for name in SOUND if not name.startswith("sound")]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
@pytest.mark.parametrize("name", ALIKE)
def test_sound_of_every_kind_is_heard_in_the_output_or_told(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    out, report = run(name, suffix)
    told = [note for note in report["fallbacks"] if re.match("audio .* left out", note)]
    assert bool(goldens.streams(out, "audio")) != bool(told), report["fallbacks"]
    assert told == [] or suffix != Path(name).suffix
    if not told:
        seconds, complaints = goldens.heard(out)
        assert not complaints
        assert seconds == pytest.approx(goldens.heard(clips(name))[0], abs=0.05)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
@pytest.mark.parametrize("name", ["sound-late.mkv", "sound-early.mkv", "mp2.ts"])
def test_sound_and_pictures_begin_as_far_apart_as_they_did(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    out, report = run(name, suffix)
    apart = [
        packet_times(path, "a:0")[0] - float(min(goldens.timing(path).times))
        for path in (clips(name), out)
    ]
    if suffix == ".avi" and name != "mp2.ts":  # no timestamps: all streams begin at 0
        assert [note for note in report["fallbacks"] if "audio" in note]
    else:
        assert apart[1] == pytest.approx(apart[0], abs=0.0111 if suffix == ".avi" else 0.0021)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("everything.mkv", ".mkv"),
        ("everything.mp4", ".mp4"),
        ("everything.mp4", ".mov"),
        ("everything.webm", ".webm"),
        ("everything.webm", ".mkv"),
    ],
)
def test_subtitles_say_the_same_at_the_same_time(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    source, out = clips(name), run(name, suffix).out
    assert words(out) == words(source) == ["left", "right"]
    wanted, got = subtitle_times(source), subtitle_times(out)
    assert got == pytest.approx(wanted, abs=0.0011)
    assert [late - early for early, late in itertools.pairwise(got[::2])] == pytest.approx([0.5])


def words(path: Path) -> list[str]:
    """What the first subtitles say."""
    text = goldens.output("ffmpeg", "-v", "error", "-i", path, "-map", "0:s:0", "-f", "srt", "-")
    return [cue.splitlines()[2] for cue in text.decode().strip().split("\n\n")]


def subtitle_times(path: Path) -> list[float]:
    """PTS and duration of each packet that says anything."""
    said = [packet for packet in packets(path, "s:0") if int(packet["size"]) > 2]
    return [float(packet[key]) for packet in said for key in ("pts_time", "duration_time")]


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("name", SOURCES)
def test_chapters_and_metadata_are_kept_or_told(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    out, report = run(name, suffix)
    wanted = [(0.0, 0.5, "town"), (0.5, 1.2, "motorway")]
    assert goldens.chapters(clips(name)) == wanted
    if suffix in (".avi", ".gif"):
        assert [note for note in report["fallbacks"] if "chapters" in note]
    else:
        assert goldens.chapters(out) == wanted
    tags = lower_tags(goldens.container(out))
    before = lower_tags(goldens.container(clips(name)))
    for key in ("title", "artist", "comment", "creation_time"):
        told = [note for note in report["fallbacks"] if key in note.lower() and "metadata" in note]
        assert (tags.get(key) == before[key]) != bool(told), (key, tags)
        assert not told or suffix in (".avi", ".gif")


def test_a_cover_picture_is_kept(run: Run) -> None:
    out = run("cover.mp4", ".mkv").out
    covers = [s for s in goldens.streams(out, "video") if s["disposition"]["attached_pic"]]
    assert [cover["codec_name"] for cover in covers] == ["png"]
    assert goldens.video(out)["codec_name"] == "h264"


def test_of_two_videos_one_is_processed_and_the_other_told(run: Run) -> None:
    out, report = run("two-videos.mkv", ".mkv")
    assert len(goldens.streams(out, "video")) == 1
    assert report["frames"]["written"] == 30
    assert [note for note in report["fallbacks"] if "stream 1 " in note]


def test_no_audio_leaves_out_sound_and_nothing_else(run: Run) -> None:
    out, report = run("everything.mkv", ".mkv", audio=False)
    assert [stream["codec_type"] for stream in beside(out)] == ["subtitle", "attachment"]
    assert not [note for note in report["fallbacks"] if "audio" in note]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_takes_sound_subtitles_and_chapters_of_its_time(suffix: str, run: Run) -> None:
    out, report = run(f"everything{suffix}", suffix, start=0.55, end=1.0)
    for track in ("a:0", "a:1"):
        times = packet_times(out, track)
        assert 0.5 < times[0] < 0.6
        assert 0.9 < times[-1] < 1.05
    assert words(out) == ["right"]
    # An mp4 has an empty chapter in front: its first one begins at 0.
    ((start, end, title),) = [chapter for chapter in goldens.chapters(out) if chapter[2]]
    assert title == "motorway"
    assert 0.5 <= start < 0.6
    assert 1.0 <= end <= 1.2
    assert not [note for note in report["fallbacks"] if "left out" in note]
