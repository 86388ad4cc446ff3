"""Written files, read back. The whole path runs, from the decoder to the muxer, with a fake network."""

import itertools
import os
import resource
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import FakeSource, fake_segmenter, gray_frame, label_of_luma
from media import audio_packets, open_to_all, video_times, write_clip, write_images
from numpy.typing import NDArray

from streamseg.errors import SinkError
from streamseg.frames import Painted
from streamseg.labels import CAMVID
from streamseg.picture.format import PictureFormat
from streamseg.reading.open_source import open_source
from streamseg.reading.read_labels import read_labels
from streamseg.writing.encoders import FORMATS
from streamseg.writing.sink import LABEL_FORMS, FileSink, LabelForm, Outputs


def run(source: Path, out: Path, **options: Any) -> dict[str, Any]:
    return fake_segmenter().run(source, out, **options).finish()


RATES = {
    "25": (Fraction(25), Fraction(1, 25), 1),
    "29.97": (Fraction(30000, 1001), Fraction(1, 30000), 1001),
    "23.976": (Fraction(24000, 1001), Fraction(1, 24000), 1001),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
@pytest.mark.parametrize("rate", RATES)
def test_count_times_rate_and_duration_are_the_sources(
    rate: str, suffix: str, tmp_path: Path
) -> None:
    fps, unit, step = RATES[rate]
    path = write_clip(
        tmp_path / "in.mp4", rate=fps, pts=[k * step for k in range(20)], time_base=unit,
        durations=[step] * 20, options={"bf": "3", "b_strategy": "0"},
    )  # fmt: skip
    out = tmp_path / f"out{suffix}"
    report = run(path, out)
    assert report["frames"]["written"] == 20
    exact = 1e-9 if suffix in (".mp4", ".mov", ".avi") else 0.00051  # Matroska counts milliseconds
    times, wanted = video_times(out), video_times(path)
    assert [time for time, _ in times] == pytest.approx([time for time, _ in wanted], abs=exact)
    with av.open(str(out)) as container:
        video = container.streams.video[0]
        assert float(video.average_rate) == pytest.approx(float(fps), rel=1e-4)
        assert container.duration / av.time_base == pytest.approx(20 / float(fps), abs=0.002)
    assert report["fallbacks"] == ["a, b, because"]


@pytest.mark.parametrize("start", [0, 12345])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_variable_rates_and_late_starts_are_kept(suffix: str, start: int, tmp_path: Path) -> None:
    pts = [start + value for value in (0, 700, 1500, 4000, 4100, 9000)]
    durations = [700, 800, 2500, 100, 4900, 2000]
    path = write_clip(
        tmp_path / "in.mp4", pts=pts, durations=durations, time_base=Fraction(1, 12800),
        options={"bf": "0"}, container_options={"movie_timescale": "12800"},
    )  # fmt: skip
    out = tmp_path / f"out{suffix}"
    run(path, out)
    exact = 1e-9 if suffix == ".mp4" else 0.00051
    times = video_times(out)
    assert [time for time, _ in times] == pytest.approx([p / 12800 for p in pts], abs=exact)
    assert times[-1][1] == pytest.approx(2000 / 12800, abs=0.001)


def test_a_long_last_frame_lasts_as_long_in_an_mp4(tmp_path: Path) -> None:
    # Reordered frames would give the file the length of the one encoded last.
    pts = [*range(0, 20 * 512, 512), 20 * 512]
    path = write_clip(
        tmp_path / "in.mp4", pts=pts, durations=[512] * 20 + [9000], time_base=Fraction(1, 12800),
        options={"bf": "0"}, size=(96, 128),
    )  # fmt: skip
    run(path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(19240 / 12800, abs=1e-4)
        assert not any(frame.pict_type == 3 for frame in container.decode(video=0))


def test_an_avi_without_timestamps_says_what_it_moved(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", pts=[0, 700, 1500, 4000], time_base=Fraction(1, 12800))
    report = run(path, tmp_path / "out.avi")
    assert len(video_times(tmp_path / "out.avi")) == 4
    assert any("timestamps of out.avi asked for, moved" in note for note in report["fallbacks"])


def test_timestamps_that_do_not_increase_are_moved_and_told(tmp_path: Path) -> None:
    source = FakeSource([gray_frame(k) for k in (0, 1, 1, 0, 2)])
    sink = FileSink(Outputs(path=tmp_path / "out.mp4"), source, CAMVID)
    for frame in source:
        (passed_on,) = sink.process(painted(frame))
        assert passed_on.frame is frame
    assert sink.drain() == ()
    sink.close()
    times = [time for time, _ in video_times(tmp_path / "out.mp4")]
    assert times == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    assert sink.notes[0].startswith("3 timestamps of out.mp4")


def painted(frame: Any) -> Painted:
    return Painted(
        frame=frame,
        labels=label_of_luma(frame.pixels.y),
        overlay=frame.image,
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (6, 2, 6, 6), (9, 1, 9, 14)])
def test_color_tags_are_carried(tags: tuple[int, ...], suffix: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", tags=tags)  # type: ignore[arg-type]
    out = tmp_path / f"out{suffix}"
    run(path, out, alpha=0.0)
    with av.open(str(path)) as source, av.open(str(out)) as result:
        before, after = next(source.decode(video=0)), next(result.decode(video=0))
        assert (
            after.colorspace, after.color_range, after.color_primaries, after.color_trc
        ) == tags  # fmt: skip
        assert np.abs(before.to_ndarray().astype(int) - after.to_ndarray()).mean() < 3


# ---- sound


@pytest.mark.parametrize("audio_first", [True, False])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_is_copied_bit_for_bit(audio_first: bool, suffix: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", num_frames=50, audio="aac", audio_first=audio_first)
    out = tmp_path / f"out{suffix}"
    report = run(path, out, save=("overlay", "labels", "color"))
    wanted, got = audio_packets(path), audio_packets(out)
    assert [data for data, _ in got] == [data for data, _ in wanted]
    assert [t for _, t in got] == pytest.approx([t for _, t in wanted], abs=0.0006)
    assert len(video_times(out)) == 50
    assert report["fallbacks"] == ["a, b, because"]
    for other in ("out_labels.mkv", f"out_color{suffix}"):
        with av.open(str(tmp_path / other)) as container:
            assert not container.streams.audio


def test_sound_behind_the_last_frame_is_kept(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", audio="aac", audio_seconds=2.0)
    run(path, tmp_path / "out.mp4")
    got = audio_packets(tmp_path / "out.mp4")
    assert got == audio_packets(path)
    assert got[-1][1] > 1.9


def test_sound_is_left_out_when_unwanted_or_unfit(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", audio="aac")
    run(path, tmp_path / "silent.mp4", audio=False)
    with av.open(str(tmp_path / "silent.mp4")) as container:
        assert not container.streams.audio
    report = run(path, tmp_path / "out.webm")
    assert report["fallbacks"][1].startswith("audio stream 1 (aac) kept, left out, .webm cannot")
    assert len(video_times(tmp_path / "out.webm")) == 10


def test_nothing_piles_up_when_no_file_takes_the_sound(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", audio="aac", num_frames=50)
    stream = fake_segmenter().run(path, tmp_path / "out.mp4", save=("labels",))
    stream.finish()
    assert not stream._source.copied


@pytest.mark.parametrize(
    ("cut", "first", "end"),
    [
        ({"limit": 20}, 0.0, 0.8),
        ({"start": 1.0}, 1.0, 2.0),
        ({"start": 0.5, "end": 1.0}, 0.52, 1.0),
    ],
)
def test_a_cut_keeps_the_sound_of_its_time(
    cut: dict[str, Any], first: float, end: float, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "in.mp4", num_frames=50, audio="aac")
    run(path, tmp_path / "out.mkv", **cut)
    wanted = dict(audio_packets(path))
    got = audio_packets(tmp_path / "out.mkv")
    for data, time in got:
        assert wanted[data] == pytest.approx(time, abs=0.001)
    assert got[0][1] == pytest.approx(first, abs=0.045)
    assert got[-1][1] == pytest.approx(end, abs=0.045)
    assert video_times(tmp_path / "out.mkv")[0][0] == pytest.approx(first, abs=0.001)


def test_a_cut_that_had_to_be_sought_twice_holds_each_packet_once(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "in.ts", num_frames=50, audio="aac", options={"g": "12"},
        container_format="mpegts",
    )  # fmt: skip
    run(path, tmp_path / "out.mkv", start=0.2, limit=20)
    times = [time for _, time in audio_packets(tmp_path / "out.mkv")]
    assert len(times) == pytest.approx(0.8 * 48000 / 1024, abs=1.5)
    assert np.diff(times) == pytest.approx(1024 / 48000, abs=0.002)


@pytest.mark.slow
def test_the_real_clip_comes_out_as_long_as_it_is_with_its_sound(
    data_dir: Path, tmp_path: Path
) -> None:
    path = data_dir / "videos" / "solidWhiteRight.mp4"
    if not path.exists():
        pytest.skip(f"no clip at {path}")
    out = tmp_path / "out.mp4"
    # The network's part is nil: the sink alone is looked at.
    source = open_source(path, keep=("audio",))
    sink = FileSink(Outputs(path=out), source, CAMVID)
    for frame in source:
        sink.process(painted(frame))
    sink.close()
    source.close()
    with av.open(str(out)) as container:
        assert container.duration / av.time_base == pytest.approx(8.84, abs=0.02)
        video = container.streams.video[0]
        assert float(video.duration * video.time_base) == pytest.approx(8.84)
        assert (video.frames, video.average_rate) == (221, 25)
    assert audio_packets(out) == audio_packets(path)


# ---- label maps


@pytest.mark.parametrize("size", [(48, 64), (33, 65), (1, 1), (1, 300)])
@pytest.mark.parametrize("form", LABEL_FORMS)
def test_label_maps_come_back_exactly(
    form: LabelForm, size: tuple[int, int], tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = [rng.integers(0, 256, size, np.uint8) for _ in range(6)]
    outputs = Outputs(path=tmp_path / "out.mp4", save=("labels",), labels_as=form)
    write_labels(outputs, maps)
    back = list(read_labels(tmp_path / f"out_labels{LABEL_FORMS[form]}"))
    assert len(back) == 6
    assert all(map(np.array_equal, back, maps))


def write_labels(outputs: Outputs, maps: list[NDArray[np.uint8]]) -> None:
    source = FakeSource(len(maps), size=maps[0].shape)  # type: ignore[arg-type]
    sink = FileSink(outputs, source, CAMVID)
    for frame, labels in zip(source, maps, strict=True):
        sink.process(Painted(frame=frame, labels=labels))
    sink.close()


def test_every_form_holds_what_the_others_hold(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4")
    for form in LABEL_FORMS:
        report = run(path, tmp_path / "out.mkv", save=("labels",), labels_as=form)
        assert report["fallbacks"] == ["a, b, because"]
    assert not (tmp_path / "out.mkv").exists()
    for video, png, npz in zip(
        *(read_labels(tmp_path / f"out_labels{suffix}") for suffix in LABEL_FORMS.values()),
        strict=True,
    ):
        assert video.any()
        assert np.array_equal(video, png)
        assert np.array_equal(video, npz)
    times = [time for time, _ in video_times(tmp_path / "out_labels.mkv")]
    with np.load(tmp_path / "out_labels.npz") as archive:
        assert archive["time_seconds"] == pytest.approx(times, abs=0.0006)


# ---- what is told of the files


@pytest.mark.parametrize(
    ("form", "encoder", "pix_fmt"),
    [("mkv", "ffv1", "gray"), ("png", "png", "pal8"), ("npz", "npz", "gray")],
)
def test_the_report_says_how_each_file_is_written(
    form: LabelForm, encoder: str, pix_fmt: str, tmp_path: Path
) -> None:
    outputs = Outputs(path=tmp_path / "out.webm", save=("color", "labels"), labels_as=form)
    sink = FileSink(outputs, FakeSource(), CAMVID)
    sink.close()
    labels, color = tmp_path / f"out_labels{LABEL_FORMS[form]}", tmp_path / "out_color.webm"
    assert sink.files == {"labels": labels, "color": color}
    assert sink.outputs_report() == [
        {"kind": "labels", "file": str(labels), "encoder": encoder, "pix_fmt": pix_fmt},
        {"kind": "color", "file": str(color), "encoder": "libvpx-vp9", "pix_fmt": "yuv420p"},
    ]


def deep_source() -> FakeSource:
    source = FakeSource()
    deep = PictureFormat(pix_fmt="yuv420p10le", bits=10, size=source.info.size)
    source.info = replace(source.info, format=deep)
    return source


@pytest.mark.parametrize(
    ("options", "canvas", "notes"),
    [
        ({"encoder": "ffv1"}, "yuv420p10le", 0),
        ({"encoder": "h264"}, "yuv420p", 1),
        ({"encoder": "h264", "save": ("labels", "color", "overlay")}, "yuv420p", 1),
        ({"encoder": "h264", "save": ("labels",)}, "yuv420p", 0),
    ],
)
def test_the_encoder_decides_what_is_painted_on_and_is_told_once(
    options: dict[str, Any], canvas: str, notes: int, tmp_path: Path
) -> None:
    sink = FileSink(Outputs(path=tmp_path / "out.mkv", **options), deep_source(), CAMVID)
    sink.close()
    assert sink.canvas == canvas
    assert len(sink.notes) == notes
    assert all(note.startswith("10 bits kept, 8 used") for note in sink.notes)


# ---- sizes


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != ".gif"])
def test_odd_sizes_can_be_written_everywhere(suffix: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mkv", codec="ffv1", size=(33, 65))
    out = tmp_path / f"out{suffix}"
    report = run(path, out, alpha=0.0, save=("overlay", "labels"))
    h264 = suffix in (".mp4", ".mov", ".mkv")
    with av.open(str(path)) as source, av.open(str(out)) as result:
        before, after = next(source.decode(video=0)), next(result.decode(video=0))
        assert (after.height, after.width) == ((34, 66) if h264 else (33, 65))
        luma = after.to_ndarray(format="gray")[:33, :65].astype(int)
        assert np.abs(luma - before.to_ndarray(format="gray")).mean() < 6
        if h264:
            last = after.to_ndarray(format="gray")
            assert np.abs(last[33].astype(int) - last[32]).mean() < 6
    assert next(read_labels(tmp_path / "out_labels.mkv")).shape == (33, 65)
    told = [note for note in report["fallbacks"] if "34x66 written, H.264 needs even" in note]
    assert len(told) == h264


def test_frames_of_other_sizes_are_rescaled_and_told(tmp_path: Path) -> None:
    folder = write_images(
        tmp_path / "mixed", ["1.png", "2.png", "3.png"], [(48, 64), (96, 128), (30, 41)]
    )
    report = run(folder, tmp_path / "out.mp4", save=("overlay", "labels"), alpha=0.0)
    maps = list(read_labels(tmp_path / "out_labels.mkv"))
    assert [labels.shape for labels in maps] == [(48, 64)] * 3
    # Each picture is flat, so that its own label must fill the rescaled map.
    grays = [round(16 + 219 * (20 + 10 * k) / 255) for k in range(3)]
    for labels, gray in zip(maps, grays, strict=True):
        assert set(np.unique(labels)) <= {label_of_luma(gray - 1), label_of_luma(gray + 1)}
    with av.open(str(tmp_path / "out.mp4")) as container:
        sizes = {(frame.height, frame.width) for frame in container.decode(video=0)}
    assert sizes == {(48, 64)}
    notes = [note for note in report["fallbacks"] if note.startswith("2 frames of")]
    assert len(notes) == 2
    assert "rescaled to 48x64, a video has one size" in notes[0]


# ---- beginning and end of a file


@pytest.mark.parametrize("name", ["drive.mp4", "drive_overlay.mp4"])
def test_the_other_files_are_named_after_the_video(name: str) -> None:
    files = Outputs(path=Path("a") / name, save=("color", "overlay", "labels")).files()
    assert files == {
        "overlay": Path("a") / name,
        "labels": Path("a/drive_labels.mkv"),
        "color": Path("a/drive_color.mp4"),
    }


@pytest.mark.parametrize(("form", "name"), [("png", "drive_labels"), ("npz", "drive_labels.npz")])
def test_label_files_are_named_after_their_form(form: LabelForm, name: str) -> None:
    outputs = Outputs(path=Path("a/drive.2.mp4"), save=("labels",), labels_as=form)
    assert outputs.files() == {"labels": Path("a") / name.replace("drive", "drive.2")}


def test_the_name_appears_when_the_file_is_whole(tmp_path: Path) -> None:
    source = FakeSource(3)
    out = tmp_path / "out.mp4"
    sink = FileSink(Outputs(path=out), source, CAMVID)
    for frame in source:
        sink.process(painted(frame))
        assert not out.exists()
    sink.close()
    sink.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


def test_without_a_frame_nothing_is_left_behind(tmp_path: Path) -> None:
    outputs = Outputs(path=tmp_path / "out.mp4", save=("overlay", "labels", "color"))
    FileSink(outputs, FakeSource(), CAMVID).close()
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("old")
    FileSink(Outputs(path=out, overwrite=True), FakeSource(), CAMVID).close()
    assert out.read_text() == "old"
    run(write_clip(tmp_path / "in.mp4"), out, overwrite=True)
    assert len(video_times(out)) == 10


def test_outputs_that_cannot_be_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4")
    taken, folder = tmp_path / "taken.mp4", tmp_path / "folder.mp4"
    taken.touch()
    folder.mkdir()
    before = sorted(tmp_path.iterdir())
    for out, options, message in [
        (taken, {}, "taken.mp4 exists; pass -y"),
        (path, {"overwrite": True}, "in.mp4 is the input; choose another"),
        (tmp_path / "no" / "a.mp4", {}, "expected a folder at .*no for the output a.mp4"),
        (tmp_path / "a.ogv", {}, r"expected an output ending in .mp4, .*, got 'a.ogv'"),
        (tmp_path / "a.avi", {"encoder": "hevc"}, ".avi cannot hold hevc"),
        (folder, {}, "expected a file name for the output, .*folder.mp4 is a folder"),
    ]:
        with pytest.raises(SinkError, match=message) as caught:
            fake_segmenter().run(path, out, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    for save in ((), ("overlay", "mask")):
        with pytest.raises(ValueError, match="expected save from overlay, labels, color, got"):
            fake_segmenter().run(path, tmp_path / "a.mp4", save=save)
    with pytest.raises(ValueError, match="expected labels_as from mkv, png, npz, got 'jpg'"):
        fake_segmenter().run(path, tmp_path / "a.mp4", labels_as="jpg")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected alpha from 0"):
        fake_segmenter().run(path, tmp_path / "a.mp4", alpha=2)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("save", "form", "part"),
    [
        ("overlay", "mkv", "out.part.mp4"),
        ("color", "mkv", "out_color.part.mp4"),
        ("labels", "mkv", "out_labels.part.mkv"),
        ("labels", "png", "out_labels.part"),
        ("labels", "npz", "out_labels.part.npz"),
    ],
)
def test_the_unfinished_file_of_another_run_is_not_taken_silently(
    save: str, form: LabelForm, part: str, tmp_path: Path
) -> None:
    outputs = Outputs(path=tmp_path / "out.mp4", save=(save,), labels_as=form)
    taken = tmp_path / part
    taken.touch() if taken.suffix != ".part" else taken.mkdir()
    message = f"{part} exists: another run is writing it, or one was killed; rename it to keep it"
    with pytest.raises(SinkError, match=message):
        FileSink(outputs, FakeSource(), CAMVID)
    assert [entry.name for entry in tmp_path.iterdir()] == [part]
    FileSink(replace(outputs, overwrite=True), FakeSource(), CAMVID).close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_old_label_maps_stay_until_the_new_ones_are_whole(
    form: LabelForm, tmp_path: Path, rng: np.random.Generator
) -> None:
    old, new = ([rng.integers(0, 11, (9, 12), np.uint8) for _ in range(n)] for n in (3, 2))
    outputs = Outputs(path=tmp_path / "a.mp4", save=("labels",), labels_as=form)
    (path,) = outputs.files().values()
    write_labels(outputs, old)
    with pytest.raises(SinkError, match=r"exists; pass -y to overwrite it"):
        write_labels(outputs, new)
    again = replace(outputs, overwrite=True)
    FileSink(again, FakeSource(), CAMVID).close()  # a run without a frame
    assert len(list(read_labels(path))) == 3
    write_labels(again, new)
    back = list(read_labels(path))
    assert len(back) == 2
    assert all(map(np.array_equal, back, new))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("taken", ["a_labels", "a_labels.part"])
def test_a_label_folder_with_files_of_others_is_refused_even_with_overwrite(
    taken: str, tmp_path: Path
) -> None:
    (tmp_path / taken).mkdir()
    (tmp_path / taken / "frames.csv").touch()
    (tmp_path / taken / "000000.png").touch()
    outputs = Outputs(path=tmp_path / "a.mp4", save=("labels",), labels_as="png", overwrite=True)
    outputs.check("in.mp4")
    (tmp_path / taken / "notes.txt").touch()
    with pytest.raises(SinkError, match=f"{taken} holds more than label maps of streamseg"):
        outputs.check("in.mp4")
    assert len(list((tmp_path / taken).iterdir())) == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a_labels", "a_labels holds the input"),
        ("a_labels/000000.png", "a_labels holds the input"),
        ("a_labels/*.png", "a_labels holds the input"),
        ("a.part.mp4", "a.part.mp4 is the input"),
        ("a.mp4", "a.mp4 is the input"),
    ],
)
def test_the_input_is_never_overwritten(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a_labels").mkdir()
    for name in ("a_labels/frames.csv", "a_labels/000000.png", "a.mp4", "a.part.mp4"):
        (tmp_path / name).touch()
    outputs = Outputs(
        path=tmp_path / "a.mp4", save=("overlay", "labels"), labels_as="png", overwrite=True
    )
    with pytest.raises(SinkError, match=message):
        outputs.check(str(tmp_path / source))


def test_a_file_in_the_place_of_the_label_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a_labels").touch()
    outputs = Outputs(path=tmp_path / "a.mp4", save=("labels",), labels_as="png", overwrite=True)
    with pytest.raises(SinkError, match=r"expected a folder or nothing at .*a_labels; there is a"):
        outputs.check("in.mp4")


def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        tmp_path.chmod(0o555)
        with pytest.raises(SinkError, match=r"cannot write .*permission denied"):
            FileSink(Outputs(path=tmp_path / "a.mp4"), FakeSource(), CAMVID)
        return
    open_to_all(tmp_path)
    try:
        os.seteuid(65534)
        with pytest.raises(SinkError, match=r"cannot write into .*: permission denied"):
            FileSink(Outputs(path=tmp_path / "a.mp4"), FakeSource(), CAMVID)
    finally:
        os.seteuid(0)


FULL_DISK = """
import resource, sys, threading
from pathlib import Path
from fakes import fake_segmenter, streamseg_threads
from streamseg.errors import SinkError
source, out = map(Path, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    fake_segmenter().run(source, out, alpha=0.0).finish()
except SinkError as error:
    print(error)
print(streamseg_threads(), [entry.name for entry in out.parent.iterdir()])
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_ends_in_one_clear_error(suffix: str, tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    path = write_clip(tmp_path / "in.mkv", num_frames=400, size=(240, 320))
    (tmp_path / "to").mkdir()
    out = tmp_path / "to" / f"out{suffix}"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(out)],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    message, rest = done.stdout.splitlines()
    assert message.startswith(f"writing {out} failed after ")
    assert "File too large" in message
    assert f"the unfinished file is {out.parent}/out.part{suffix}" in message
    assert rest == f"[] ['out.part{suffix}']"


def test_an_interrupted_consumer_leaves_playable_files(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", num_frames=100, audio="aac")
    out = tmp_path / "out.mp4"
    stream = fake_segmenter().run(path, out, save=("overlay", "labels"))

    def follow() -> None:
        for result in itertools.islice(stream, 50):
            if result.index == 30:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), stream:
        follow()
    written = stream.report()["frames"]["written"]
    assert 31 <= written < 100
    assert 31 <= len(video_times(out)) <= written + 1
    assert len(list(read_labels(tmp_path / "out_labels.mkv"))) == len(video_times(out))
    assert audio_packets(out)
    assert not list(tmp_path.glob("*.part*"))
