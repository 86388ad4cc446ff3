from pathlib import Path

import cv2
import numpy as np
import pytest

from streamseg.errors import SinkError
from streamseg.evaluation.thresholds import THRESHOLDS, Kept, plot_thresholds
from streamseg.labels import IGNORE


def test_curves_equal_counting_at_each_threshold(rng: np.random.Generator) -> None:
    truth, labels = (rng.integers(0, 3, (80, 90), np.uint8) for _ in range(2))
    truth[0] = IGNORE
    certainty = rng.random((80, 90)).astype(np.float32)
    certainty[5] = np.float32(0.25)  # is not above a quarter
    kept = Kept(4)
    for rows in (slice(0, 50), slice(50, 80)):
        kept.add(truth[rows], labels[rows], certainty[rows])
    found = kept.curve(("a", "b", "c", "absent"))
    seen = truth != IGNORE
    for index, threshold in enumerate(THRESHOLDS):
        sure = seen & (certainty > np.float32(threshold))
        right = sure & (truth == labels)
        assert found["overall"]["coverage"][index] == sure.sum() / seen.sum()
        assert found["overall"]["precision"][index] == right.sum() / sure.sum()
        of_b = found["classes"]["b"]
        assert of_b["coverage"][index] == (sure & (truth == 1)).sum() / (seen & (truth == 1)).sum()
        said = sure & (labels == 1)
        assert of_b["precision"][index] == (right & said).sum() / said.sum()
    assert found["thresholds"][90] == 0.9
    assert set(found["classes"]["absent"]["coverage"]) == {None}
    assert set(found["classes"]["absent"]["precision"]) == {None}


def test_nothing_kept_has_no_precision() -> None:
    kept = Kept(1)
    kept.add(np.zeros((1, 2), np.uint8), np.zeros((1, 2), np.uint8), np.float32([[0.4, 0.4]]))
    overall = kept.curve(("a",))["overall"]
    assert (overall["coverage"][39], overall["precision"][39]) == (1, 1)
    assert (overall["coverage"][40], overall["precision"][40]) == (0, None)


@pytest.mark.slow
def test_the_plot_is_a_picture(tmp_path: Path, rng: np.random.Generator) -> None:
    kept = Kept(2)
    truth = rng.integers(0, 2, (8, 8), np.uint8)
    kept.add(truth, np.zeros_like(truth), rng.random((8, 8)).astype(np.float32))
    named = {"model": "m", "dataset": "d", "split": "val", "frames": 1}
    plot_thresholds({**named, **kept.curve(("a", "b"))}, tmp_path / "curve.png")
    picture = cv2.imread(str(tmp_path / "curve.png"))
    assert picture is not None
    assert picture.shape == (600, 1200, 3)
    with pytest.raises(SinkError, match="cannot write"):
        plot_thresholds({**named, **kept.curve(("a", "b"))}, tmp_path / "no" / "curve.png")
