"""Runs, offsets and scores of `evaluate_video`: with a segmenter that plays a script, and with the true pipeline."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import LUMA_STEP, fake_segmenter
from numpy.typing import NDArray

from streamseg.engine.engine import EngineInfo
from streamseg.errors import DataError
from streamseg.evaluation.consistency import constant_shares
from streamseg.evaluation.labelled_video import LabelledVideo, encode_images
from streamseg.evaluation.video import ADAPTIVE_RUNS, evaluate_video, every_offset
from streamseg.labels import CAMVID, CITYSCAPES, IGNORE, LabelSet

SIZE = (16, 32)
FRAMES = 12


class ScriptedStream:
    """Labels each frame with its truth, but for as many pixels of another class as its features are old."""

    def __init__(
        self, truth: list[NDArray[np.uint8]], keyframes: list[bool], seconds: float
    ) -> None:
        self.info = SimpleNamespace(rate=Fraction(15))
        self._truth = truth
        self._keyframes = keyframes
        self._seconds = seconds

    def __enter__(self) -> "ScriptedStream":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        age = 0
        for truth, is_keyframe in zip(self._truth, self._keyframes, strict=True):
            age = 0 if is_keyframe else age + 1
            labels = truth.copy()
            labels.reshape(-1)[:age] = (truth.reshape(-1)[:age] + 1) % 11
            yield SimpleNamespace(labels=labels, feature_age=age, is_keyframe=is_keyframe)

    def report(self) -> dict[str, Any]:
        return {
            "wall_seconds": self._seconds + 1,
            "warmup_seconds": 1,
            "keyframe": {"mode": "?", "motion": "codec", "features": "interpolate"},
            "fallbacks": ["a, b, because"],
        }


class ScriptedSegmenter:
    """Knows "off", "fixed:N+FIRST" and "script", whose segmentation keyframes are given.

    Attributes:
        asked: (keyframe, motion, features, limit) of each stream.
    """

    def __init__(
        self,
        truth: list[NDArray[np.uint8]],
        script: tuple[int, ...] = (0,),
        labels: LabelSet = CAMVID,
    ) -> None:
        self.labels = labels
        self.card = SimpleNamespace(name="scripted")
        self.info = EngineInfo(backend="torch", device="cpu", precision="fp32", fallbacks=())
        self.asked: list[tuple[str, str, str, int | None]] = []
        self._truth = truth
        self._script = script

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return size[0] + 1, size[1] + 1

    def stream(
        self,
        path: Path,
        *,
        keyframe: str,
        motion: str,
        features: str,
        limit: int | None = None,
    ) -> ScriptedStream:
        self.asked.append((keyframe, motion, features, limit))
        truth = self._truth[:limit]
        if keyframe == "off":
            keyframes = [True] * len(truth)
        elif keyframe == "script":
            keyframes = [index in self._script for index in range(len(truth))]
        else:
            interval, first = map(int, keyframe.removeprefix("fixed:").split("+"))
            keyframes = [
                index == 0 or (index >= first and (index - first) % interval == 0)
                for index in range(len(truth))
            ]
        return ScriptedStream(truth, keyframes, seconds=2.0)


@pytest.fixture
def truth(rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Two classes, nothing moves; a strip without labels."""
    still = rng.integers(0, 2, SIZE).astype(np.uint8)
    still[-1] = IGNORE
    return [still] * FRAMES


@pytest.fixture
def video(truth: list[NDArray[np.uint8]], tmp_path: Path) -> LabelledVideo:
    """Twelve equal gray pictures."""
    path = tmp_path / "v.mp4"
    encode_images([np.full((*SIZE, 3), 128, np.uint8)] * FRAMES, path)
    return LabelledVideo(
        path=path, dataset="camvid", split="val", labels=CAMVID, truth=truth, recipe="camera"
    )


def evaluate(
    video: LabelledVideo, script: tuple[int, ...] = (0,), **asked: Any
) -> tuple[dict[str, Any], ScriptedSegmenter]:
    segmenter = ScriptedSegmenter(video.truth, script)
    return evaluate_video(segmenter, video, **asked), segmenter  # type: ignore[arg-type]


