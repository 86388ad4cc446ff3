"""The `motion` stage on clips whose motion is known, and on real ones."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from fakes import gray_frame
from moving import X264_PYRAMID, Luma, pan, texture, write_luma
from numpy.typing import NDArray

from streamseg.frames import Frame, Prepared, Step
from streamseg.reading.open_source import open_source
from streamseg.sample.render import render_street
from streamseg.stream.motion import Motion, pick

MOTIONS = ("codec", "flow", "none")

NO_B: dict[str, str] = {"crf": "12", "x264-params": "bframes=0:scenecut=0:keyint=250"}

KEYFRAMES: dict[str, str] = {
    "crf": "12",
    "x264-params": "keyint=5:min-keyint=5:scenecut=0:bframes=0",
}
"""A codec keyframe every fifth picture."""

QUARTER_TURN = (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)


def frames_of(path: Path, **options: Any) -> list[Frame]:
    source = open_source(path, motion_vectors=True, **options)
    frames = list(source)
    source.close()
    return frames


def steps_of(frames: Sequence[Frame], motion: str) -> list[Step]:
    stage = Motion(motion)
    found = []
    for frame in frames:
        [prepared] = stage.process(Prepared(frame=frame, network_input=frame.index))
        assert prepared.frame is frame
        assert prepared.network_input == frame.index
        assert prepared.step is not None
        found.append(prepared.step)
    assert stage.drain() == ()
    stage.close()
    return found


def inner(field: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Without what comes from outside."""
    assert field is not None
    return field[4:-4, 4:-4]


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_pan_is_known_from_the_second_picture_on(motion: str, tmp_path: Path) -> None:
    frames = frames_of(write_luma(tmp_path / "a.mkv", pan(6, (3, 1)), options=X264_PYRAMID))
    first, *others = steps_of(frames, motion)
    assert first.field is None
    assert not first.cut
    assert first.unknown == 1
    wanted = (0, 0) if motion == "none" else (3, 1)
    for step in others:
        assert np.abs(np.median(inner(step.field), (0, 1)) - wanted).max() < 0.2
        assert step.field is not None
        assert step.field.dtype == np.float32 and step.field.flags.c_contiguous
        assert step.unknown < 0.4
        assert step.contrast == pytest.approx(others[0].contrast, rel=0.2)
        assert not step.cut
    residuals = [step.residual for step in others]
    assert max(residuals) < 4 if motion != "none" else min(residuals) > 6


@pytest.mark.parametrize("motion", ["codec", "flow"])
def test_steps_over_dropped_pictures_add_up(motion: str, tmp_path: Path) -> None:
    path = write_luma(tmp_path / "a.mkv", pan(12, (2, -1)), options=X264_PYRAMID)
    kept = [frame for frame in frames_of(path) if frame.index in (0, 1, 4, 5, 9, 11)]
    moved = [inner(step.field).mean((0, 1)) for step in steps_of(kept, motion)[1:]]
    assert np.allclose(moved, [[2, -1], [6, -3], [2, -1], [8, -4], [4, -2]], atol=0.2)


def test_a_turned_clip_moves_as_one_that_is_stored_upright(tmp_path: Path) -> None:
    upright = pan(5, (3, 1), (96, 160))
    turned = [np.ascontiguousarray(np.rot90(picture)) for picture in upright]
    path = write_luma(tmp_path / "a.mp4", turned, options=NO_B, matrix=QUARTER_TURN)
    frames = frames_of(path)
    assert not frames[0].orientation.upright_already
    assert frames[0].pixels.size == (96, 160)
    fields = [step.field for step in steps_of(frames, "codec")[1:]]
    plain = frames_of(write_luma(tmp_path / "b.mp4", upright, options=NO_B))
    for field, wanted in zip(fields, steps_of(plain, "codec")[1:], strict=True):
        assert np.abs(inner(field) - inner(wanted.field)).max() <= 0.25


def test_of_codec_keyframes_motion_is_a_guess_and_known_again_behind_them(tmp_path: Path) -> None:
    frames = frames_of(write_luma(tmp_path / "a.mkv", pan(12, (2, 1)), options=KEYFRAMES))
    steps = steps_of(frames, "codec")
    assert [i for i, step in enumerate(steps) if step.field is None] == [0]
    assert [step.unknown == 1 for step in steps] == [i in (0, 5, 10) for i in range(12)]
    assert not any(step.cut for step in steps)


def test_motion_over_a_dropped_codec_keyframe_is_a_guess(tmp_path: Path) -> None:
    frames = frames_of(write_luma(tmp_path / "a.mkv", pan(12, (2, 1)), options=KEYFRAMES))
    kept = [frame for frame in frames if frame.index in (3, 4, 7, 8)]
    steps = steps_of(kept, "codec")
    assert [step.unknown == 1 for step in steps] == [True, False, True, False]
    assert steps[2].field is not None


def test_what_has_been_used_is_let_go(tmp_path: Path) -> None:
    frames = frames_of(write_luma(tmp_path / "a.mkv", pan(6, (2, 1)), options=NO_B))
    steps_of(frames, "codec")
    assert all(frame.motion and frame.motion.previous is None for frame in frames)


def test_motion_is_not_known_behind_pictures_that_nobody_could_look_at(tmp_path: Path) -> None:
    frames = frames_of(write_luma(tmp_path / "a.mkv", pan(6, (2, 1)), options=NO_B))
    assert frames[3].motion is not None
    frames[3].motion.previous = None
    known = [step.field is not None for step in steps_of(frames, "codec")]
    assert known == [False, True, True, False, True, True]


