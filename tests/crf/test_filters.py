"""The parts of the fast mean field, each against what it stands for."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.crf.bilateral import tile_by_tile
from streamseg.crf.gaussian import GaussianFilter
from streamseg.crf.pairs import LANES, REACH, group_points
from streamseg.crf.parallel import Threads
from streamseg.crf.pivots import MOST_POINTS, choose_pivots


@pytest.fixture
def threads() -> Iterator[Threads]:
    with Threads() as started:
        yield started


def kernel(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of points 5 x n and 5 x m: n x m."""
    squared = ((first[:, :, None] - second[:, None]).astype(np.float64) ** 2).sum(0)
    return np.exp(-0.5 * squared)


def points(count: int, spread: float, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, spread, (5, count)).astype(np.float32)


def test_loops_are_shared_out_without_gap_or_overlap(threads: Threads) -> None:
    for count in (0, 1, 7, 1000):
        seen = np.zeros(count, np.int64)

        def mark(first: int, last: int, seen: NDArray[np.int64] = seen) -> None:
            seen[first:last] += 1

        threads.each(mark, count)
        assert (seen == 1).all()


def test_what_a_loop_raises_is_raised(threads: Threads) -> None:
    def fail(first: int, last: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.each(fail, 3)


@pytest.mark.parametrize(("size", "sxy"), [((13, 9), 3.0), ((5, 30), 0.4), ((6, 7), 100.0)])
def test_messages_by_nearness_are_the_sum_over_all_other_pixels(
    size: tuple[int, int], sxy: float, threads: Threads
) -> None:
    values = np.random.default_rng(0).random((2, *size), np.float32)
    out = np.ones_like(values)
    GaussianFilter(size, sxy, weight=2).add(values, out, threads)
    y, x = np.mgrid[: size[0], : size[1]].reshape(2, -1)
    every = np.exp(-((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) / (2 * sxy**2))
    factor = 1 / np.sqrt(every.sum(1))
    np.fill_diagonal(every, 0)
    expected = 1 + 2 * values.reshape(2, -1) @ (factor[:, None] * every * factor)
    np.testing.assert_allclose(out.reshape(2, -1), expected, atol=2e-4)


@pytest.mark.parametrize("spread", [0.05, 0.15])
def test_pivots_stand_for_their_tile(spread: float, threads: Threads) -> None:
    features, starts = points(150, spread), np.array([0, 60, 61, 150])
    tolerance = 1e-3
    pivots = choose_pivots(features, starts, tolerance, threads)
    assert len(pivots.chosen) < 150 * 0.75
    assert pivots.kept.tolist()[-1] == len(pivots.chosen)
    tile_of = np.searchsorted(starts, pivots.chosen, side="right") - 1
    np.testing.assert_array_equal(np.bincount(tile_of), np.diff(pivots.kept))
    weights = pivots.spread(np.eye(len(pivots.chosen), dtype=np.float32), threads).T
    others = points(40, 1.0, seed=1)
    error = weights @ kernel(features[:, pivots.chosen], others) - kernel(features, others)
    assert np.abs(error).max() < np.sqrt(tolerance)


def test_collecting_is_the_transpose_of_spreading(threads: Threads) -> None:
    pivots = choose_pivots(points(150, 0.2), np.array([0, 60, 61, 150]), 1e-2, threads)
    rng = np.random.default_rng(2)
    values = rng.random((3, 150)).astype(np.float32)
    sums = rng.random((3, len(pivots.chosen))).astype(np.float32)
    collected, spread = pivots.collect(values, threads), pivots.spread(sums, threads)
    np.testing.assert_allclose((collected * sums).sum(1), (values * spread).sum(1), rtol=1e-4)


@pytest.mark.parametrize("count", [64, MOST_POINTS + 1])
def test_points_that_nothing_stands_for_are_all_kept(count: int, threads: Threads) -> None:
    features = points(count, 50.0)
    pivots = choose_pivots(features, np.array([0, count]), 1e-3, threads)
    np.testing.assert_array_equal(pivots.chosen, np.arange(count))
    values = np.random.default_rng(3).random((2, count)).astype(np.float32)
    np.testing.assert_array_equal(pivots.collect(values, threads), values)
    np.testing.assert_array_equal(pivots.spread(values, threads), values)


def test_equal_points_are_one(threads: Threads) -> None:
    pivots = choose_pivots(np.ones((5, 64), np.float32), np.array([0, 64]), 1e-3, threads)
    values = np.ones((1, 64), np.float32)
    assert pivots.collect(values, threads).tolist() == [[64]]


@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_sums_are_over_all_near_pairs(spread: float, threads: Threads) -> None:
    features, starts = points(500, spread), np.array([0, 100, 101, 500])
    groups = group_points(features, starts, threads)
    assert len(set(groups.slots.tolist())) == 500
    values = np.zeros((len(groups.features) * LANES, 3), np.float32)
    told = np.random.default_rng(4).random((500, 3), np.float32)
    values[groups.slots] = told
    changed = np.zeros(len(values), bool)
    changed[groups.slots[::2]] = True
    sums = np.ones((len(groups.features), 3, LANES), np.float32)
    groups.add_sums(values, changed, sums, threads)
    found = sums.transpose(0, 2, 1).reshape(-1, 3)[groups.slots]
    expected = 1 + kernel(features, features)[:, ::2] @ told[::2]
    missed = np.exp(-0.5 * REACH**2) * told[::2].sum()
    assert np.abs(found - expected).max() < missed + 1e-4 * expected.max()


@pytest.mark.parametrize("size", [(1, 1), (17, 20), (40, 9)])
def test_pixels_of_a_tile_follow_each_other_and_so_do_tiles_of_a_larger_one(
    size: tuple[int, int],
) -> None:
    order, tiles = tile_by_tile(size)
    np.testing.assert_array_equal(np.sort(order), np.arange(size[0] * size[1]))
    assert (np.diff(tiles) >= 0).all()
    y, x = np.divmod(order, size[1])
    for level, side in enumerate((8, 16, 32)):
        squares = set(zip(tiles >> 2 * level, y // side, x // side, strict=True))
        assert len(squares) == len(set(tiles >> 2 * level))
