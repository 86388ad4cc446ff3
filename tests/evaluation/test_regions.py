"""Region accuracy on hand-drawn maps, and against a reference that floods every region."""

from collections import defaultdict

import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.evaluation.regions import RegionAccuracy
from streamseg.labels import IGNORE

Labels = NDArray[np.uint8]

TRUTH = np.array(
    [
        [1, 1, 0, 0, 0, 0, 2, 2],
        [1, 0, 0, 0, 0, 0, 2, 2],
        [0, 0, 0, 1, 0, 0, 2, 2],
        [0, 0, 1, 0, 0, 0, 9, 9],
        [0, 0, 0, 0, 0, 0, 2, 9],
    ],
    np.uint8,
)
"""Of class 1: three pixels, and two that touch at a corner. Of class 2: six pixels, and one. 9: unlabelled."""
TRUTH[TRUTH == 9] = IGNORE


def test_hand_drawn_regions_fall_into_their_bins() -> None:
    predicted = TRUTH.copy()
    predicted[predicted == IGNORE] = 2
    predicted[0, 0] = 0  # of the three
    predicted[2, 3] = 2  # of the two
    predicted[:, 7] = 0  # of the six, half
    accuracy = RegionAccuracy(3, bin_pixels=2, num_bins=4)
    accuracy.add(TRUTH, predicted)
    assert accuracy.sizes().tolist() == [2, 4, 6, 8]
    # 1, 2 pixels | 3 (the nearer of two equals is the larger bin) | 6 | 26
    assert accuracy.regions.tolist() == [[0, 0, 0, 1], [1, 1, 0, 0], [1, 0, 1, 0]]
    np.testing.assert_allclose(
        accuracy.sums, [[0, 0, 0, 1], [1 / 2, 2 / 3, 0, 0], [1, 0, 1 / 2, 0]]
    )
    np.testing.assert_allclose(accuracy.accuracy(), [3 / 4, 2 / 3, 1 / 2, 1])


def test_bins_hold_regions_of_about_30_pixels_each() -> None:
    accuracy = RegionAccuracy(1, num_bins=3)
    pixels = np.array([1, 15, 44, 45, 74, 75, 104, 105, 5000])
    assert (accuracy.bin_of(pixels) + 1).tolist() == [1, 1, 1, 2, 2, 3, 3, 3, 3]
    assert accuracy.sizes().tolist() == [30, 60, 90]


def flooded(truth: Labels) -> list[list[tuple[int, int]]]:
    """Regions as lists of pixels, found one step at a time."""
    left = {(int(y), int(x)) for y, x in np.argwhere(truth != IGNORE)}
    regions = []
    while left:
        region = [left.pop()]
        for y, x in region:  # grows while it is walked
            for near in [(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)]:
                if near in left and truth[near] == truth[y, x]:
                    left.remove(near)
                    region.append(near)
        regions.append(region)
    return regions


def test_accuracies_equal_those_of_flooded_regions(rng: np.random.Generator) -> None:
    accuracy = RegionAccuracy(4, bin_pixels=5, num_bins=6)
    expected = defaultdict(list)
    for _ in range(4):
        truth = rng.choice([0, 1, 2, IGNORE], (17, 23), p=[0.4, 0.25, 0.2, 0.15]).astype(np.uint8)
        predicted = np.where(rng.random(truth.shape) < 0.5, truth, 3).astype(np.uint8)
        predicted[truth == IGNORE] = 77
        accuracy.add(truth, predicted)
        for region in flooded(truth):
            right = sum(int(predicted[pixel] == truth[pixel]) for pixel in region)
            size = min(max(int(len(region) / 5 + 0.5), 1), 6)
            expected[int(truth[region[0]]), size - 1].append(right / len(region))
    assert accuracy.regions.sum() == sum(map(len, expected.values())) > 50
    for (label, size), shares in expected.items():
        assert accuracy.regions[label, size] == len(shares)
        assert accuracy.sums[label, size] == pytest.approx(sum(shares))
    assert not accuracy.regions[3].any()


def test_regions_count_alike_whatever_their_size() -> None:
    """One of 1 pixel all wrong and one of 9 all right: 0.5, not 0.9."""
    truth = np.array([[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]], np.uint8)
    accuracy = RegionAccuracy(2)
    accuracy.add(truth, np.zeros_like(truth))
    assert accuracy.accuracy()[0] == 0.5
    assert np.isnan(accuracy.accuracy()[1:]).all()


def test_regions_of_two_pictures_are_never_one() -> None:
    accuracy = RegionAccuracy(1)
    for _ in range(2):
        accuracy.add(np.zeros((6, 5), np.uint8), np.zeros((6, 5), np.uint8))
    assert accuracy.regions[0, :2].tolist() == [2, 0]


def test_nothing_labelled_counts_nothing() -> None:
    accuracy = RegionAccuracy(2)
    accuracy.add(np.full((3, 3), IGNORE, np.uint8), np.zeros((3, 3), np.uint8))
    assert accuracy.regions.sum() == 0
    assert np.isnan(accuracy.accuracy()).all()


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="bin_pixels and num_bins >= 1, got 0 and 100"):
        RegionAccuracy(2, bin_pixels=0)
    with pytest.raises(ValueError, match="expected 1 to 255 classes, got 256"):
        RegionAccuracy(256)
    with pytest.raises(ValueError, match="class ids below 2 in the truth, got 2"):
        RegionAccuracy(2).add(np.full((2, 2), 2, np.uint8), np.zeros((2, 2), np.uint8))
