"""Sums over all near pairs of points. Comes in: points in five dimensions, tile by tile, and what changed of their
values. Goes out: how that changes every point's sum. Compiled, without the GIL.

Points are grouped by `LANES`, near to near. Which groups are near each other is found once; a group's points are the
lanes of a vector, those that are near its box come one by one. Kernels are computed anew each time: to store them would
take hundreds of bytes per pixel, and reading takes as long.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.crf.parallel import Threads

LANES = 16
"""Points of a group."""

REACH = 3.7
"""Standard deviations beyond which pairs do not count: there the kernel is about 0.001 and less."""

FAR = np.float32(1e4)
"""Where lanes without a point lie."""

_ONE = np.float32(1)
_vector = partial(compiled, error_model="numpy", fastmath=True)
"""See `pivots`."""

_inner = partial(_vector, inline="always")
"""Where it is called, arrays are known not to overlap: else nothing would become vector instructions."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """Points in groups of up to `LANES`. Made by `group_points`.

    Attributes:
        slots: M; each point's group * LANES + lane.
        features: groups x 5 x LANES.
        boxes: groups x 2 x 5: least and greatest.
        offsets: of each group in `near`, and its length behind them.
        near: which groups are within `REACH` of each.
    """

    slots: NDArray[np.int64]
    features: NDArray[np.float32]
    boxes: NDArray[np.float32]
    offsets: NDArray[np.int64]
    near: NDArray[np.int32]

    def add_sums(
        self,
        values_SC: NDArray[np.float32],
        changed_S: NDArray[np.bool_],
        sums_GCL: NDArray[np.float32],
        threads: Threads,
    ) -> None:
        """Add to every point's sum the values of all near points, times their kernel.

        Args:
            values_SC: per slot; of lanes without a point 0.
            changed_S: the others are left out.
            sums_GCL: groups x C x LANES.
        """
        reach = np.float32(REACH**2)
        changed_GL = changed_S.reshape(-1, LANES)
        any_changed_G = changed_GL.any(1)

        def add(first: int, last: int) -> None:
            _add_sums(
                self.features, self.boxes, self.offsets, self.near,
                values_SC, changed_GL, any_changed_G, reach, first, last, sums_GCL,
            )  # fmt: skip

        threads.each(add, len(self.features))


def group_points(
    features_5M: NDArray[np.float32], starts: NDArray[np.int64], threads: Threads
) -> Groups:
    """Group points, none with those of another tile.

    Args:
        features_5M: in standard deviations of the kernel.
        starts: of each tile among the points, and M behind them.
    """
    order = np.arange(features_5M.shape[1])
    bounds = np.empty(len(order) + 1, np.int64)
    tile_groups = np.empty(len(starts), np.int64)
    count = _split_tiles(features_5M, starts, order, bounds, tile_groups)
    features = np.full((count, 5, LANES), FAR, np.float32)
    boxes = np.empty((count, 2, 5), np.float32)
    slots = np.empty(len(order), np.int64)
    _fill_groups(features_5M, order, bounds, slots, features, boxes)
    firsts = tile_groups[:-1]
    tile_boxes = np.stack(
        [np.minimum.reduceat(boxes[:, 0], firsts), np.maximum.reduceat(boxes[:, 1], firsts)], 1
    )
    counts, nothing = np.zeros(count + 1, np.int64), np.empty(0, np.int32)
    reach = np.float32(REACH**2)
    tiles = boxes, tile_boxes, tile_groups, reach
    threads.each(lambda a, b: _find_near(*tiles, a, b, counts, nothing), len(firsts))
    offsets = np.cumsum(counts)
    near = np.empty(offsets[-1], np.int32)
    threads.each(lambda a, b: _find_near(*tiles, a, b, offsets, near), len(firsts))
    return Groups(slots=slots, features=features, boxes=boxes, offsets=offsets, near=near)


@compiled
def _split_tiles(features: Any, starts: Any, order: Any, bounds: Any, tile_groups: Any) -> Any:
    """Sort `order` within tiles so that groups lie between `bounds`; `tile_groups` gets each tile's first one.

    Returns:
        The number of groups.
    """
    count = 0
    stack = np.empty((64, 2), np.int64)
    for tile in range(len(starts) - 1):
        tile_groups[tile] = count
        stack[0, 0], stack[0, 1] = starts[tile], starts[tile + 1]
        held = 1
        while held > 0:
            held -= 1
            first, last = stack[held, 0], stack[held, 1]
            if last - first <= LANES:
                bounds[count] = first
                count += 1
                continue
            _sort_along_widest(features, order[first:last])
            groups = (last - first + LANES - 1) // LANES
            middle = first + groups // 2 * LANES
            stack[held, 0], stack[held, 1] = middle, last
            stack[held + 1, 0], stack[held + 1, 1] = first, middle
            held += 2
    tile_groups[len(starts) - 1] = count
    bounds[count] = starts[-1]
    return count


@compiled
def _sort_along_widest(features: Any, part: Any) -> None:
    """Sort points by the feature in which they differ most."""
    widest, width = 0, np.float32(-1)
    for k in range(5):
        least = greatest = features[k, part[0]]
        for point in part:
            least = min(least, features[k, point])
            greatest = max(greatest, features[k, point])
        if greatest - least > width:
            widest, width = k, greatest - least
    before = part.copy()
    values = features[widest][before]
    part[:] = before[np.argsort(values)]


@compiled
def _fill_groups(
    points: Any, order: Any, bounds: Any, slots: Any, features: Any, boxes: Any
) -> None:
    for group in range(len(features)):
        first, last = bounds[group], bounds[group + 1]
        for k in range(5):
            boxes[group, 0, k] = boxes[group, 1, k] = points[k, order[first]]
        for i in range(first, last):
            slots[order[i]] = group * LANES + i - first
            for k in range(5):
                value = points[k, order[i]]
                features[group, k, i - first] = value
                boxes[group, 0, k] = min(boxes[group, 0, k], value)
                boxes[group, 1, k] = max(boxes[group, 1, k], value)


@compiled
def _within(one: Any, other: Any, reach: Any) -> Any:
    """Whether the squared distance of two boxes is at most `reach`."""
    squared = np.float32(0)
    for k in range(5):
        gap = max(one[0, k] - other[1, k], other[0, k] - one[1, k])
        if gap > 0:
            squared += gap * gap
            if squared > reach:
                return False
    return True


@compiled
def _find_near(
    boxes: Any, tile_boxes: Any, tile_groups: Any, reach: Any, first: Any, last: Any,
    offsets: Any, near: Any,
) -> None:  # fmt: skip
    """Of the groups of tiles first..last: how many there are behind each one's offset, or, given room, which."""
    tiles = len(tile_boxes)
    close = np.empty(tiles, np.int64)
    for tile in range(first, last):
        num_close = 0
        for other in range(tiles):
            if _within(tile_boxes[tile], tile_boxes[other], reach):
                close[num_close] = other
                num_close += 1
        for group in range(tile_groups[tile], tile_groups[tile + 1]):
            place = start = offsets[group] if len(near) else 0
            for i in range(num_close):
                for other in range(tile_groups[close[i]], tile_groups[close[i] + 1]):
                    if _within(boxes[group], boxes[other], reach):
                        if len(near):
                            near[place] = other
                        place += 1
            if not len(near):
                offsets[group + 1] = place - start


