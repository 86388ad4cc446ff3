"""Messages by nearness and colour. Comes in: probabilities of all pixels, plane by plane. Goes out: for each pixel, the
sum of the others' by a Gaussian of distance and colour, normalised (see `reference`). Compiled, without the GIL.

    pixels ──collect──▶ pivots of tiles ──▶ pivots of larger tiles ──all near pairs──▶ their sums ──spread──▶ pixels

Where pictures are smooth, few pivots stand for many pixels; where they are not, few pixels are near each other in
colour. So pairs stay few enough to be summed up one by one, and nothing is put on a grid: what is approximated is
bounded by `tolerance`, `pairs.REACH` and `UNCHANGED`, whatever the picture.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.crf.pairs import LANES, Groups, group_points
from streamseg.crf.parallel import Threads
from streamseg.crf.pivots import TILE, Pivots, choose_pivots

ERROR = 0.16
"""Bound of what pivots may do wrong, in nats, if all of a pixel's neighbours erred alike; they do not."""

MOST_TOLERANCE = 0.01
"""See `pivots`; of small weights."""

UNCHANGED = 2e-3
"""Share of a pivot's values that may change before others are told, who are then wrong by so much of a message."""

_vector = partial(compiled, error_model="numpy", fastmath=True)


class BilateralFilter:
    """For one picture and its probabilities. What others were told is remembered, so that only changes cost time.

    Args:
        image_HW3: uint8.
        sxy, srgb: standard deviations, in pixels and in 8-bit steps of each colour.
        weight: of the messages, above 0.
        classes: planes of probabilities.
    """

    def __init__(
        self,
        image_HW3: NDArray[np.uint8],
        sxy: float,
        srgb: float,
        weight: float,
        classes: int,
        threads: Threads,
    ) -> None:
        size = image_HW3.shape[0], image_HW3.shape[1]
        self._weight = np.float32(weight)
        tolerance = min((ERROR / weight) ** 2, MOST_TOLERANCE)
        self._order, tiles = tile_by_tile(size)
        points = _features(image_HW3, sxy, srgb)[:, self._order]
        self._levels: list[Pivots] = []
        side = TILE
        while True:
            level = choose_pivots(points, _starts(tiles), tolerance, threads)
            self._levels.append(level)
            points, tiles = np.ascontiguousarray(points[:, level.chosen]), tiles[level.chosen]
            if 2 * side > sxy or tiles[-1] == 0:
                break
            side, tiles = 2 * side, tiles >> 2  # four that follow each other make a larger one
        self._groups = group_points(points, _starts(tiles), threads)
        ones_1N = np.ones((1, len(self._order)), np.float32)
        told = _Told(self._groups, self._collect(ones_1N, threads)[0], 1)
        told.tell(self._collect(ones_1N, threads), threads)
        sums_1N = self._spread(told.heard(), threads)
        # A pixel's own kernel is 1, so is the least sum, but for what is approximated.
        self._factors_N = 1 / np.sqrt(np.maximum(sums_1N[0], 1))
        masses_1M = self._collect(self._factors_N[None], threads)
        self._told = _Told(self._groups, masses_1M[0], classes)

    def add(
        self,
        values_CHW: NDArray[np.float32],
        out_CHW: NDArray[np.float32],
        threads: Threads,
    ) -> None:
        """Add weight times the messages to `out_CHW`.

        Args:
            values_CHW: probabilities, of sum 1 over C.
        """
        planes_CN = values_CHW.reshape(len(values_CHW), -1)
        out_CN = out_CHW.reshape(len(values_CHW), -1)
        order, factors, weight = self._order, self._factors_N, self._weight
        values_CN = np.empty_like(planes_CN)
        threads.each(lambda a, b: _sort(planes_CN, order, factors, a, b, values_CN), len(planes_CN))
        self._told.tell(self._collect(values_CN, threads), threads)
        sums_CN = self._spread(self._told.heard(), threads)
        threads.each(
            lambda a, b: _add(values_CN, sums_CN, order, factors, weight, a, b, out_CN),
            len(planes_CN),
        )

    def _collect(self, values_CN: NDArray[np.float32], threads: Threads) -> NDArray[np.float32]:
        for level in self._levels:
            values_CN = level.collect(values_CN, threads)
        return values_CN

    def _spread(self, sums_CM: NDArray[np.float32], threads: Threads) -> NDArray[np.float32]:
        for level in reversed(self._levels):
            sums_CM = level.spread(sums_CM, threads)
        return sums_CM