def test_every_frame_in_full_is_one_run_with_the_contracts_keys(video: LabelledVideo) -> None:
    scores, segmenter = evaluate(video)
    assert segmenter.asked == [("off", "auto", "auto", None)]
    assert (scores["dataset"], scores["split"], scores["model"]) == ("camvid", "val", "scripted")
    assert (scores["backend"], scores["device"], scores["precision"]) == ("torch", "cpu", "fp32")
    assert scores["size"] == [17, 33]
    assert scores["frames"] == FRAMES
    assert scores["miou"] == scores["pixel_accuracy"] == 1.0
    assert set(scores["iou"]) == set(CAMVID.class_names)
    assert scores["iou"]["car"] is None
    assert scores["fps"] == FRAMES / 2.0
    assert scores["video"] == {
        "frames": FRAMES, "scored": FRAMES, "runs": 1, "recipe": "camera", "rate": 15.0,
    }  # fmt: skip
    assert scores["keyframe"] == "off"
    assert scores["keyframe_share"] == 1.0
    assert scores["miou_by_distance"] == {"0": 1.0}
    assert "miou_average" not in scores
    assert scores["temporal_consistency"] == scores["vc8"] == 1.0
    assert scores["fallbacks"] == ["a, b, because"]


def test_a_fixed_interval_runs_at_every_offset(video: LabelledVideo) -> None:
    scores, segmenter = evaluate(video, keyframe="fixed:3", motion="flow", features="auto")
    assert segmenter.asked == [(f"fixed:3+{first}", "flow", "auto", None) for first in (1, 2, 3)]
    assert scores["keyframe"] == "fixed:3"
    assert (scores["motion"], scores["features"]) == (
        "codec",
        "interpolate",
    )  # what the stream says that it used
    assert scores["video"]["runs"] == 3
    assert scores["video"]["scored"] == FRAMES - 2
    assert scores["keyframe_share"] == pytest.approx(1 / 3)
    assert scores["fps"] == 3 * FRAMES / 6.0


def test_distances_are_scored_on_the_same_frames(video: LabelledVideo) -> None:
    scores, _ = evaluate(video, keyframe="fixed:4")
    by_distance = scores["miou_by_distance"]
    assert list(by_distance) == ["0", "1", "2", "3"]
    assert by_distance["0"] == 1.0
    assert 1.0 > by_distance["1"] > by_distance["2"] > by_distance["3"] > 0.4
    assert scores["miou_average"] == pytest.approx(sum(by_distance.values()) / 4)
    assert scores["miou_minimum"] == by_distance["3"]
    wrong = (0 + 1 + 2 + 3) / 4  # pixels a frame, had each distance been met equally often
    labelled = (SIZE[0] - 1) * SIZE[1]
    assert scores["pixel_accuracy"] == pytest.approx(1 - wrong / labelled)


def test_runs_are_scored_alone_too(video: LabelledVideo) -> None:
    scores, _ = evaluate(
        video, keyframe="fixed:2", scored_from=11
    )  # one frame: at distance 0, then at 1
    by_distance = scores["miou_by_distance"]
    assert scores["miou_by_run"] == [by_distance["0"], by_distance["1"]]


def test_interval_one_is_every_frame(video: LabelledVideo) -> None:
    scores, segmenter = evaluate(video, keyframe="fixed:1")
    assert segmenter.asked == [("fixed:1+1", "auto", "auto", None)]
    assert scores["video"]["scored"] == FRAMES
    assert scores["miou_average"] == scores["miou_minimum"] == 1.0


def test_an_interval_may_be_run_once(video: LabelledVideo) -> None:
    scores, segmenter = evaluate(video, keyframe="fixed:3+2", offsets=False)
    assert [asked[0] for asked in segmenter.asked] == ["fixed:3+2"]
    assert scores["video"]["scored"] == FRAMES
    assert "miou_average" not in scores


def test_other_modes_run_once_by_distance_where_it_occurs(video: LabelledVideo) -> None:
    scores, segmenter = evaluate(video, script=(0, 4, 5, 9), keyframe="script")
    assert len(segmenter.asked) == 1
    assert list(scores["miou_by_distance"]) == ["0", "1", "2", "3"]
    assert scores["keyframe_share"] == 4 / FRAMES
    assert "miou_average" not in scores
    assert "miou_minimum" not in scores


def test_settings_can_be_scored_on_the_frames_of_a_greater_interval(video: LabelledVideo) -> None:
    scores, _ = evaluate(video, script=(0, 1, 2, 10), keyframe="script", scored_from=8)
    assert scores["video"]["scored"] == 4  # 8 to 11, at distances 6, 7, 0, 1
    assert list(scores["miou_by_distance"]) == ["0", "1", "6", "7"]
    assert scores["keyframe_share"] == 1 / 4
    with pytest.raises(ValueError, match="expected scored_from of 2 to 11, got 1"):
        evaluate(video, keyframe="fixed:3", scored_from=1)