def test_frames_without_vectors_have_no_codec_motion() -> None:
    steps = steps_of([gray_frame(index, luma=100 + index) for index in range(3)], "codec")
    assert [step.field for step in steps] == [None] * 3
    assert [step.residual for step in steps] == [0, 1, 1]
    assert not any(step.cut for step in steps)


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_picture_of_another_size_begins_a_scene(motion: str) -> None:
    sizes = [(32, 48), (32, 48), (64, 80), (64, 80)]
    steps = steps_of([gray_frame(i, size=size) for i, size in enumerate(sizes)], motion)
    assert [step.cut for step in steps] == [False, False, True, False]
    assert steps[2].field is None
    if motion != "codec":
        assert steps[3].field is not None and steps[3].field.shape == (8, 10, 2)


@pytest.fixture(scope="module")
def scenes(data_dir: Path) -> dict[str, list[Luma]]:
    """Luma of three real or rendered drives, 180 x 320, 40 pictures of each."""
    val = data_dir / "camvid" / "val"
    drive = data_dir / "videos" / "solidWhiteRight.mp4"
    if not val.is_dir() or not drive.is_file():
        pytest.skip("needs CamVid and solidWhiteRight.mp4")
    town = [cv2.imread(str(name), cv2.IMREAD_GRAYSCALE) for name in sorted(val.glob("*.png"))[:40]]
    with av.open(str(drive)) as container:
        motorway = [
            frame.to_ndarray(format="gray")
            for frame in itertools.islice(container.decode(video=0), 40)
        ]
    street = [
        cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY)
        for frame in render_street(seconds=40 / 30, size=(180, 320), fps=30.0)
    ]
    return {
        name: [cv2.resize(luma, (320, 180), interpolation=cv2.INTER_AREA) for luma in pictures]
        for name, pictures in {"town": town, "motorway": motorway, "street": street}.items()
    }


SCENE_CHANGES: dict[str, tuple[list[tuple[str, int, int]], list[int]]] = {
    name: (parts, np.cumsum([end - start for _, start, end in parts])[:-1].tolist())
    for name, parts in {
        "town": [("town", 0, 40)],
        "motorway": [("motorway", 0, 40)],
        "street": [("street", 0, 40)],
        "one after the other": [
            ("town", 0, 17),
            ("motorway", 0, 22),
            ("street", 0, 19),
            ("town", 20, 40),
        ],
        "and back": [("street", 0, 18), ("motorway", 3, 16), ("town", 4, 25), ("street", 20, 40)],
        "soon": [("motorway", 0, 5), ("town", 0, 3), ("street", 0, 2), ("motorway", 9, 15)],
    }.items()
}
"""Pieces (scene, from, to), and where others begin."""

SPLICED: dict[str, dict[str, str]] = {
    "in the middle of predicted pictures": {"crf": "20", "x264-params": "scenecut=0"},
    "no B-pictures": NO_B,
    "at codec keyframes": {"crf": "20"},
    "few bits": {"b": "150k", "preset": "veryfast", "x264-params": "scenecut=0"},
}


@pytest.mark.slow
@pytest.mark.parametrize("coded", SPLICED)
@pytest.mark.parametrize("name", SCENE_CHANGES)
def test_scenes_begin_where_they_were_spliced_and_nowhere_else(
    name: str, coded: str, scenes: dict[str, list[Luma]], tmp_path: Path
) -> None:
    parts, wanted = SCENE_CHANGES[name]
    pictures = [picture for scene, start, end in parts for picture in scenes[scene][start:end]]
    frames = frames_of(write_luma(tmp_path / "a.mkv", pictures, options=SPLICED[coded]))
    for motion in ("flow", "none", "codec"):
        steps = steps_of(frames, motion)
        assert [i for i, step in enumerate(steps) if step.cut] == wanted, motion
        assert all(steps[i].field is None for i in wanted)


@pytest.mark.parametrize("motion", ["codec", "flow"])
@pytest.mark.parametrize("ease", [lambda i: 0, lambda i: 8 * (i > 6), lambda i: 8 * (i <= 6)])
def test_a_sudden_turn_and_a_sudden_brake_begin_no_scene(
    motion: str, ease: Callable[[int], int], tmp_path: Path
) -> None:
    ground = texture((120, 400), seed=5, grain=6)
    places = np.cumsum([ease(i) for i in range(14)])
    pictures = [np.ascontiguousarray(ground[:, left : left + 200]) for left in places]
    frames = frames_of(write_luma(tmp_path / "a.mkv", pictures, options=X264_PYRAMID))
    assert not any(step.cut for step in steps_of(frames, motion))


def test_auto_takes_vectors_where_ffmpeg_gives_them() -> None:
    assert pick("auto", "h264") == ("codec", None)
    assert pick("codec", "mpeg2video") == ("codec", None)
    assert pick("auto", "hevc") == ("flow", None)
    assert pick("auto", "png") == ("flow", None)
    assert pick("flow", "h264") == ("flow", None)
    assert pick("none", "hevc") == ("none", None)
    note = "motion codec, flow used, FFmpeg's hevc decoder exports no vectors"
    assert pick("codec", "hevc") == ("flow", note)
