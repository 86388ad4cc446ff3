"""Windows: how many, in which order, and that none of a picture is missed."""

import numpy as np
import pytest

from streamseg.proposals.boxes import Box, whole
from streamseg.proposals.windows import LEAST_SIDE, windows


def test_order_is_fixed_and_can_be_said_by_hand() -> None:
    """The whole, two squares as high as the picture, then squares of 28: middle row and column first."""
    found = windows((40, 60), 9)
    assert found[:3] == [
        whole((40, 60)),
        Box(left=0, top=0, right=40, bottom=40),
        Box(left=20, top=0, right=60, bottom=40),
    ]
    assert [(box.left, box.top, box.width) for box in found[3:]] == [
        (11, 0, 28), (21, 0, 28), (11, 12, 28), (21, 12, 28), (0, 0, 28), (32, 0, 28),
    ]  # fmt: skip
    assert found == windows((40, 60), 50)[:9]


@pytest.mark.parametrize("count", [1, 2, 5, 50, 200])
@pytest.mark.parametrize("size", [(360, 480), (480, 360), (100, 100), (80, 400)])
def test_as_many_as_asked_none_twice_all_inside(size: tuple[int, int], count: int) -> None:
    found = windows(size, count)
    assert len(found) == count
    assert len(set(found)) == count
    assert found[0] == whole(size)
    assert all(box.within(size) == box for box in found)
    sides = [box.width for box in found[1:]]
    assert sides == sorted(sides, reverse=True)
    assert min(sides, default=LEAST_SIDE) >= LEAST_SIDE


@pytest.mark.parametrize("size", [(360, 480), (97, 50), (80, 400)])
def test_each_scale_alone_covers_every_pixel(size: tuple[int, int]) -> None:
    everything = windows(size, 300)[1:]
    complete = {box.width for box in everything} - {everything[-1].width}
    assert len(complete) >= 2
    for side in complete:
        seen = np.zeros(size, bool)
        for box in everything:
            if box.width == side:
                seen[box.top : box.bottom, box.left : box.right] = True
        assert seen.all(), side


def test_within_a_scale_the_middle_comes_first() -> None:
    found = [box for box in windows((100, 100), 60) if box.width == 50]
    middles = [abs(box.left - 25) ** 2 + abs(box.top - 25) ** 2 for box in found]
    assert middles == sorted(middles)
    assert (found[0].left, found[0].top) == (25, 25)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (15, 15), (7, 2000)])
def test_tiny_pictures_are_seen_as_a_whole(size: tuple[int, int]) -> None:
    assert windows(size, 50) == [whole(size)]