@_inner
def _distances_to_box(features: Any, box: Any, squared: Any) -> None:
    """Squared, of all points of a group to another one's box."""
    zero = np.float32(0)
    x, y, b, g, r = features[0], features[1], features[2], features[3], features[4]
    for lane in range(LANES):
        along = max(max(box[0, 0] - x[lane], x[lane] - box[1, 0]), zero)
        down = max(max(box[0, 1] - y[lane], y[lane] - box[1, 1]), zero)
        blue = max(max(box[0, 2] - b[lane], b[lane] - box[1, 2]), zero)
        green = max(max(box[0, 3] - g[lane], g[lane] - box[1, 3]), zero)
        red = max(max(box[0, 4] - r[lane], r[lane] - box[1, 4]), zero)
        squared[lane] = along**2 + down**2 + blue**2 + green**2 + red**2


@_inner
def _kernels(targets: Any, sources: Any, lane: Any, out: Any) -> None:
    """exp(-d^2 / 2) of one source and a group of targets: a polynomial of 1/32 of that, squared five times."""
    x, y = sources[0, lane], sources[1, lane]
    b, g, r = sources[2, lane], sources[3, lane], sources[4, lane]
    half, sixth, most = np.float32(1 / 2), np.float32(1 / 6), np.float32(1 / 2)
    for t in range(LANES):
        squared = (
            (targets[0, t] - x) ** 2 + (targets[1, t] - y) ** 2 + (targets[2, t] - b) ** 2
            + (targets[3, t] - g) ** 2 + (targets[4, t] - r) ** 2
        )  # fmt: skip
        part = min(squared * np.float32(1 / 64), most)
        value = _ONE - part * (_ONE - part * (half - part * (sixth - part * np.float32(1 / 24))))
        value = value * value
        value = value * value
        value = value * value
        value = value * value
        out[t] = value * value


@_inner
def _add_products(values: Any, sources: Any, kernels: Any, sums: Any) -> None:
    """sums += values of all sources, times their kernels. Eight at a time: a sum is then read and written once for
    eight products, which a loop over them would not achieve.
    """
    for first in range(0, LANES, 8):
        a, b, c, d = kernels[first], kernels[first + 1], kernels[first + 2], kernels[first + 3]
        e, f, g, h = kernels[first + 4], kernels[first + 5], kernels[first + 6], kernels[first + 7]
        s, t, u, v = sources[first], sources[first + 1], sources[first + 2], sources[first + 3]
        w, x, y, z = sources[first + 4], sources[first + 5], sources[first + 6], sources[first + 7]
        for k in range(sums.shape[0]):
            row = sums[k]
            i, j, m, n = values[s, k], values[t, k], values[u, k], values[v, k]
            o, p, q, r = values[w, k], values[x, k], values[y, k], values[z, k]
            for lane in range(LANES):
                row[lane] += (
                    i * a[lane] + j * b[lane] + m * c[lane] + n * d[lane]
                    + o * e[lane] + p * f[lane] + q * g[lane] + r * h[lane]
                )  # fmt: skip


@_vector
def _add_sums(
    features: Any, boxes: Any, offsets: Any, near: Any, values: Any, changed: Any,
    any_changed: Any, reach: Any, first: Any, last: Any, sums: Any,
) -> None:  # fmt: skip
    kernels = np.zeros((LANES, LANES), np.float32)
    sources = np.zeros(LANES, np.int64)
    squared = np.empty(LANES, np.float32)
    for group in range(first, last):
        held = 0
        for place in range(offsets[group], offsets[group + 1]):
            other = near[place]
            if not any_changed[other]:
                continue
            _distances_to_box(features[other], boxes[group], squared)
            for lane in range(LANES):
                if squared[lane] <= reach and changed[other, lane]:
                    sources[held] = other * LANES + lane
                    _kernels(features[group], features[other], lane, kernels[held])
                    held += 1
                    if held == LANES:
                        _add_products(values, sources, kernels, sums[group])
                        held = 0
        if held > 0:
            kernels[held:] = np.float32(0)
            _add_products(values, sources, kernels, sums[group])
