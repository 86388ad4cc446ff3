"""Boundary F1 against hand-drawn maps, a reference that measures every pair of pixels, and SciPy and scikit-learn."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import f1_score

from streamseg.evaluation.boundaries import BoundaryF1, boundaries
from streamseg.labels import IGNORE

Labels = NDArray[np.uint8]


def label_map(*rows: str) -> Labels:
    """Digits are classes, a dot is unlabelled."""
    return np.array(
        [[IGNORE if sign == "." else int(sign) for sign in row] for row in rows], np.uint8
    )


def brute_force(
    truth: Labels, predicted: Labels, num_classes: int, tolerance: float
) -> list[float]:
    """Of one picture, per class, pixel by pixel."""
    height, width = truth.shape
    reach = tolerance * math.sqrt(height**2 + width**2)

    def outline(labels: Labels, label: int) -> list[tuple[int, int]]:
        found = []
        for y, x in np.ndindex(height, width):
            if labels[y, x] != label or truth[y, x] == IGNORE:
                continue
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = [(j, i) for j, i in around if 0 <= j < height and 0 <= i < width]
            if any(labels[j, i] != label and truth[j, i] != IGNORE for j, i in inside):
                found.append((y, x))
        return found

    def met(these: list[tuple[int, int]], those: list[tuple[int, int]]) -> float:
        near = [min((math.dist(one, other) for other in those), default=math.inf) for one in these]
        return sum(distance <= reach for distance in near) / len(near) if near else 0.0

    scores = []
    for label in range(num_classes):
        wanted, found = outline(truth, label), outline(predicted, label)
        precision, recall = met(found, wanted), met(wanted, found)
        both = precision + recall
        if not wanted and not found:
            scores.append(math.nan)
        else:
            scores.append(2 * precision * recall / both if both else 0.0)
    return scores


def random_pair(rng: np.random.Generator) -> tuple[Labels, Labels]:
    """Blocks of classes, shifted and sprinkled in the prediction; parts unlabelled."""
    truth = rng.integers(0, 4, (4, 5)).repeat(5, 0).repeat(4, 1).astype(np.uint8)
    predicted = np.roll(truth, rng.integers(-2, 3, 2), (0, 1))
    predicted[rng.random(truth.shape) < 0.03] = 4
    truth[rng.random(truth.shape) < 0.1] = IGNORE
    truth[:6, :4] = IGNORE
    return truth, predicted


@pytest.mark.parametrize("tolerance", [0.0, 0.03, 0.051, 0.1, 1.0])
def test_scores_equal_brute_force(rng: np.random.Generator, tolerance: float) -> None:
    pairs = [random_pair(rng) for _ in range(3)]
    score = BoundaryF1(6, tolerance)
    for truth, predicted in pairs:
        score.add(truth, predicted)
    expected = np.array([brute_force(*pair, 6, tolerance) for pair in pairs])
    present = ~np.isnan(expected[:, :5])
    assert present.all()  # 4 is in predictions alone, 5 nowhere
    np.testing.assert_allclose(score.f1()[:5], expected[:, :5].mean(0))
    assert math.isnan(score.f1()[5])
    assert score.mean() == pytest.approx(expected[:, :5].mean(1).mean())
    assert tolerance == 1.0 or 0 < score.mean() < 1


def outline_by_erosion(labels: Labels, known: NDArray[np.bool_], label: int) -> NDArray[np.bool_]:
    """A class's boundary: its pixels that erosion takes away, beyond which something else is known."""
    inside = (labels == label) & known
    return inside & ~ndimage.binary_erosion(inside | ~known, border_value=1)


@pytest.mark.parametrize("tolerance", [0.0075, 0.02, 0.1])
def test_scores_equal_scipy_s_distance_transform(
    rng: np.random.Generator, tolerance: float
) -> None:
    """Large maps, of smooth regions: of noise, the prediction's moved by two pixels and noisier."""
    noise = rng.normal(size=(5, 181, 241))
    smooth = ndimage.gaussian_filter(noise, (0, 8, 8))
    truth = smooth.argmax(0).astype(np.uint8)
    blurred = ndimage.gaussian_filter(noise + 0.6 * rng.normal(size=noise.shape), (0, 8, 8))
    predicted = np.roll(blurred, 2, 2).argmax(0).astype(np.uint8)
    truth[:20, 50:70] = IGNORE
    known = truth != IGNORE
    reach = tolerance * math.hypot(*truth.shape)
    expected = []
    for label in range(5):
        wanted = outline_by_erosion(truth, known, label)
        found = outline_by_erosion(predicted, known, label)
        precision = (ndimage.distance_transform_edt(~wanted)[found] <= reach).mean()
        recall = (ndimage.distance_transform_edt(~found)[wanted] <= reach).mean()
        expected.append(2 * precision * recall / (precision + recall))
    score = BoundaryF1(5, tolerance)
    score.add(truth, predicted)
    np.testing.assert_allclose(score.f1(), expected)
    assert 0.1 < score.mean() < 0.999


