"""Luma in squares, against numpy; and how a motion is judged by them."""

import numpy as np
import pytest
from moving import pan, texture

from streamseg.motion.cells import contrast, difference, grid, residual, squares


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (41, 67), (1, 1), (5, 3), (48, 63)])
def test_squares_are_means_and_the_border_goes_on(
    size: tuple[int, int], rng: np.random.Generator
) -> None:
    luma = rng.integers(0, 256, size, np.uint8)
    rows, columns = grid(size)
    padded = np.pad(luma, ((0, 8 * rows - size[0]), (0, 8 * columns - size[1])), "edge")
    wanted = padded.reshape(2 * rows, 4, 2 * columns, 4).mean((1, 3))
    assert np.abs(squares(luma) - wanted).max() <= 0.5


def test_squares_of_a_view_with_gaps_are_those_of_the_picture(rng: np.random.Generator) -> None:
    wide = rng.integers(0, 256, (32, 100), np.uint8)
    assert np.array_equal(squares(wide[:, :64]), squares(wide[:, :64].copy()))


def test_contrast_is_the_standard_deviation(rng: np.random.Generator) -> None:
    means = rng.integers(0, 256, (34, 50), np.uint8)
    assert contrast(means) == pytest.approx(means.std())
    assert contrast(np.full((4, 4), 255, np.uint8)) == 0


def test_the_true_motion_leaves_the_least_difference() -> None:
    before, now = (squares(luma) for luma in pan(2, (5, -3)))
    rows, columns = now.shape[0] // 2, now.shape[1] // 2
    field = np.zeros((rows, columns, 2), np.float32)
    tried = {}
    for dx in range(-1, 12, 2):
        for dy in range(-9, 4, 2):
            field[:] = dx, dy
            tried[dx, dy] = residual(now, before, field)
    assert min(tried, key=tried.__getitem__) == (5, -3)
    assert tried[5, -3] < 0.25 * tried[-1, 3]


def test_a_difference_is_in_levels_and_looks_no_further_than_the_border() -> None:
    now, before = np.full((6, 8), 100, np.uint8), np.full((6, 8), 130, np.uint8)
    for far in (0.0, 3.3, -1000.0, 1000.0):
        assert difference(now, before, 2, 3, np.float32(far), np.float32(-far)) == 30


def test_a_residual_is_the_mean_difference_of_all_cells() -> None:
    now = squares(texture((32, 48)))
    before = now.copy()
    before[:2, :2] += 9
    field = np.zeros((4, 6, 2), np.float32)
    assert residual(now, before, field) == pytest.approx(9 / 24)
