"""What `eval --json` says of scores that have no value; the command itself is run in tests/cli."""

import json

import numpy as np

from streamseg.evaluation.boundaries import BoundaryF1
from streamseg.evaluation.confusion import Confusion
from streamseg.evaluation.evaluate import boundary_scores, scores
from streamseg.labels import IGNORE, generic_labels

LABELS = generic_labels(3)


def test_classes_without_a_score_are_none() -> None:
    confusion, boundary = Confusion(3), BoundaryF1(3)
    truth = np.array([[0, 0, 0, 0]], np.uint8)
    for scored in (confusion, boundary):
        scored.add(truth, np.array([[0, 0, 0, 1]], np.uint8))
    found = scores(confusion, LABELS) | boundary_scores(boundary, LABELS)
    assert list(found["iou"].values()) == [0.75, 0, None]
    assert list(found["class_accuracy"].values()) == [0.75, None, None]
    assert found["mean_class_accuracy"] == 0.75
    assert list(found["class_boundary_f1"].values()) == [0, 0, None]  # the truth has no boundary
    assert found["boundary_f1"] == 0
    json.dumps(found, allow_nan=False)


def test_nothing_scored_has_no_boundary_score() -> None:
    boundary, confusion = BoundaryF1(3), Confusion(3)
    for scored in (confusion, boundary):
        scored.add(np.full((2, 2), IGNORE, np.uint8), np.zeros((2, 2), np.uint8))
    assert boundary_scores(boundary, LABELS)["boundary_f1"] is None
    assert scores(confusion, LABELS)["mean_class_accuracy"] is None
