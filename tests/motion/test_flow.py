"""Flow between pictures whose motion is known."""

import numpy as np
import pytest
from moving import pan

from streamseg.motion.cells import grid
from streamseg.motion.flow import PIXELS, SHORTEST, Flow, small


@pytest.mark.parametrize("size", [(96, 160), (240, 424), (720, 1280), (301, 405)])
def test_a_pan_is_found_in_pixels_of_the_picture(size: tuple[int, int]) -> None:
    shift = max(2, round(size[1] / 160))
    before, now = pan(2, (2 * shift, -shift), size)
    field = Flow().field(small(now), small(before), size)
    assert field.shape == (*grid(size), 2)
    assert field.dtype == np.float32
    inside = field[2:-2, 2:-2]
    assert np.abs(inside - [2 * shift, -shift]).max(2).mean() < 0.1 * shift


def test_pictures_are_compared_small_and_in_their_own_shape() -> None:
    for size in [(1024, 2048), (1023, 2047), (540, 960), (720, 1280)]:
        height, width = small(np.zeros(size, np.uint8)).shape
        assert 0.95 * PIXELS < height * width <= PIXELS
        assert width / height == pytest.approx(size[1] / size[0], rel=0.01)
    assert small(np.zeros((200, 300), np.uint8)).shape == (200, 300)


def test_the_smallest_pictures_are_compared_too() -> None:
    for size in [(1, 1), (5, 3), (8, 200)]:
        picture = small(np.full(size, 7, np.uint8))
        assert min(picture.shape) >= SHORTEST
        assert np.abs(Flow().field(picture, picture, size)).max() < 0.01
