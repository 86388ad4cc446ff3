"""Few points that stand for a tile of them. Comes in: points, tile by tile. Goes out: those kept, and how to make
values of all points into values of these and back. Compiled, without the GIL.

Note [Pivots]: a Gaussian kernel over points that lie close together is nearly of low rank. Pivoted Cholesky
decomposition of the tile's own kernel matrix picks points one by one, each time the one that those picked explain
worst, until each is explained to `tolerance`: k(x, y) = sum over pivots s of w_s(x) k(s, y), for any y at all, with an
error of at most sqrt(tolerance (1 - what is explained of y)). So K = W k(pivots, pivots) W^T, W being one small matrix
per tile. Where a tile is all texture, and every point unlike the others, all are kept, and nothing is approximated.
What is kept of four neighbouring tiles can be taken for the points of one larger tile, and so on, as long as tiles are
small against the kernel.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.crf.parallel import Threads

TILE = 8
"""Pixels along the sides of the smallest tiles."""

MOST_POINTS = 320
"""Of a tile: of more, all are kept. Choosing takes time by the cube of this."""

WORTHWHILE = 0.75
"""Of a tile's points: where more would have to be kept, all are."""

LOOK = 16
"""Pivots between two looks at whether it can still become worthwhile."""

_HALF, _MINUS_HALF, _ONE = np.float32(0.5), np.float32(-0.5), np.float32(1)

