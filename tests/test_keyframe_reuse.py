"""Keyframe reuse from a file to its results, with the shipped network and real codecs."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import streamseg
from streamseg.sample import render_street
from streamseg.segmenter import Segmenter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SIZE = (192, 256)
FRAMES = 20


@pytest.fixture(scope="module")
def segmenter() -> Iterator[Segmenter]:
    """In fp32: what differs from the whole network is then what is carried over, and nothing else."""
    with streamseg.load(precision="fp32", device="cpu", size=(193, 257)) as loaded:
        yield loaded


def street(seed: int, count: int) -> list[np.ndarray]:
    """H x W x 3 uint8 BGR."""
    frames = render_street(seconds=count / 15, size=SIZE, fps=15, seed=seed)
    return [frame.image for frame in frames][:count]


def write(path: Path, images: list[np.ndarray], codec: str = "libx264", **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=15, options={"threads": "1", **options})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 15)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


CAMERA = {"crf": "18", "x264-params": "bframes=0:ref=1:scenecut=0:keyint=250"}


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("drive") / "drive.mp4", street(0, FRAMES), **CAMERA)


@pytest.fixture(scope="module")
def whole(segmenter: Segmenter, drive: Path) -> list[np.ndarray]:
    return [result.labels for result in segmenter.stream(drive)]


def agreement(segmenter: Segmenter, drive: Path, whole: list[np.ndarray], **asked: str) -> float:
    """Share of the pixels whose label is as the whole network has it."""
    labels = [result.labels for result in segmenter.stream(drive, **asked)]
    return float(np.mean([(mine == full).mean() for mine, full in zip(labels, whole, strict=True)]))


def test_every_result_says_whose_features_it_is_of(segmenter, drive):
    stream = segmenter.stream(drive, keyframe="fixed:4")
    results = list(stream)
    assert [result.index for result in results] == list(range(FRAMES))
    assert [result.feature_age for result in results] == [0, 1, 2, 3] * 5
    assert [result.is_keyframe for result in results] == [True, False, False, False] * 5
    changes = np.array([result.change for result in results]).reshape(5, 4)
    assert (changes[:, 0] == 0).all()
    assert (np.diff(changes) > 0).all()
    report = stream.report()
    assert report["segmentation_keyframes"] == 5
    assert report["keyframe"] == {
        "mode": "fixed:4", "motion": "codec", "features": "interpolate",
        "refreshed": {"first": 1, "interval": 4},
    }  # fmt: skip
    assert [stage["name"] for stage in report["stages"]] == [
        "decode", "transfer", "motion", "infer", "overlay",
    ]  # fmt: skip
    assert report["fallbacks"] == []


def test_with_features_of_its_own_every_frame_is_as_the_whole_network_has_it(
    segmenter, drive, whole
):
    assert agreement(segmenter, drive, whole, keyframe="fixed:1") > 0.9999


def test_features_that_move_are_nearer_to_the_truth_than_those_that_stay(segmenter, drive, whole):
    found = {
        motion: agreement(segmenter, drive, whole, keyframe="fixed:10", motion=motion)
        for motion in ("codec", "flow", "none")
    }
    assert min(found["codec"], found["flow"]) > found["none"]


def test_a_file_can_be_written_like_any_other(segmenter, drive, tmp_path):
    out = tmp_path / "out.mp4"
    report = segmenter.run(drive, out, keyframe="adaptive", save=("overlay", "labels")).finish()
    assert report["frames"]["written"] == FRAMES
    assert 1 < report["segmentation_keyframes"] < FRAMES
    assert len(list(streamseg.read_labels(tmp_path / "out_labels.mkv"))) == FRAMES


def test_a_segmenter_s_own_choice_holds_until_a_stream_is_told_otherwise(drive):
    with streamseg.load(size=(97, 129), precision="fp32", keyframe="fixed:5", motion="none") as own:
        assert own.stream(drive).finish()["keyframe"]["mode"] == "fixed:5"
        told = own.stream(drive, keyframe="off").finish()
        assert (told["segmentation_keyframes"], told["keyframe"]["mode"]) == (FRAMES, "off")
        assert own(street(0, 1)[0]).is_keyframe


@pytest.mark.parametrize("motion", ["codec", "flow", "none"])
@pytest.mark.parametrize("keyframe", ["fixed:100", "adaptive:0"])
@pytest.mark.parametrize("policy", ["every", "latest"])
def test_a_hard_cut_never_shows_features_of_the_old_scene(
    segmenter, tmp_path, motion, keyframe, policy
):
    """By day, then in the evening, spliced where the codec has no keyframe of its own."""
    evening = [image // 2 for image in street(5, 7)]
    spliced = write(tmp_path / "cut.mp4", [*street(0, 7), *evening], **CAMERA)
    stream = segmenter.stream(spliced, keyframe=keyframe, motion=motion, policy=policy)
    ages = {result.index: result.feature_age for result in stream}
    after = {index: age for index, age in ages.items() if index >= 7}
    assert after
    assert all(age <= index - 7 for index, age in after.items())
    assert stream.report()["keyframe"]["refreshed"].get("cut") == 1


def test_codecs_without_vectors_fall_back_to_flow_and_say_so(segmenter, tmp_path):
    film = write(tmp_path / "film.mkv", street(0, 6), "ffv1")
    report = segmenter.stream(film, keyframe="fixed:3").finish()
    assert (report["keyframe"]["motion"], report["fallbacks"]) == ("flow", [])
    asked = segmenter.stream(film, keyframe="fixed:3", motion="codec").finish()
    assert asked["keyframe"]["motion"] == "flow"
    (note,) = asked["fallbacks"]
    assert note.startswith("motion codec, flow used, ")


def test_the_newest_frame_is_refined_while_features_are_made_in_the_background(segmenter, drive):
    """In real time the frames that are left out moved, too: their vectors are followed."""
    with segmenter.stream(drive, policy="latest", keyframe="fixed:3") as stream:
        results = list(stream)
        report = stream.report()
    assert results[0].feature_age == 0
    assert report["keyframe"]["refreshed"]["first"] == 1
    assert "unknown" not in report["keyframe"]["refreshed"]
