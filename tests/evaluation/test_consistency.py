import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.evaluation.confusion import Confusion
from streamseg.evaluation.consistency import (
    OUTSIDE,
    constant_shares,
    count_warped,
    flow_targets,
)
from streamseg.labels import IGNORE

Maps = list[NDArray[np.uint8]]


def texture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """72 x 104, smooth enough for optical flow, with the whole range of brightness."""
    smooth = cv2.GaussianBlur(rng.random((72, 104)), (0, 0), 2)
    return np.asarray(cv2.normalize(smooth, np.empty(0), 0, 255, cv2.NORM_MINMAX)).astype(np.uint8)


def flicker(rng: np.random.Generator, frames: int) -> Maps:
    """Three classes; each pixel changes now and then."""
    maps = [rng.integers(0, 3, (9, 11)).astype(np.uint8)]
    for _ in range(frames - 1):
        changed = rng.random((9, 11)) < 0.1
        maps.append(np.where(changed, (maps[-1] + 1) % 3, maps[-1]).astype(np.uint8))
    return maps


def vspw_shares(truth: Maps, labels: Maps, window: int, windows: int) -> list[float]:
    """VSPW's loop: every frame of a window against its first, pixel by pixel."""
    shares = []
    for start in range(windows):
        asked = steady = 0
        for place in np.ndindex(truth[0].shape):
            rest = range(start, start + window)
            if len({int(truth[index][place]) for index in rest}) == 1:
                asked += 1
                steady += len({int(labels[index][place]) for index in rest}) == 1
        shares.append(steady / asked)
    return shares


def test_flow_finds_where_a_moving_picture_went(rng: np.random.Generator) -> None:
    scene = texture(rng)
    first, second = scene[4:68, 4:100], scene[6:70, 1:97]  # 3 px to the right and 2 up
    (target,) = flow_targets([first, second])
    rows, columns = np.mgrid[:64, :96]
    moved = np.where((rows >= 2) & (columns < 93), (rows - 2) * 96 + columns + 3, OUTSIDE)
    inner = (slice(8, -8), slice(8, -8))
    np.testing.assert_array_equal(target[inner], moved[inner])
    assert (target == OUTSIDE).any()
    assert target.dtype == np.int32


def test_flow_of_fewer_than_two_pictures_is_none(rng: np.random.Generator) -> None:
    assert flow_targets([]) == []
    assert flow_targets([texture(rng)]) == []


def test_flow_of_pictures_that_opencv_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 16x16, got \(15, 40\)"):
        flow_targets([np.zeros((15, 40), np.uint8)] * 2)


def test_labels_that_move_with_the_picture_are_consistent() -> None:
    first = np.array([[0, 1, 2, 1]], np.uint8)
    second = np.array([[1, 0, 1, 2]], np.uint8)  # one to the right
    target = np.array([[1, 2, 3, OUTSIDE]], np.int32)
    moved, still = Confusion(3), Confusion(3)
    count_warped(moved, [first, second], [target])
    count_warped(still, [first, first], [target])
    assert moved.miou() == 1.0
    assert still.miou() == 0.0
    assert moved.counts.sum() == still.counts.sum() == 3  # what left the picture is not counted


def test_consistency_is_one_matrix_over_all_pairs_with_the_earlier_map_as_truth() -> None:
    maps = [np.array([[value, 0]], np.uint8) for value in (0, 1, 1)]
    target = np.array([[0, 1]], np.int32)
    confusion = Confusion(2)
    count_warped(confusion, maps, [target, target])
    assert confusion.counts.tolist() == [[2, 1], [0, 1]]
    assert confusion.miou() == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_pairs_and_flow_must_match() -> None:
    maps = [np.zeros((2, 2), np.uint8)] * 3
    with pytest.raises(ValueError, match="between 3 label maps, got that of 1 pairs"):
        count_warped(Confusion(2), maps, [np.zeros((2, 2), np.int32)])


def test_shares_equal_vspw_with_its_last_window_too(rng: np.random.Generator) -> None:
    truth, labels = flicker(rng, 7), flicker(rng, 7)
    found = constant_shares(truth, labels, 3)
    np.testing.assert_allclose(found, vspw_shares(truth, labels, 3, windows=5))
    assert 0 < found.min() < found.max() < 1


def test_labels_need_to_be_constant_not_right(rng: np.random.Generator) -> None:
    truth = flicker(rng, 9)
    wrong = [np.full_like(truth[0], 2)] * 9
    assert constant_shares(truth, wrong).tolist() == [1.0, 1.0]


def test_unlabelled_pixels_are_not_asked() -> None:
    truth = [np.array([[0, IGNORE]], np.uint8)] * 2
    labels = [np.array([[1, value]], np.uint8) for value in (0, 1)]
    assert constant_shares(truth, labels, 2).tolist() == [1.0]


def test_a_window_without_a_constant_pixel_is_nan() -> None:
    truth = [np.array([[value]], np.uint8) for value in (0, 1, 1)]
    shares = constant_shares(truth, truth, 2)
    assert math.isnan(shares[0])
    assert shares[1] == 1.0


def test_fewer_frames_than_a_window_give_no_share(rng: np.random.Generator) -> None:
    assert constant_shares(flicker(rng, 7), flicker(rng, 7), 8).shape == (0,)


def test_refuses_other_lengths_and_windows(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="expected 3 label maps like the truth, got 2"):
        constant_shares(flicker(rng, 3), flicker(rng, 2))
    with pytest.raises(ValueError, match="window of at least 2 pictures, got 1"):
        constant_shares(flicker(rng, 3), flicker(rng, 3), 1)
