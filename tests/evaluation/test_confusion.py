import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics
from torchmetrics import classification

from streamseg.evaluation.confusion import Confusion
from streamseg.labels import IGNORE

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def random_pairs(rng: np.random.Generator, classes: list[int]) -> list[Pair]:
    """Label maps of several sizes; predictions mostly right, some pixels unlabelled."""
    pairs = []
    for shape in ((7, 9), (16, 5), (1, 40)):
        truth = rng.choice(classes, shape).astype(np.uint8)
        predicted = np.where(rng.random(shape) < 0.6, truth, rng.choice(classes, shape))
        truth[rng.random(shape) < 0.2] = IGNORE
        pairs.append((truth, predicted.astype(np.uint8)))
    return pairs


def brute_force_iou(pairs: list[Pair], num_classes: int) -> list[float]:
    """Per class, sets of (image, row, column)."""
    scores = []
    for c in range(num_classes):
        true: set[tuple[int, ...]] = set()
        predicted: set[tuple[int, ...]] = set()
        for index, (truth, prediction) in enumerate(pairs):
            for place in np.ndindex(truth.shape):
                if truth[place] == IGNORE:
                    continue
                if truth[place] == c:
                    true.add((index, *place))
                if prediction[place] == c:
                    predicted.add((index, *place))
        union = true | predicted
        scores.append(len(true & predicted) / len(union) if union else math.nan)
    return scores


@pytest.mark.parametrize("classes", [[0, 1, 2, 3, 4], [1, 3], [2]], ids=str)
def test_scores_equal_brute_force_with_sets(rng: np.random.Generator, classes: list[int]) -> None:
    pairs = random_pairs(rng, classes)
    confusion = Confusion(5)
    for truth, predicted in pairs:
        confusion.add(truth, predicted)
    expected = brute_force_iou(pairs, 5)
    np.testing.assert_allclose(confusion.iou(), expected)
    occurring = [score for score in expected if not math.isnan(score)]
    assert len(occurring) == len(classes)
    assert confusion.miou() == pytest.approx(sum(occurring) / len(occurring))
    right = sum(int((t[t != IGNORE] == p[t != IGNORE]).sum()) for t, p in pairs)
    scored = sum(int((t != IGNORE).sum()) for t, _ in pairs)
    assert confusion.pixel_accuracy() == pytest.approx(right / scored)


def test_counts_equal_a_literal_loop(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, [0, 1, 2, 3, 4])
    confusion = Confusion(5)
    expected = [[0] * 5 for _ in range(5)]
    for truth, predicted in pairs:
        confusion.add(truth, predicted)
        for true_id, predicted_id in zip(truth.flat, predicted.flat, strict=True):
            if true_id != IGNORE:
                expected[true_id][predicted_id] += 1
    assert confusion.counts.tolist() == expected
    for c in range(5):
        right = expected[c][c]
        seen, said = sum(expected[c]), sum(row[c] for row in expected)
        assert confusion.iou()[c] == pytest.approx(right / (seen + said - right))
    right, total = sum(expected[c][c] for c in range(5)), sum(map(sum, expected))
    assert confusion.pixel_accuracy() == pytest.approx(right / total)


def flat_pairs(pairs: list[Pair]) -> Pair:
    """All pixels with a label, in a row."""
    truth = np.concatenate([truth.ravel() for truth, _ in pairs])
    predicted = np.concatenate([predicted.ravel() for _, predicted in pairs])
    return truth[truth != IGNORE], predicted[truth != IGNORE]


def test_scores_equal_scikit_learn_s(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, [0, 1, 2, 3, 4])
    confusion = Confusion(5)
    for truth, predicted in pairs:
        confusion.add(truth, predicted)
    flat = flat_pairs(pairs)
    np.testing.assert_array_equal(confusion.counts, metrics.confusion_matrix(*flat))
    np.testing.assert_allclose(confusion.iou(), metrics.jaccard_score(*flat, average=None))
    assert confusion.miou() == pytest.approx(metrics.jaccard_score(*flat, average="macro"))
    assert confusion.pixel_accuracy() == pytest.approx(metrics.accuracy_score(*flat))
    np.testing.assert_allclose(
        confusion.class_accuracy(), metrics.recall_score(*flat, average=None)
    )
    assert confusion.mean_class_accuracy() == pytest.approx(metrics.balanced_accuracy_score(*flat))


