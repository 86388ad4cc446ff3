"""Fields of known motions, put together."""

import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.frames import CELL
from streamseg.motion.chain import compose, inverse

Field = NDArray[np.float32]


def middles(rows: int, columns: int) -> Field:
    """rows x columns x 2: where the cells' middles are, x and y in pixels."""
    y, x = np.mgrid[:rows, :columns] * CELL + CELL / 2
    return np.stack([x, y], -1).astype(np.float32)


def constant(rows: int, columns: int, dx: float, dy: float) -> Field:
    return np.tile(np.float32([dx, dy]), (rows, columns, 1))


def test_steps_of_a_pan_add_up() -> None:
    carried = constant(5, 7, 0, 0)
    for _ in range(4):
        carried = compose(carried, constant(5, 7, 2.5, -1.25))
    assert np.allclose(carried, constant(5, 7, 10, -5))


def test_steps_of_a_zoom_multiply_where_they_stay_in_the_picture() -> None:
    places = middles(12, 16)
    center = np.float32([64, 48])
    inward = (places - center) * np.float32(-0.1)
    twice = compose(inward, inward)
    assert np.allclose(twice, (places - center) * (0.9 * 0.9 - 1), atol=1e-4)


def test_a_step_is_followed_to_where_it_leads() -> None:
    carried = constant(4, 8, 0, 0)
    carried[:, :4] = [8, 0]
    step = constant(4, 8, 0, 0)
    step[:, 6] = [-3 * CELL, CELL]
    assert compose(carried, step)[1, 6] == pytest.approx([8 - 3 * CELL, CELL])
    assert compose(carried, step)[1, 7] == pytest.approx([0, 0])
    step[:, 6] = [-2.5 * CELL, 0]  # half-way between one that moved and one that did not
    assert compose(carried, step)[1, 6] == pytest.approx([4 - 2.5 * CELL, 0])


def test_beyond_the_border_it_is_as_at_the_border() -> None:
    carried = middles(3, 4)
    out = compose(carried, constant(3, 4, -1000, 1000))
    assert np.allclose(out, constant(3, 4, 4 - 1000, 20 + 1000))


def test_the_way_back_of_a_pan_is_its_opposite() -> None:
    assert np.allclose(inverse(constant(5, 7, 2.5, -1.25)), constant(5, 7, -2.5, 1.25))


def test_there_and_back_again() -> None:
    """A zoom of 3 %: seven pixels at the border, a quarter of a pixel from cell to cell."""
    places = middles(45, 60)
    inward = (places - np.float32([240, 180])) * np.float32(-0.03)
    inside = (slice(4, -4), slice(4, -4))
    assert np.abs(compose(inward, inverse(inward))[inside]).max() < 0.02
    assert np.abs(inverse(inward)[inside] - (inward / np.float32(-0.97))[inside]).max() < 0.02


def test_fields_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="two fields of one size"):
        compose(constant(3, 4, 0, 0), constant(4, 4, 0, 0))
