"""Boxes: squares around them, the part inside a picture, and every kind of bad candidate."""

import math
from collections import Counter

import numpy as np
import pytest

from streamseg.proposals.boxes import Box, usable, whole

SIZE = (40, 60)


def box(left: int, top: int, right: int, bottom: int) -> Box:
    return Box(left=left, top=top, right=right, bottom=bottom)


@pytest.mark.parametrize(
    ("given", "square"),
    [
        (box(10, 10, 20, 14), box(10, 7, 20, 17)),
        (box(10, 10, 14, 20), box(7, 10, 17, 20)),
        (box(0, 0, 60, 40), box(0, -10, 60, 50)),
        (box(5, 5, 8, 7), box(5, 5, 8, 8)),  # half a pixel cannot be shared out
        (box(3, 3, 4, 4), box(3, 3, 4, 4)),
    ],
)
def test_squares_keep_the_middle_and_may_stick_out(given: Box, square: Box) -> None:
    assert given.squared() == square
    assert square.width == square.height == max(given.width, given.height)


def test_only_the_part_inside_is_left() -> None:
    assert box(0, -10, 60, 50).within(SIZE) == whole(SIZE) == box(0, 0, 60, 40)
    assert box(50, 30, 70, 90).within(SIZE) == box(50, 30, 60, 40)
    assert box(60, 0, 70, 10).within(SIZE) is None
    assert box(-5, 0, 0, 10).within(SIZE) is None


def test_a_box_without_a_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        box(5, 5, 5, 9)


def test_good_candidates_stay_in_order_and_are_cut_off() -> None:
    rows = [[10, 5, 20, 10], [0, 0, 60, 40], [-5, -5, 15, 15], [50, 30, 1e300, 1e300]]
    assert usable(rows, SIZE) == [
        box(10, 5, 30, 15), box(0, 0, 60, 40), box(0, 0, 10, 10), box(50, 30, 60, 40),
    ]  # fmt: skip
    assert usable(np.array(rows[:1], np.int32), SIZE) == [box(10, 5, 30, 15)]
    assert usable([[1.4, 1.6, 5.2, 5.2]], SIZE) == [box(1, 2, 7, 7)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([math.nan, 0, 5, 5], "not numbers"),
        ([0, 0, math.inf, 5], "not numbers"),
        ([10, 10, -5, 5], "of negative size"),
        ([10, 10, 5, -5], "of negative size"),
        ([10, 10, 0, 5], "empty"),
        ([10, 10, 5, 0], "empty"),
        ([60, 0, 5, 5], "outside the picture"),
        ([0, 40, 5, 5], "outside the picture"),
        ([-9, 0, 9, 9], "outside the picture"),
        ([1e300, 0, 5, 5], "outside the picture"),
        ([10, 10, 1, 1], "one pixel wide"),
        ([10, 10, 1, 20], "one pixel wide"),
        ([59, 10, 20, 20], "one pixel wide"),  # of which one column is inside
        ([10.2, 10, 0.2, 9], "one pixel wide"),
    ],
)
def test_bad_candidates_are_left_out_and_counted(row: list[float], reason: str) -> None:
    left_out: Counter[str] = Counter()
    assert usable([row, [1, 1, 5, 5], row], SIZE, left_out) == [box(1, 1, 6, 6)]
    assert left_out == {reason: 2}


def test_no_candidates_are_no_boxes() -> None:
    assert usable((), SIZE) == []
    assert usable(np.empty((0, 4)), SIZE) == []
    with pytest.raises(ValueError, match="expected boxes of N x"):
        usable([[1, 2, 3]], SIZE)
