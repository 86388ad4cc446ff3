"""What is copied beside the pictures, read back."""

import shutil
from collections import deque
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from fakes import FakeSource, gray_frame
from media import audio_packets, write_clip

from streamseg.errors import SinkError
from streamseg.reading.source import CopiedPacket, Kept
from streamseg.writing.copied_stream import without_statistics
from streamseg.writing.encoders import choose_encoding
from streamseg.writing.side_streams import SideStreams
from streamseg.writing.video_writer import VideoWriter


class KeptSource(FakeSource):
    """A source of flat frames that gives what lies beside the video of a file.

    Args:
        path: the file; its first video stream is left out.
        frames, first: how many, and the index of the first.
    """

    def __init__(self, path: Path, frames: int = 50, *, first: int = 0) -> None:
        super().__init__([gray_frame(first + k) for k in range(frames)])
        self.container = av.open(str(path), metadata_errors="replace")
        video = self.container.streams.video[0]
        self.kept = Kept(
            streams=tuple(entry for entry in self.container.streams if entry is not video),
            metadata=dict(self.container.metadata),
            video_metadata=dict(video.metadata),
            chapters=tuple(self.container.chapters()),
        )
        self.reached_end = True
        for packet in self.container.demux(
            [s for s in self.kept.streams if s.type != "attachment"]
        ):
            if packet.size:
                time = float((packet.pts or 0) * packet.time_base)
                index = packet.stream.index
                self.copied.append(
                    CopiedPacket(packet=packet, stream_index=index, time_seconds=time)
                )


def write(source: FakeSource, path: Path) -> list[str]:
    """Write all frames of a source and return the notes."""
    writer = VideoWriter(
        path, source.info, choose_encoding(path.suffix, source.info.format), source=source
    )
    for frame in source:
        writer.write(frame.image)
    writer.close()
    return writer.notes


def copy(path: Path, out: Path, **settings: Any) -> list[str]:
    source = KeptSource(path, **settings)
    try:
        return write(source, out)
    finally:
        source.container.close()


def packets(path: Path, kind: str) -> list[tuple[bytes, float]]:
    """(bytes, PTS in seconds) of the packets of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(entry for entry in container.streams if entry.type == kind)
        return [
            (bytes(packet), float(packet.pts * packet.time_base))
            for packet in container.demux(stream)
            if packet.size
        ]


STYLE = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, \
Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""What FFmpeg's subtitle encoders want to know before they open."""

TEXTS = {
    "mov_text": b"\0\5Hello",
    "ass": b"0,0,Default,,0,0,0,,Hello",
    "subrip": b"Hello",
    "webvtt": b"Hello",
}


def subtitles(
    path: Path, codec: str, times: tuple[float, ...] = (0.5, 1.5), **options: Any
) -> Path:
    """A clip of 2 s with text at some times.

    Args:
        options: "tone", "chapters", "cover", "attachment": whether there are such; "metadata" and
            "video_metadata"; "container_options" for the muxer.
    """
    with av.open(
        str(path), "w", container_options=options.get("container_options", {})
    ) as container:
        video: Any = container.add_stream("libx264", rate=25, options={"bf": "0"})
        video.height, video.width = 32, 48
        video.metadata.update(options.get("video_metadata", {}))
        container.metadata.update(options.get("metadata", {}))
        if options.get("chapters"):
            container.set_chapters(
                [
                    {
                        "id": k,
                        "start": k,
                        "end": k + 1,
                        "time_base": Fraction(1),
                        "metadata": {"title": name},
                    }
                    for k, name in enumerate(("One", "Two"))
                ]
            )
        tone: Any = container.add_stream("aac", rate=48000) if options.get("tone") else None
        text: Any = container.add_stream(codec)
        text.codec_context.subtitle_header = STYLE.encode()
        text.metadata.update({"language": "fra", "title": "Notes"})
        text.disposition = Disposition.forced
        if options.get("attachment"):
            container.add_attachment("font.ttf", "font/ttf", b"letters")
        if options.get("cover"):
            container.add_attachment("cover.png", "image/png", COVER)
        for index in range(50):
            container.mux(video.encode(gray_frame(index).image))
        container.mux(video.encode(None))
        for index in range(90 if tone else 0):
            container.mux(tone.encode(silence(index * 1024)))
        if tone:
            container.mux(tone.encode(None))
        for time in times:
            packet = av.Packet(TEXTS[codec])
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = round(time * 1000)
            packet.duration = 500
            container.mux(packet)
    return path