_vector = partial(compiled, error_model="numpy", fastmath=True)
"""Sums in any order, so that they become vector instructions. All that comes in is finite."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pivots:
    """Of tiles of n points, m are kept. Made by `choose_pivots`.

    Attributes:
        starts: of each tile among the points, and n behind them.
        kept: of each tile among those kept, and m behind them.
        offsets: of each tile's matrix in `weights`, row by row: pivots x points. A tile that keeps all has none.
        chosen: m; which points are kept.
    """

    starts: NDArray[np.int64]
    kept: NDArray[np.int64]
    offsets: NDArray[np.int64]
    weights: NDArray[np.float32]
    chosen: NDArray[np.int64]

    def collect(self, values_CN: NDArray[np.float32], threads: Threads) -> NDArray[np.float32]:
        """W^T of the values: C x m."""
        out = np.empty((len(values_CN), len(self.chosen)), np.float32)
        tiles = self.starts, self.kept, self.offsets, self.weights
        threads.each(lambda a, b: _collect(*tiles, values_CN, a, b, out), len(self.offsets))
        return out

    def spread(self, values_CM: NDArray[np.float32], threads: Threads) -> NDArray[np.float32]:
        """W of the values: C x n."""
        out = np.empty((len(values_CM), self.starts[-1]), np.float32)
        tiles = self.starts, self.kept, self.offsets, self.weights
        threads.each(lambda a, b: _spread(*tiles, values_CM, a, b, out), len(self.offsets))
        return out


def choose_pivots(
    features_5N: NDArray[np.float32],
    starts: NDArray[np.int64],
    tolerance: float,
    threads: Threads,
) -> Pivots:
    """Choose in every tile, see Note [Pivots].

    Args:
        features_5N: in standard deviations of the kernel.
        starts: see `Pivots`.
        tolerance: 0..1.
    """
    points = np.diff(starts)
    most = (WORTHWHILE * points).astype(np.int64)
    room = np.where(points <= MOST_POINTS, most * points, 0)
    offsets = np.cumsum(room) - room
    weights = np.empty(int(room.sum()), np.float32)
    picked, counts = np.empty(starts[-1], np.int64), np.empty(len(points), np.int64)

    def choose(first: int, last: int) -> None:
        _choose(
            features_5N, starts, most, offsets, np.float32(tolerance), first, last,
            picked, counts, weights,
        )  # fmt: skip

    threads.each(choose, len(points))
    kept = np.concatenate([[0], np.cumsum(counts)])
    place = np.arange(kept[-1]) - np.repeat(kept[:-1] - starts[:-1], counts)
    return Pivots(starts=starts, kept=kept, offsets=offsets, weights=weights, chosen=picked[place])


@_vector
def _choose(
    features: Any, starts: Any, most: Any, offsets: Any, tolerance: Any, first: Any, last: Any,
    picked: Any, counts: Any, weights: Any,
) -> None:  # fmt: skip
    """Fill `picked` (from each tile's start on), `counts` and `weights` of tiles first..last."""
    rows = np.empty((MOST_POINTS, MOST_POINTS), np.float32)
    pivots = np.empty(MOST_POINTS, np.int64)
    for tile in range(first, last):
        start = starts[tile]
        points = starts[tile + 1] - start
        count = points
        if points <= MOST_POINTS:
            tile_features = features[:, start : start + points]
            count = _decompose(tile_features, tolerance, most[tile], rows, pivots)
        counts[tile] = count
        if count == points:
            for i in range(points):
                picked[start + i] = start + i
            continue
        _interpolate(rows, pivots, count, points)
        for k in range(count):
            picked[start + k] = start + pivots[k]
            row = rows[k]
            place = offsets[tile] + k * points
            for i in range(points):
                weights[place + i] = row[i]


@_vector
def _decompose(features: Any, tolerance: Any, most: Any, rows: Any, pivots: Any) -> Any:
    """Pivoted Cholesky: `rows` becomes R with K = R^T R, to `tolerance`.

    Returns:
        The number of pivots; of points, if they are more than `most`.
    """
    points = features.shape[1]
    rest = np.ones(points, np.float32)
    for count in range(most + 1):
        worst, unexplained = 0, 0
        for i in range(points):
            if rest[i] > rest[worst]:
                worst = i
            unexplained += rest[i] > _HALF
        if rest[worst] <= tolerance:
            return count
        hopeless = count > 0 and count % LOOK == 0 and count + unexplained > most
        if count == most or hopeless:
            return points
        row = rows[count]
        _kernel_row(features, worst, row)
        for k in range(count):
            above = rows[k]
            factor = above[worst]
            for i in range(points):
                row[i] -= factor * above[i]
        scale = _ONE / np.sqrt(rest[worst])
        for i in range(points):
            value = row[i] * scale
            row[i] = value
            rest[i] -= value * value
        rest[worst] = np.float32(0)
        pivots[count] = worst
    return points


@_vector
def _kernel_row(features: Any, at: Any, row: Any) -> None:
    """Kernel of one point with all of its tile."""
    x, y, b, g, r = features[0], features[1], features[2], features[3], features[4]
    for i in range(features.shape[1]):
        squared = (
            (x[i] - x[at]) ** 2 + (y[i] - y[at]) ** 2
            + (b[i] - b[at]) ** 2 + (g[i] - g[at]) ** 2 + (r[i] - r[at]) ** 2
        )  # fmt: skip
        row[i] = np.exp(_MINUS_HALF * squared)


@_vector
def _interpolate(rows: Any, pivots: Any, count: Any, points: Any) -> None:
    """R becomes W^T: R's columns at the pivots are upper triangular, so from the last row to the first."""
    for j in range(count - 1, -1, -1):
        row = rows[j]
        for k in range(j + 1, count):
            factor = row[pivots[k]]
            below = rows[k]
            for i in range(points):
                row[i] -= factor * below[i]
        scale = _ONE / row[pivots[j]]
        for i in range(points):
            row[i] *= scale


@_vector
def _collect(
    starts: Any, kept: Any, offsets: Any, weights: Any, values: Any, first: Any, last: Any, out: Any
) -> None:
    for tile in range(first, last):
        start, target = starts[tile], kept[tile]
        points, count = starts[tile + 1] - start, kept[tile + 1] - target
        for c in range(values.shape[0]):
            source = values[c, start : start + points]
            if count == points:
                out[c, target : target + count] = source
                continue
            for k in range(count):
                place = offsets[tile] + k * points
                row = weights[place : place + points]
                total = np.float32(0)
                for i in range(points):
                    total += row[i] * source[i]
                out[c, target + k] = total


@_vector
def _spread(
    starts: Any, kept: Any, offsets: Any, weights: Any, values: Any, first: Any, last: Any, out: Any
) -> None:
    for tile in range(first, last):
        start, source = starts[tile], kept[tile]
        points, count = starts[tile + 1] - start, kept[tile + 1] - source
        for c in range(values.shape[0]):
            target = out[c, start : start + points]
            if count == points:
                target[:] = values[c, source : source + count]
                continue
            target[:] = np.float32(0)
            for k in range(count):
                place = offsets[tile] + k * points
                row = weights[place : place + points]
                value = values[c, source + k]
                for i in range(points):
                    target[i] += value * row[i]
