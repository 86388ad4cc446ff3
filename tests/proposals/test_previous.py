"""Boxes around the previous picture's regions."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import noise

from streamseg.proposals import previous
from streamseg.proposals.previous import PreviousRegions, extended, regions

SIZE = (40, 60)


def two_things() -> NDArray[np.uint8]:
    """20 x 10 pixels of class 2 at (10, 5), 8 x 8 of class 1 at (44, 20), one pixel of class 1 elsewhere."""
    labels = np.zeros(SIZE, np.uint8)
    labels[5:15, 10:30] = 2
    labels[20:28, 44:52] = 1
    labels[38, 2] = 1
    return labels


def picture(seed: int = 0) -> NDArray[np.float32]:
    return noise(*SIZE, seed=seed).astype(np.float32)


def test_regions_come_by_size_without_background_and_specks() -> None:
    assert regions(two_things(), background=True).tolist() == [[10, 5, 20, 10], [44, 20, 8, 8]]
    assert regions(two_things(), background=False).tolist()[0] == [0, 0, 60, 40]
    assert regions(np.zeros(SIZE, np.uint8), background=True).shape == (0, 4)


def test_regions_that_touch_at_corners_are_one() -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[0:5, 0:5] = labels[5:10, 5:10] = 1
    labels[5:10, 0:5] = 2
    assert regions(labels, background=True).tolist() == [[0, 0, 10, 10], [0, 5, 5, 5]]


def test_equal_regions_come_in_the_order_of_their_classes() -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[0:5, 50:55], labels[20:25, 0:5] = 1, 2
    assert regions(labels, background=True).tolist() == [[50, 0, 5, 5], [0, 20, 5, 5]]


def test_boxes_are_a_fifth_larger_about_their_middle() -> None:
    np.testing.assert_allclose(extended(np.array([[10.0, 5, 20, 10]])), [[8, 4, 24, 12]])


def test_the_whole_picture_and_then_what_was_seen_before() -> None:
    follower = PreviousRegions(background=True)
    assert follower.candidates(picture()) is None
    follower.answered(two_things())
    found = follower.candidates(picture())
    assert found is not None
    np.testing.assert_allclose(found, [[0, 0, 60, 40], [8, 4, 24, 12], [43.2, 19.2, 9.6, 9.6]])
    follower.answered(np.zeros(SIZE, np.uint8))
    assert follower.candidates(picture()) is None  # nothing was seen


def test_without_an_answer_nothing_is_known() -> None:
    follower = PreviousRegions(background=True)
    follower.candidates(picture())
    follower.answered(two_things())
    assert follower.candidates(picture()) is not None
    assert follower.candidates(picture()) is None


def test_another_size_begins_anew() -> None:
    follower = PreviousRegions(background=True)
    follower.candidates(picture())
    follower.answered(two_things())
    assert follower.candidates(noise(40, 62).astype(np.float32)) is None


def test_a_cut_begins_anew() -> None:
    follower = PreviousRegions(background=True)
    coarse = np.kron(noise(5, 8, seed=1), np.ones((8, 8, 1))).astype(np.float32)[:40, :60]
    other = np.kron(noise(5, 8, seed=2), np.ones((8, 8, 1))).astype(np.float32)[:40, :60]
    shows = ((coarse, False), (coarse, True), (coarse, True), (other, False), (other, True))
    for shown, same in shows:
        assert (follower.candidates(shown) is not None) == same
        follower.answered(two_things())


def test_whether_a_cut_came_is_asked_of_the_luma(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Cuts:
        def begins(self, residual: float, contrast: float) -> bool:
            asked.append((residual, contrast))
            return False

    monkeypatch.setattr(previous, "SceneCuts", Cuts)
    follower = PreviousRegions(background=True)
    for level in (10, 60):
        follower.candidates(np.full((*SIZE, 3), level, np.float32))
        follower.answered(two_things())
    assert asked == [(50.0, 0.0)]