def test_without_tolerance_it_is_scikit_learn_s_f1_of_boundary_pixels(
    rng: np.random.Generator,
) -> None:
    truth, predicted = random_pair(rng)
    score = BoundaryF1(5, 0.0)
    score.add(truth, predicted)
    known = truth != IGNORE
    expected = [
        f1_score(
            outline_by_erosion(truth, known, label).ravel(),
            outline_by_erosion(predicted, known, label).ravel(),
            zero_division=0.0,
        )
        for label in range(5)
    ]
    np.testing.assert_allclose(score.f1(), expected)
    assert 0 < score.mean() < 1


def test_classes_and_maps_of_any_size_are_looked_around_to_their_edge() -> None:
    truth = np.zeros((1, 12), np.uint8)
    truth[0, 11] = 254
    predicted = np.zeros((1, 12), np.uint8)
    predicted[0, 0] = 254
    for tolerance, met in ((1.0, 1.0), (0.5, 0.0)):
        score = BoundaryF1(255, tolerance)
        score.add(truth, predicted)
        assert score.f1()[254] == met


def test_pixels_of_a_boundary_touch_another_class() -> None:
    labels = label_map(
        "00000",
        "00110",
        "00110",
        "0....",
    )
    expected = label_map(
        "00110",
        "01111",
        "01111",
        "0000.",
    )
    expected[expected == IGNORE] = 0
    assert (boundaries(labels) == expected.astype(bool)).all()


def test_a_shifted_square_is_met_within_the_tolerance_alone() -> None:
    truth = np.zeros((60, 80), np.uint8)  # its diagonal is 100 pixels
    truth[20:40, 20:40] = 1
    shifted = np.roll(truth, 3, 1)
    for tolerance, met in ((0.03, True), (0.029, False)):
        score = BoundaryF1(2, tolerance)
        score.add(truth, shifted)
        assert (score.f1() == 1).all() == met
        assert score.f1()[1] > 0.5  # its upper and lower edges lie where they were


def test_only_precision_suffers_from_what_is_not_there() -> None:
    truth = label_map("0000000011")
    predicted = label_map("0010000011")
    score = BoundaryF1(2, 0.0)
    score.add(truth, predicted)
    # Class 1: predicted at 2 and 8, true at 8. Class 0: predicted at 1, 3 and 7, true at 7.
    assert score.f1().tolist() == pytest.approx([2 / 4, 2 / 3])


def test_a_class_in_one_of_the_maps_alone_scores_zero() -> None:
    score = BoundaryF1(4)
    score.add(label_map("0011"), label_map("0022"))
    np.testing.assert_array_equal(score.f1(), [1, 0, 0, np.nan])
    assert score.mean() == pytest.approx(1 / 3)


def test_maps_without_a_boundary_have_no_score() -> None:
    score = BoundaryF1(2)
    score.add(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8))
    score.add(label_map("0.1"), label_map("001"))  # what lies between them is not known
    assert math.isnan(score.mean())
    assert np.isnan(score.f1()).all()
    assert score.pictures.tolist() == [0, 0]


def test_predictions_on_unlabelled_pixels_do_not_count() -> None:
    truth = label_map("00..11", "001111")
    scores = []
    for unlabelled in (0, 1, 200):
        predicted = label_map("001111", "001111")
        predicted[truth == IGNORE] = unlabelled
        score = BoundaryF1(2, 0.0)
        score.add(truth, predicted)
        scores.append(score.f1().tolist())
    assert scores == [[1, 1]] * 3


def test_pictures_are_averaged_whatever_their_number_of_boundary_pixels() -> None:
    score = BoundaryF1(2, 0.0)
    score.add(label_map(*["01"] * 50), label_map(*["01"] * 50))
    score.add(label_map("0111"), label_map("0001"))
    assert score.f1().tolist() == [0.5, 0.5]
    assert score.pictures.tolist() == [2, 2]


def test_tolerance_is_a_share_of_the_diagonal() -> None:
    with pytest.raises(ValueError, match="tolerance of 0 to 1 of the diagonal, got 3"):
        BoundaryF1(2, 3)
    with pytest.raises(ValueError, match="expected 1 to 255 classes, got 0"):
        BoundaryF1(0)


def test_refuses_what_a_confusion_matrix_refuses() -> None:
    with pytest.raises(ValueError, match=r"a prediction of \(2, 3\) like the truth"):
        BoundaryF1(2).add(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))
    with pytest.raises(ValueError, match="class ids below 2 in the prediction, got 2"):
        BoundaryF1(2).add(np.zeros((2, 2), np.uint8), np.full((2, 2), 2, np.uint8))