def silence(pts: int) -> av.AudioFrame:
    """A packet's worth at 48 kHz."""
    frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, pts, Fraction(1, 48000)
    return frame


def png() -> bytes:
    """A small picture."""
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.height, encoder.width, encoder.pix_fmt = 16, 16, "rgb24"
    encoder.time_base = Fraction(1)
    (packet,) = encoder.encode(gray_frame(0, size=(16, 16)).image.reformat(format="rgb24"))
    return bytes(packet)


COVER = png()


# ---- streams


FITS = {
    "mov_text": (".mp4", ".mov"),
    "subrip": (".mkv",),
    "ass": (".mkv",),
    "webvtt": (".mkv", ".webm"),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif"])
@pytest.mark.parametrize("codec", TEXTS)
def test_subtitles_are_copied_where_they_fit_and_told_where_not(
    codec: str, suffix: str, tmp_path: Path
) -> None:
    source = subtitles(tmp_path / f"in{'.mp4' if codec == 'mov_text' else '.mkv'}", codec)
    out = tmp_path / f"out{suffix}"
    notes = [note for note in copy(source, out) if "subtitle" in note]
    if suffix not in FITS[codec]:
        elsewhere = "" if codec == "mov_text" or suffix == ".mkv" else " (.mkv can)"
        assert notes == [
            f"subtitle stream 1 ({codec}) kept, left out, {suffix} cannot hold it{elsewhere}"
        ]
        return
    assert notes == []
    full = [(data, time) for data, time in packets(out, "subtitle") if b"Hello" in data]
    assert [time for _, time in full] == pytest.approx([0.5, 1.5])
    with av.open(str(out)) as container:
        stream = container.streams.subtitles[0]
        assert stream.language == "fra"
        if codec != "mov_text":  # an mp4 has no place for these
            assert stream.metadata["title"] == "Notes"
            assert stream.disposition & Disposition.forced


@pytest.mark.parametrize(
    ("codec", "suffix", "fits"),
    [
        ("aac", ".mp4", True), ("aac", ".mov", True), ("aac", ".mkv", True), ("aac", ".avi", True),
        ("aac", ".webm", False), ("aac", ".gif", False),
        ("libopus", ".mp4", True), ("libopus", ".webm", True), ("libopus", ".mov", False),
        ("libopus", ".avi", False), ("flac", ".mkv", True), ("pcm_s16le", ".avi", True),
    ],
)  # fmt: skip
def test_sound_is_copied_bit_for_bit_where_it_fits(
    codec: str, suffix: str, fits: bool, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "in.mkv", num_frames=50, audio=codec)
    notes = copy(path, tmp_path / f"out{suffix}")
    told = [note for note in notes if note.startswith("audio stream 1 (")]
    assert len(told) == (not fits)
    if fits:
        wanted, got = audio_packets(path), audio_packets(tmp_path / f"out{suffix}")
        assert b"".join(data for data, _ in got) == b"".join(data for data, _ in wanted)


def test_every_track_keeps_its_language_title_and_dispositions(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25)
        video.height, video.width = 32, 48
        tones: list[Any] = [container.add_stream("aac", rate=48000) for _ in range(3)]
        tones[1].metadata.update({"language": "deu", "title": "Kommentar", "BPS": "1"})
        tones[1].disposition = Disposition.comment
        for stream in tones:
            container.mux(stream.encode(silence(0)))
            container.mux(stream.encode(None))
        container.mux(video.encode(gray_frame(0).image))
        container.mux(video.encode(None))
    assert copy(path, tmp_path / "out.mkv") == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert len(container.streams.audio) == 3
        stream = container.streams.audio[1]
        assert stream.metadata.items() >= {"language": "deu", "title": "Kommentar"}.items()
        assert "BPS" not in stream.metadata
        assert stream.disposition & Disposition.comment


@pytest.mark.parametrize(
    ("suffix", "language"), [(".mov", "ger"), (".mp4", "deu"), (".mkv", "deu")]
)
def test_a_language_with_two_names_is_not_lost(suffix: str, language: str, tmp_path: Path) -> None:
    path = subtitles(tmp_path / "in.mkv", "ass", video_metadata={"language": "deu"})
    copy(path, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert container.streams.video[0].language == language


def test_attachments_and_covers_go_into_matroska_and_are_told_elsewhere(tmp_path: Path) -> None:
    path = subtitles(tmp_path / "in.mkv", "ass", attachment=True, cover=True)
    assert copy(path, tmp_path / "out.mkv") == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        font, cover = list(container.streams)[2:]
        assert (font.name, font.mimetype, font.data) == ("font.ttf", "font/ttf", b"letters")
        assert cover.disposition & Disposition.attached_pic
        assert next(bytes(packet) for packet in container.demux(cover)) == COVER
    for suffix in (".mp4", ".webm"):
        notes = copy(path, tmp_path / f"out{suffix}")
        for name in ("attachment stream 2 (font.ttf)", "cover picture 3 (png)"):
            assert f"{name} kept, left out, {suffix} cannot hold it (.mkv can)" in notes


def test_a_cover_that_never_came_is_told(tmp_path: Path) -> None:
    path = subtitles(tmp_path / "in.mkv", "ass", cover=True)
    source = KeptSource(path)
    source.copied.popleft()
    assert write(source, tmp_path / "out.mkv") == [
        "cover picture 2 (png) kept, left out, the source did not give it"
    ]
    source.container.close()


def test_a_timecode_is_a_tag_of_the_video_and_not_a_second_stream(tmp_path: Path) -> None:
    path = subtitles(tmp_path / "in.mov", "mov_text", video_metadata={"timecode": "01:00:00:00"})
    for suffix, key in ((".mov", "timecode"), (".mp4", "timecode"), (".mkv", "TIMECODE")):
        out = tmp_path / f"out{suffix}"
        assert not [note for note in copy(path, out) if "timecode" in note]
        with av.open(str(out)) as container:
            assert container.streams.video[0].metadata[key] == "01:00:00:00"
            assert len(container.streams.data) == (suffix != ".mkv")
    assert "data stream 2 (timecode) kept, left out, .gif cannot hold it" in copy(
        path, tmp_path / "out.gif"
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_titles_of_tracks_lie_where_players_look(suffix: str, tmp_path: Path) -> None:
    path = subtitles(tmp_path / "in.mkv", "ass", tone=True, video_metadata={"title": "front"})
    copy(path, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        key = "title" if suffix == ".mkv" else "handler_name"
        assert container.streams.video[0].metadata[key] == "front"
    copy(tmp_path / f"out{suffix}", tmp_path / "again.mkv")
    with av.open(str(tmp_path / "again.mkv")) as container:
        assert container.streams.video[0].metadata["title"] == "front"


# ---- metadata and chapters


CAMERA = {
    "title": "My drive",
    "artist": "Me",
    "creation_time": "2024-05-06T07:08:09.000000Z",
    "com.apple.quicktime.model": "A camera",
    "custom": "abc",
    "location": "+52.5200+013.4050/",
}


def metadata(path: Path) -> dict[str, str]:
    """In lower case: Matroska's keys are in capitals."""
    with av.open(str(path)) as container:
        return {key.lower(): text for key, text in container.metadata.items()}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_all_metadata_is_kept_and_nothing_of_the_sources_muxer(suffix: str, tmp_path: Path) -> None:
    path = subtitles(
        tmp_path / "in.mp4", "mov_text", metadata=CAMERA,
        container_options={"movflags": "use_metadata_tags"},
    )  # fmt: skip
    copy(path, tmp_path / f"out{suffix}")
    got = metadata(tmp_path / f"out{suffix}")
    assert got.items() >= CAMERA.items()
    brand = got.get("major_brand", "none")
    assert brand == {".mp4": "isom", ".mov": "qt  "}.get(suffix, "none")


def test_plain_metadata_lies_where_every_player_looks(tmp_path: Path) -> None:
    plain = {key: CAMERA[key] for key in ("title", "artist", "creation_time")}
    path = subtitles(tmp_path / "in.mp4", "mov_text", metadata=plain)
    copy(path, tmp_path / "out.mp4")
    assert b"\xa9nam" in (tmp_path / "out.mp4").read_bytes()
    assert metadata(tmp_path / "out.mp4").items() >= plain.items()


@pytest.mark.parametrize("suffix", [".avi", ".gif"])
def test_metadata_and_chapters_without_a_place_are_told(suffix: str, tmp_path: Path) -> None:
    path = subtitles(tmp_path / "in.mkv", "ass", metadata=CAMERA, chapters=True)
    notes = copy(path, tmp_path / f"out{suffix}")
    (lost,) = [note for note in notes if note.startswith("metadata")]
    assert ("title" in lost) == (suffix == ".gif")
    assert "COM.APPLE.QUICKTIME.MODEL" in lost and lost.endswith("has no place for them")
    assert f"2 chapters kept, left out, {suffix} has none" in notes
    got = metadata(tmp_path / f"out{suffix}")
    assert got.get("title") == ("My drive" if suffix == ".avi" else None)
    assert not got.keys() & {key.lower() for key in lost.split(" kept")[0].split()[1:]}


@pytest.mark.parametrize("source_suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_chapters_are_kept_with_their_names(
    source_suffix: str, suffix: str, tmp_path: Path
) -> None:
    codec = "mov_text" if source_suffix == ".mp4" else "ass"
    path = subtitles(tmp_path / f"in{source_suffix}", codec, chapters=True)
    notes = copy(path, tmp_path / f"out{suffix}")
    assert not [note for note in notes if "data stream" in note]
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        chapters = [
            (entry["metadata"]["title"], entry["start"] * entry["time_base"])
            for entry in container.chapters()
        ]
        assert chapters == [("One", 0), ("Two", 1)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_chapters_that_begin_late_or_have_no_name_keep_their_times(
    suffix: str, tmp_path: Path
) -> None:
    source = FakeSource(50)
    unit = Fraction(1, 1000)
    source.kept = Kept(
        chapters=(
            {"id": 0, "start": 400, "end": 900, "time_base": unit, "metadata": {"title": "One"}},
            {"id": 1, "start": 900, "end": 1400, "time_base": unit, "metadata": {}},
            {
                "id": 2,
                "start": 1400,
                "end": 2000,
                "time_base": unit,
                "metadata": {"title": "Three"},
            },
        )
    )
    write(source, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        got = {
            entry["start"] * entry["time_base"]: entry["metadata"].get("title", "")
            for entry in container.chapters()
        }
    lead = {} if suffix == ".mkv" else {0: ""}
    assert got == lead | {
        Fraction(2, 5): "One", Fraction(9, 10): "", Fraction(7, 5): "Three"
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_chapters_that_cannot_be_do_not_stop_the_job(suffix: str, tmp_path: Path) -> None:
    source = FakeSource(10)
    unit = Fraction(1, 1000)
    source.kept = Kept(
        chapters=(
            {"id": 0, "start": -5, "end": 100, "time_base": unit, "metadata": {"title": "a"}},
            {"id": 1, "start": 200, "end": 100, "time_base": unit, "metadata": {"title": "b"}},
            {"id": 2, "start": 0, "end": -(1 << 63), "time_base": unit, "metadata": {"title": "c"}},
            {"id": 3, "start": 0, "end": 1, "time_base": None, "metadata": {"title": "d"}},
        )
    )
    notes = write(source, tmp_path / f"out{suffix}")
    assert notes == ["4 chapters kept, left out, they end before they begin"]


def test_what_a_muxer_wrote_of_its_file_is_no_metadata() -> None:
    kept = {"title": "a", "location": "b", "BPM": "120", "other-eng": "c"}
    made = {"ENCODER": "x", "DURATION-eng": "1", "_STATISTICS_TAGS": "y", "location-eng": "b",
            "NUMBER_OF_BYTES": "3", "compatible_brands": "z"}  # fmt: skip
    assert without_statistics(kept | made) == kept


# ---- packets


def test_a_stream_whose_packet_is_refused_is_dropped_and_the_video_goes_on(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mkv", num_frames=50, audio="eac3")
    source = KeptSource(path)
    spoiled: deque[CopiedPacket] = deque()
    for index, entry in enumerate(source.copied):
        if index == 20:
            packet = av.Packet(b"not what mp4 wants of E-AC-3")
            packet.time_base = entry.packet.time_base
            packet.pts, packet.dts = entry.packet.pts, entry.packet.dts
            entry = replace(entry, packet=packet)
        spoiled.append(entry)
    source.copied = spoiled
    (note,) = write(source, tmp_path / "out.mp4")
    source.container.close()
    assert note.startswith(
        "audio stream 1 (eac3) kept, left out from some point on, .mp4 refused a packet"
    )
    assert 10 < len(packets(tmp_path / "out.mp4", "audio")) <= 21
    assert len(packets(tmp_path / "out.mp4", "video")) == 50


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_packets_that_go_back_in_time_follow_at_once(suffix: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mkv", num_frames=50, audio="aac")
    source = KeptSource(path)
    entry = source.copied[30].packet
    entry.pts = entry.dts = 0
    assert write(source, tmp_path / f"out{suffix}") == []
    got = packets(tmp_path / f"out{suffix}", "audio")
    assert len(got) == len(audio_packets(path))
    assert [time for _, time in got] == sorted(time for _, time in got)
    source.container.close()


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_rare_subtitles_hold_nothing_up(suffix: str, tmp_path: Path) -> None:
    codec = "mov_text" if suffix == ".mp4" else "ass"
    path = subtitles(tmp_path / f"in{suffix}", codec, times=(7.5,), chapters=True)
    source = KeptSource(path, frames=200)
    writer = VideoWriter(
        tmp_path / f"out{suffix}",
        source.info,
        choose_encoding(suffix, source.info.format),
        source=source,
    )
    for frame in source:
        writer.write(frame.image)
        if frame.index in (60, 120, 180):
            copied = Path(shutil.copy(writer.part, tmp_path / f"{frame.index}{suffix}"))
            assert len(packets(copied, "video")) > frame.index - 40
    writer.close()
    assert len(packets(writer.path, "video")) == 200
    assert len([data for data, _ in packets(writer.path, "subtitle") if b"Hello" in data]) == 1
    source.container.close()


def test_a_stream_that_is_stored_ahead_does_not_hold_up_the_others(tmp_path: Path) -> None:
    path = subtitles(tmp_path / "in.mkv", "ass", times=(0.2, 1.9), tone=True)
    source = KeptSource(path)
    # As an mp4 may have it: all text first, then all sound.
    source.copied = deque(sorted(source.copied, key=lambda entry: -entry.stream_index))
    assert [entry.stream_index for entry in source.copied][:3] == [2, 2, 1]
    out = tmp_path / "out.mkv"
    assert write(source, out) == []
    with av.open(str(out)) as container:
        times = [(p.stream.index, float(p.pts * p.time_base)) for p in container.demux() if p.size]
    late = next(k for k, (index, _) in enumerate(times) if index == 2 and times[k][1] > 1)
    assert max(time for index, time in times[:late] if index == 1) > 1.8
    source.container.close()


@pytest.mark.parametrize(("suffix", "told"), [(".mp4", True), (".mkv", False)])
def test_sound_that_begins_late_keeps_an_mp4_from_being_playable_and_is_told(
    suffix: str, told: bool, tmp_path: Path
) -> None:
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25)
        video.height, video.width = 32, 48
        tone: Any = container.add_stream("aac", rate=48000)
        for index in range(50):
            container.mux(video.encode(gray_frame(index).image))
        container.mux(video.encode(None))
        container.mux(tone.encode(silence(72000)))
        container.mux(tone.encode(None))
    notes = copy(path, tmp_path / f"out{suffix}")
    assert len(notes) == told
    assert not told or notes[0].startswith(
        "a part file that plays at any moment asked for, one from 1.5"
    )
    assert packets(tmp_path / f"out{suffix}", "audio")[0][1] == pytest.approx(1.5, abs=0.03)


def test_an_avi_that_begins_at_zero_takes_its_sound_along(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mkv", num_frames=50, audio="libmp3lame")
    source = KeptSource(path, frames=25, first=25)
    source.copied = deque(entry for entry in source.copied if entry.time_seconds >= 1.0)
    wanted = len(source.copied)
    notes = write(source, tmp_path / "out.avi")
    assert notes == ["first frame of out.avi at 1.000 s kept, shown at 0 s, .avi begins there"]
    got = packets(tmp_path / "out.avi", "audio")
    assert len(got) == wanted
    assert got[0][1] == pytest.approx(0.0, abs=0.03)
    source.container.close()


def test_a_full_disk_is_no_refused_packet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "in.mkv", num_frames=50, audio="aac")
    source = KeptSource(path)

    def full(self: SideStreams, *arguments: Any) -> None:
        raise av.error.OSError(28, "No space left on device")

    monkeypatch.setattr(SideStreams, "_mux_one", full)
    with pytest.raises(SinkError, match=r"No space left on device; the unfinished file is .*part"):
        write(source, tmp_path / "out.mkv")
    source.container.close()


# ---- sound that containers take in a form of their own


def adts_clip(path: Path) -> Path:
    """An MPEG-TS whose sound is AAC with a header in every packet."""
    return write_clip(path, num_frames=50, audio="aac", container_format="mpegts")


def from_zero(source: KeptSource) -> KeptSource:
    """Move what is copied so that sound begins at 0, as the pictures of the source do."""
    first = min(entry.time_seconds for entry in source.copied)
    moved = deque[CopiedPacket]()
    for entry in source.copied:
        entry.packet.pts -= round(first / entry.packet.time_base)
        entry.packet.dts = entry.packet.pts
        moved.append(replace(entry, time_seconds=entry.time_seconds - first))
    source.copied = moved
    return source


def decoded_samples(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".avi", ".mkv"])
def test_aac_with_adts_headers_loses_them_and_nothing_else(
    suffix: str, late: bool, tmp_path: Path
) -> None:
    path = adts_clip(tmp_path / "in.ts")
    source, out = from_zero(KeptSource(path)), tmp_path / f"out{suffix}"
    wanted = [(bytes(entry.packet), entry.time_seconds) for entry in source.copied]
    assert all(data[:2] == b"\xff\xf1" for data, _ in wanted)
    arriving = source.copied
    if late:  # after the header of the output is written
        source.copied = deque()
    writer = VideoWriter(
        out, source.info, choose_encoding(suffix, source.info.format), source=source
    )
    for index, frame in enumerate(source):
        writer.write(frame.image)
        if late and index == 3:
            source.copied.extend(arriving)
    writer.close()
    assert not [note for note in writer.notes if "left out" in note]
    got = packets(out, "audio")
    assert [data for data, _ in got] == [data[7:] for data, _ in wanted]
    times = [time for _, time in got]
    assert times == pytest.approx([time for _, time in wanted], abs=0.001)
    assert decoded_samples(out) == decoded_samples(path)
    source.container.close()


@pytest.mark.parametrize("spoil", ["first", "later"])
def test_damaged_aac_packets_are_left_out_and_counted(spoil: str, tmp_path: Path) -> None:
    source = from_zero(KeptSource(adts_clip(tmp_path / "in.ts")))
    entries = list(source.copied)
    for index in (0,) if spoil == "first" else (10, 11):
        packet = av.Packet(b"damaged" + bytes(entries[index].packet)[7:])
        packet.time_base, packet.pts = entries[index].packet.time_base, entries[index].packet.pts
        packet.dts = packet.pts
        entries[index] = replace(entries[index], packet=packet)
    source.copied = deque(entries)
    count = "1 packet" if spoil == "first" else "2 packets"
    assert write(source, tmp_path / "out.mp4") == [
        f"{count} of audio stream 1 (aac) kept, left out, damaged or of another kind than the first"
    ]
    assert len(packets(tmp_path / "out.mp4", "audio")) == len(entries) - int(count[0])
    source.container.close()


def test_aac_that_nothing_describes_is_left_out(tmp_path: Path) -> None:
    source = from_zero(KeptSource(adts_clip(tmp_path / "in.ts")))
    bare = deque[CopiedPacket]()
    for entry in source.copied:
        packet = av.Packet(bytes(entry.packet)[7:])
        packet.time_base, packet.pts = entry.packet.time_base, entry.packet.pts
        bare.append(replace(entry, packet=packet))
    source.copied = bare
    assert write(source, tmp_path / "out.mp4") == [
        "audio stream 1 (aac) kept, left out, its packets do not say how they are to be decoded"
    ]
    assert len(packets(tmp_path / "out.mp4", "video")) == 50
    source.container.close()


def test_sound_that_keeps_an_mp4_from_being_closed_is_left_out_from_the_beginning(
    tmp_path: Path,
) -> None:
    source = KeptSource(write_clip(tmp_path / "in.mkv", num_frames=50, audio="ac3"))
    garbage = deque[CopiedPacket]()
    for entry in source.copied:
        packet = av.Packet(b"not AC-3 at all")
        packet.time_base, packet.pts = entry.packet.time_base, entry.packet.pts
        garbage.append(replace(entry, packet=packet))
    source.copied = garbage
    (note,) = write(source, tmp_path / "out.mp4")
    assert note.startswith("audio stream 1 (ac3) kept, left out, .mp4 refused it (")
    assert len(packets(tmp_path / "out.mp4", "video")) == 50
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio
    source.container.close()


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le"])
def test_pcm_goes_into_mov_and_mkv_and_not_into_mp4(codec: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mkv", num_frames=50, audio=codec)
    assert copy(path, tmp_path / "out.mp4") == [
        f"audio stream 1 ({codec}) kept, left out, .mp4 cannot hold it (.mkv can)"
    ]
    for suffix in (".mov", ".mkv", ".avi"):
        assert copy(path, tmp_path / f"out{suffix}") == []
        assert decoded_samples(tmp_path / f"out{suffix}") == decoded_samples(path)


@pytest.mark.parametrize("codec", ["pcm_alaw", "pcm_mulaw", "adpcm_ima_wav"])
def test_matroska_takes_sound_by_its_name_in_wav(codec: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.avi", codec="mpeg4", num_frames=50, audio=codec)
    assert copy(path, tmp_path / "out.mkv") == []
    assert b"".join(data for data, _ in packets(tmp_path / "out.mkv", "audio")) == b"".join(
        data for data, _ in packets(path, "audio")
    )
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.audio[0].codec_context.name == codec


@pytest.mark.parametrize("codec", ["flac", "eac3"])
def test_sound_that_an_avi_would_play_at_the_wrong_time_is_left_out(
    codec: str, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "in.mkv", num_frames=50, audio=codec)
    (note,) = copy(path, tmp_path / "out.avi")
    assert note.endswith("kept, left out, .avi cannot hold it (.mkv can)")


@pytest.mark.parametrize("codec", ["pcm_s16le", "libmp3lame", "ac3", "aac"])
@pytest.mark.parametrize("seconds", [0.4, -0.4, 0.03, -0.03])
def test_an_avi_whose_sound_begins_apart_from_the_pictures_is_told(
    seconds: float, codec: str, tmp_path: Path
) -> None:
    source = from_zero(KeptSource(write_clip(tmp_path / "in.mkv", num_frames=50, audio=codec)))
    moved = deque[CopiedPacket]()
    for entry in source.copied:
        entry.packet.pts += round(seconds / entry.packet.time_base)
        entry.packet.dts = entry.packet.pts
        moved.append(replace(entry, time_seconds=entry.time_seconds + seconds))
    source.copied = moved
    times = [entry.time_seconds for entry in moved]
    notes = write(source, tmp_path / "out.avi")
    source.container.close()
    told = [note for note in notes if note.startswith("audio stream 1 (")]
    if abs(seconds) < 0.1:
        assert not told
    else:
        (note,) = told
        where = f"asked for 0.400 s {'after' if seconds > 0 else 'before'} the first picture"
        assert where in note and note.endswith("begun with it, .avi has no timestamps")
    length = times[1] - times[0]
    heard = [time for time in times if seconds > -0.1 or time + length > 0.001]
    with av.open(str(tmp_path / "out.avi")) as container:
        got = sum(packet.duration for packet in container.demux(audio=0) if packet.size)
        unit = container.streams.audio[0].time_base
    assert float(got * unit) == pytest.approx(len(heard) * length, abs=1.5 * length)


class Refusing:
    """A container whose muxer raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def mux_one(self, packet: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "disk"),
    [
        (av.error.PermissionError(1, "Operation not permitted"), False),
        (av.error.ArgumentError(22, "Invalid argument"), False),
        (av.error.InvalidDataError(1094995529, "Invalid data"), False),
        (av.error.OSError(28, "No space left on device"), True),
        (av.error.OSError(5, "Input/output error"), True),
        (av.error.BrokenPipeError(32, "Broken pipe"), True),
    ],
)
def test_only_the_disk_ends_the_job_and_no_muxer(
    error: Exception, disk: bool, tmp_path: Path
) -> None:
    source = KeptSource(write_clip(tmp_path / "in.mkv", num_frames=50, audio="aac"))
    side, refusing = SideStreams(source, ".mkv"), Refusing(error)
    with av.open(str(tmp_path / "out.mkv"), "w") as container:
        video: Any = container.add_stream("libx264", rate=25)
        side.attach(container, video)
        side.begin(container, 0.0)
        if disk:
            with pytest.raises(type(error)):
                side.mux(refusing, 1.0, Fraction(0))  # type: ignore[arg-type]
            assert side.notes == []
        else:
            side.mux(refusing, 1.0, Fraction(0))  # type: ignore[arg-type]
            (note,) = side.notes
            assert "left out from some point on, .mkv refused a packet" in note
    source.container.close()


@pytest.mark.parametrize("arrives", [True, False])
def test_sound_that_an_mp4_cannot_be_closed_without_is_waited_for_and_then_left_out(
    arrives: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = KeptSource(write_clip(tmp_path / "in.mkv", num_frames=50, audio="ac3"))
    arriving, source.copied = source.copied, deque()
    naps = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if arrives and len(naps) == 3:
            source.copied.extend(arriving)

    monkeypatch.setattr("streamseg.writing.side_streams.time.sleep", nap)
    monkeypatch.setattr("streamseg.writing.side_streams.time.monotonic", lambda: len(naps) * 0.002)
    notes = write(source, tmp_path / "out.mp4")
    source.container.close()
    assert len(packets(tmp_path / "out.mp4", "video")) == 50
    if arrives:
        assert notes == []
        assert len(naps) == 3
        assert len(packets(tmp_path / "out.mp4", "audio")) == len(arriving)
    else:
        (note,) = notes
        assert note.startswith("audio stream 1 (ac3) kept, left out, .mp4 refused it (")
        assert sum(naps) == pytest.approx(0.5, abs=0.01)