def test_scores_equal_torchmetrics(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, [0, 1, 2, 3, 4])
    confusion = Confusion(5)
    asked = {"num_classes": 5, "ignore_index": IGNORE}
    matrix = classification.MulticlassConfusionMatrix(**asked)
    expected = {
        "iou": classification.MulticlassJaccardIndex(**asked, average="none"),
        "miou": classification.MulticlassJaccardIndex(**asked, average="macro"),
        "pixel_accuracy": classification.MulticlassAccuracy(**asked, average="micro"),
        "class_accuracy": classification.MulticlassRecall(**asked, average="none"),
        "mean_class_accuracy": classification.MulticlassAccuracy(**asked, average="macro"),
    }
    for truth, predicted in pairs:
        confusion.add(truth, predicted)
        for metric in (matrix, *expected.values()):
            metric.update(
                torch.from_numpy(predicted.astype(np.int64)),
                torch.from_numpy(truth.astype(np.int64)),
            )
    np.testing.assert_array_equal(confusion.counts, matrix.compute().numpy())
    for name, metric in expected.items():
        found = getattr(confusion, name)()
        np.testing.assert_allclose(found, metric.compute().numpy(), atol=1e-6, err_msg=name)


def test_totals_are_divided_not_image_scores_averaged() -> None:
    confusion = Confusion(2)
    confusion.add(np.zeros((1, 1), np.uint8), np.ones((1, 1), np.uint8))
    confusion.add(np.zeros((1, 9), np.uint8), np.zeros((1, 9), np.uint8))
    assert confusion.iou()[0] == pytest.approx(0.9)  # the mean of 0 and 1 would be 0.5


def test_rows_are_truth_and_columns_prediction() -> None:
    confusion = Confusion(3)
    confusion.add(np.array([[0, 0, 2]], np.uint8), np.array([[1, 1, 2]], np.uint8))
    assert confusion.counts.tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_a_class_only_predicted_scores_zero() -> None:
    confusion = Confusion(3)
    confusion.add(np.array([[0, 0]], np.uint8), np.array([[0, 1]], np.uint8))
    np.testing.assert_array_equal(confusion.iou(), [0.5, 0, np.nan])
    assert confusion.miou() == 0.25
    np.testing.assert_array_equal(confusion.class_accuracy(), [0.5, np.nan, np.nan])
    assert confusion.mean_class_accuracy() == 0.5


def test_predictions_on_unlabelled_pixels_do_not_count() -> None:
    confusion = Confusion(2)
    truth = np.array([[0, IGNORE, IGNORE]], np.uint8)
    confusion.add(truth, np.array([[0, 1, 200]], np.uint8))
    assert confusion.counts.sum() == 1
    assert confusion.miou() == 1


def test_nothing_counted_has_no_score() -> None:
    confusion = Confusion(2)
    confusion.add(np.full((3, 3), IGNORE, np.uint8), np.zeros((3, 3), np.uint8))
    assert math.isnan(confusion.miou())
    assert math.isnan(confusion.pixel_accuracy())
    assert np.isnan(confusion.iou()).all()
    assert np.isnan(confusion.class_accuracy()).all()
    assert math.isnan(confusion.mean_class_accuracy())


def test_ids_do_not_overflow_a_byte() -> None:
    confusion = Confusion(255)
    confusion.add(np.full((2, 2), 254, np.uint8), np.full((2, 2), 253, np.uint8))
    assert confusion.counts[254, 253] == 4


def test_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"a prediction of \(2, 3\) like the truth, got \(3, 2\)"):
        Confusion(2).add(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


@pytest.mark.parametrize(("truth", "predicted", "which"), [(2, 0, "truth"), (0, 2, "prediction")])
def test_refuses_ids_of_no_class_and_counts_nothing(truth: int, predicted: int, which: str) -> None:
    confusion = Confusion(2)
    with pytest.raises(ValueError, match=f"class ids below 2 in the {which}, got 2"):
        confusion.add(np.full((2, 2), truth, np.uint8), np.full((2, 2), predicted, np.uint8))
    assert confusion.counts.sum() == 0


@pytest.mark.parametrize("num_classes", [0, 256])
def test_refuses_impossible_numbers_of_classes(num_classes: int) -> None:
    with pytest.raises(ValueError, match=f"expected 1 to 255 classes, got {num_classes}"):
        Confusion(num_classes)