class _Told:
    """What pivots have told each other: values so far, and every pivot's sum of them.

    Args:
        masses_M: of each pivot the sum over classes of what it tells.
    """

    def __init__(self, groups: Groups, masses_M: NDArray[np.float32], classes: int) -> None:
        self._groups = groups
        self._least_M = UNCHANGED * masses_M
        count = len(groups.features)
        self._told_MC = np.zeros((len(masses_M), classes), np.float32)
        self._changes_SC = np.zeros((count * LANES, classes), np.float32)
        self._changed_S = np.zeros(count * LANES, np.bool_)
        self._sums_GCL = np.zeros((count, classes, LANES), np.float32)

    def tell(self, values_CM: NDArray[np.float32], threads: Threads) -> None:
        """Bring all sums up to date, but for what has hardly changed."""

        def compare(first: int, last: int) -> None:
            _compare(
                values_CM, self._groups.slots, self._least_M, first, last,
                self._told_MC, self._changes_SC, self._changed_S,
            )  # fmt: skip

        threads.each(compare, len(self._told_MC))
        self._groups.add_sums(self._changes_SC, self._changed_S, self._sums_GCL, threads)

    def heard(self) -> NDArray[np.float32]:
        """Every pivot's sum, C x M."""
        group_M, lane_M = np.divmod(self._groups.slots, LANES)
        return np.ascontiguousarray(self._sums_GCL[group_M, :, lane_M].T)


def tile_by_tile(size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels by tiles of `TILE` x `TILE`, and these in Morton order, so that four tiles (four of four) that lie in a
    square follow each other.

    Returns:
        For each place the pixel (row by row), and its tile's number: four times a larger tile's, and 0 to 3.
    """
    tiles = np.zeros(size, np.int64)
    for axis, side in enumerate(size):
        number = np.arange(side) // TILE
        spread = np.zeros(side, np.int64)
        for bit in range(side.bit_length()):
            spread |= (number >> bit & 1) << 2 * bit + 1 - axis
        tiles |= spread[:, None] if axis == 0 else spread
    order = np.argsort(tiles, axis=None, kind="stable")
    return order, tiles.ravel()[order]


def _starts(tiles_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each tile, and the number of points behind them."""
    return np.append(np.flatnonzero(np.diff(tiles_N, prepend=-1)), len(tiles_N))


def _features(image_HW3: NDArray[np.uint8], sxy: float, srgb: float) -> NDArray[np.float32]:
    """5 x pixels, in standard deviations."""
    height, width, _ = image_HW3.shape
    features = np.empty((5, height, width), np.float32)
    features[0] = np.arange(width) / sxy
    features[1] = np.arange(height)[:, None] / sxy
    features[2:] = np.moveaxis(image_HW3, 2, 0) / np.float32(srgb)
    return features.reshape(5, -1)


@_vector
def _sort(planes: Any, order: Any, factors: Any, first: Any, last: Any, out: Any) -> None:
    """Of planes first..last: pixels in `order`, times their factors."""
    for c in range(first, last):
        plane, target = planes[c], out[c]
        for i in range(len(order)):
            target[i] = plane[order[i]] * factors[i]


@_vector
def _add(
    values: Any, sums: Any, order: Any, factors: Any, weight: Any, first: Any, last: Any, out: Any
) -> None:
    """Back again, less the pixel's own value, whose kernel is 1."""
    for c in range(first, last):
        plane = out[c]
        for i in range(len(order)):
            plane[order[i]] += weight * factors[i] * (sums[c, i] - values[c, i])


@_vector
def _compare(
    values: Any, slots: Any, least: Any, first: Any, last: Any,
    told: Any, changes: Any, changed: Any,
) -> None:  # fmt: skip
    """What has changed by more than `least` since it was told; it is told now."""
    classes = values.shape[0]
    for point in range(first, last):
        slot = slots[point]
        greatest = np.float32(0)
        for c in range(classes):
            change = values[c, point] - told[point, c]
            changes[slot, c] = change
            greatest = max(greatest, abs(change))
        changed[slot] = greatest > least[point]
        if changed[slot]:
            for c in range(classes):
                told[point, c] = values[c, point]
