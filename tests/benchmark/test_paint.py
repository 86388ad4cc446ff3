from typing import Any

import numpy as np
import pytest

from streamseg.benchmark.baselines import blended, resized_argmax
from streamseg.benchmark.paint import compare_painters, paint
from streamseg.benchmark.session import Session
from streamseg.frames import Logits
from streamseg.labels import LabelSet

TWO = LabelSet(name="two", class_names=("a", "b"), colors=((0, 0, 0), (201, 100, 51)))


def logits(scores: object) -> Logits:
    return Logits(scores=np.array(scores, np.float32), align_corners=False)


def test_equal_pictures_differ_nowhere() -> None:
    picture = np.full((4, 8, 3), 100, np.uint8)
    found = compare_painters(logits([[[1, 0], [1, 0]]]), picture, TWO, 2, lambda text: None)
    assert (found.size, found.grid) == ((4, 8), (1, 2))
    assert (found.differing_labels, found.differing_bytes, found.greatest_difference) == (0, 0, 0)
    assert found.streamseg_ms > 0
    assert found.ratio.least <= found.ratio.median <= found.ratio.greatest


def test_differences_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """One label of cv2's is made another, and one byte of its overlay elsewhere is raised by 2."""

    def another_label(*asked: Any) -> Any:
        labels = resized_argmax(*asked)
        labels[1, 1] = 0
        return labels

    def another_byte(*asked: Any) -> Any:
        overlay = blended(*asked)
        overlay[0, 3, 2] += 2
        return overlay

    monkeypatch.setattr("streamseg.benchmark.paint.resized_argmax", another_label)
    monkeypatch.setattr("streamseg.benchmark.paint.blended", another_byte)
    picture = np.full((2, 4, 3), 50, np.uint8)
    found = compare_painters(logits([[[0, 1]]]), picture, TWO, 1, lambda text: None)
    assert (found.differing_labels, found.differing_bytes, found.greatest_difference) == (1, 4, 2)


def test_labels_are_cv2s_up_to_rounding() -> None:
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (64, 96, 3)).astype(np.uint8)
    scores = rng.normal(size=(8, 12, 2))
    found = compare_painters(logits(scores), picture, TWO, 1, lambda text: None)
    assert found.differing_labels <= 2
    assert found.greatest_difference <= 1


def test_the_networks_own_logits_are_painted(session: Session) -> None:
    found = paint(session, (64, 96))
    assert found is not None
    assert found.size == (64, 96)
    assert found.grid == (64, 96)  # the stand-in labels every pixel