def test_consistency_is_of_the_scored_frames_of_all_runs(video: LabelledVideo) -> None:
    scores, _ = evaluate(video, keyframe="fixed:2")
    assert 0 < scores["vc8"] < 1
    truth = video.truth[1:]
    alternating = [truth[0].copy() for _ in truth]
    for labels in alternating[::2]:
        labels[0, 0] = (labels[0, 0] + 1) % 11
    assert scores["vc8"] == pytest.approx(constant_shares(truth, alternating).mean())
    labelled = truth[0].size
    # Of two successive maps the first pixel alone differs: it is missing from two unions and from both intersections.
    assert 1 - 4 / labelled < scores["temporal_consistency"] < 1


def test_a_limit_shortens_video_and_truth(video: LabelledVideo) -> None:
    done = []
    scores, segmenter = evaluate(
        video, keyframe="fixed:2", limit=5, progress=lambda *where: done.append(where)
    )
    assert [asked[3] for asked in segmenter.asked] == [5, 5]
    assert scores["frames"] == 5
    assert scores["vc8"] is None  # no window of eight frames
    assert done == [(index, 10) for index in range(1, 11)]


def test_consistency_of_a_single_frame_is_none(video: LabelledVideo) -> None:
    scores, _ = evaluate(video, limit=1)
    assert scores["temporal_consistency"] is None


def test_nothing_to_score_is_refused(video: LabelledVideo) -> None:
    with pytest.raises(ValueError, match=r"expected more than 12 frames, .* from 0 to 12; got 12"):
        evaluate(video, keyframe="fixed:13")
    with pytest.raises(ValueError, match="limit of at least 1 frame, got 0"):
        evaluate(video, limit=0)


def test_other_classes_are_refused(video: LabelledVideo) -> None:
    segmenter = ScriptedSegmenter(video.truth, labels=CITYSCAPES)
    with pytest.raises(DataError, match="expected a model with the classes of camvid"):
        evaluate_video(segmenter, video)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frames", "size", "message"),
    [
        (11, SIZE, r"expected 12 frames in v\.mp4, one for each of the label maps of camvid val; got 11"),
        (13, SIZE, r"expected 12 frames in v\.mp4, .*; got more"),
        (12, (16, 16), r"expected pictures of \(16, 32\) in v\.mp4 like the label maps .* got \(16, 16\)"),
    ],
)  # fmt: skip
def test_a_video_that_does_not_match_its_truth_is_refused(
    video: LabelledVideo, frames: int, size: tuple[int, int], message: str
) -> None:
    segmenter = ScriptedSegmenter([np.zeros(size, np.uint8)] * frames)
    with pytest.raises(DataError, match=message):
        evaluate_video(segmenter, video)  # type: ignore[arg-type]


def test_offsets_are_of_plain_fixed_intervals_and_adaptive_alone() -> None:
    assert every_offset("fixed:3") == ("fixed:3+1", "fixed:3+2", "fixed:3+3")
    for word in ("adaptive", "adaptive:0.5"):
        phases = every_offset(word)
        assert (phases[0], len(phases)) == (f"{word}+1", ADAPTIVE_RUNS)
    for other in ("off", "fixed:3+1", "adaptive+2", "fixed:0", "fixed:x"):
        assert every_offset(other) == (other,)


def test_the_true_pipeline_sees_each_frame_with_its_own_truth(tmp_path: Path) -> None:
    """Stripes that wander: a frame that was lost, doubled or out of its place would be wrong in many pixels."""
    height, width = 32, 48
    truth, images = [], []
    for index in range(9):
        stripes = (np.arange(width) // 8 + index) % 9 + 1
        truth.append(np.tile(stripes.astype(np.uint8), (height, 1)))
        luma = LUMA_STEP * truth[-1] + LUMA_STEP / 2
        gray = np.clip(np.rint((luma - 16) * 255 / 219), 0, 255).astype(np.uint8)
        images.append(np.repeat(gray[:, :, None], 3, axis=2))
    encode_images(images, tmp_path / "v.mp4")
    video = LabelledVideo(
        path=tmp_path / "v.mp4", dataset="camvid", split="val", labels=CAMVID, truth=truth
    )
    with fake_segmenter() as segmenter:
        scores = evaluate_video(segmenter, video)
    assert scores["frames"] == 9
    assert scores["pixel_accuracy"] > 0.99
    assert scores["fps"] > 0
    assert scores["video"]["rate"] == 15
