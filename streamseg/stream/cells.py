"""Bilinear interpolation and arg-max in one, cell by cell. Comes in: scores at the nodes of a grid. Goes out: a
label map, exactly the one that interpolating every class at every pixel would give.

Note [Exact shortcuts]: at a pixel, each class has `a * (1 - u) + b * u` of its cell's corners along x, above and
below, and the same of these two along y. Every step rounds, but rounding keeps order: a class that exceeds another
at no corner exceeds it nowhere in the cell. As the first of equals wins, it then cannot win against that other if it
comes after it. If it comes before, rounding may draw it level, so it must be behind by `MARGIN` at every corner. Hence
    1. where one class wins all four corners, none near it, the whole cell is of that class;
    2. elsewhere only those classes are interpolated that no corner's winner beats so. Mostly these are two.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled

Cells = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]
"""Cells along one axis that hold pixels: the node before each; the first pixel of each, and behind them the number of
pixels; and every pixel's weight of the node behind it."""

MARGIN = np.float32(2**-19)
"""Of a score's size. A pixel's score is wrong by at most four roundings of 2**-24 of what it is made from, and so is
the one that it is compared with; what is left is for rounding in the comparison itself."""

TINY = np.float32(1e-30)
"""Smallest size of a score in this, far above where float32 runs out of exponents."""

UNSURE = 256
"""Added to a node's class where an earlier one comes near it."""

ONE = np.float32(1)


def cells_along(left: NDArray[np.int32], weight: NDArray[np.float32]) -> Cells:
    """Group the pixels of one axis, as `interpolation_taps` has them, by their cell."""
    starts = np.flatnonzero(np.diff(left, prepend=-1))
    return left[starts].astype(np.intp), np.append(starts, len(left)), weight


@compiled
def label_cells(scores: Any, rows: Any, columns: Any, labels: Any) -> None:
    """Fill `labels` (H x W uint8).

    Args:
        scores: h x w x classes float32, h and w at least 2, at most 256 classes, no NaN.
        rows, columns: `Cells` of H and of W pixels.
    """
    height, width, classes = scores.shape
    best = np.empty((height, width), np.int16)
    _best_classes(scores, best)
    row_nodes, tops, down = rows
    nodes, lefts, right = columns
    agreed = np.empty(width - 1, np.int16)
    mixed = np.empty(len(nodes), np.intp)
    contenders = np.empty(classes, np.intp)
    widest = 0
    for cell in range(len(nodes)):
        widest = max(widest, lefts[cell + 1] - lefts[cell])
    # By class and column of a cell: scores on its upper and lower edge. And the highest yet of a row.
    upper = np.empty((classes, widest), np.float32)
    lower = np.empty((classes, widest), np.float32)
    highest = np.empty(widest, np.float32)
    for band in range(len(row_nodes)):
        row = row_nodes[band]
        inside = labels[tops[band] : tops[band + 1]]
        weights = down[tops[band] : tops[band + 1]]
        _agree(best[row], best[row + 1], agreed)
        num_mixed = _fill_agreed(agreed, nodes, lefts, inside, mixed)
        for cell in mixed[:num_mixed]:
            column, start, stop = nodes[cell], lefts[cell], lefts[cell + 1]
            num = _contenders(scores, best, row, column, contenders)
            for place in range(num):
                k = contenders[place]
                a, b = scores[row, column, k], scores[row, column + 1, k]
                c, d = scores[row + 1, column, k], scores[row + 1, column + 1, k]
                _between(a, b, right[start:stop], upper[place])
                _between(c, d, right[start:stop], lower[place])
            _fill_mixed(upper, lower, weights, contenders[:num], highest, inside[:, start:stop])


@compiled
def label_nodes(scores: Any, labels: Any) -> None:
    """Arg-max at every node, the first of equals, for a picture that has a pixel on each: nothing is between."""
    height, width = labels.shape
    for row in range(height):
        for column in range(width):
            labels[row, column] = _first_greatest(scores[row, column])


@compiled
def _best_classes(scores: Any, best: Any) -> None:
    """Arg-max at every node, the first of equals; `UNSURE` where an earlier class may draw level."""
    height, width = best.shape
    for row in range(height):
        for column in range(width):
            node = scores[row, column]
            winner = _first_greatest(node)
            limit = _surely_below(node[winner])
            near = 0
            for k in range(winner):
                near += node[k] > limit
            best[row, column] = winner + UNSURE if near else winner


@compiled
def _first_greatest(node: Any) -> Any:
    winner = 0
    highest = node[0]
    for k in range(1, len(node)):
        if node[k] > highest:
            highest = node[k]
            winner = k
    return winner


@compiled
def _surely_below(score: Any) -> Any:
    """What is not above this at any corner is below `score` in the whole cell, however it is rounded."""
    return score - MARGIN * (abs(score) + TINY)


@compiled
def _agree(above: Any, below: Any, agreed: Any) -> None:
    """The class that surely fills each cell between two rows of nodes, or -1."""
    for column in range(len(agreed)):
        k = above[column]
        same = (above[column + 1] == k) & (below[column] == k) & (below[column + 1] == k)
        agreed[column] = k if same & (k < UNSURE) else -1


@compiled
def _fill_agreed(agreed: Any, nodes: Any, lefts: Any, inside: Any, mixed: Any) -> Any:
    """Fill a band's cells of one class, neighbours at once; the number of other cells, listed in `mixed`."""
    first = inside[0]
    num_mixed = 0
    cell = 0
    while cell < len(nodes):
        k = agreed[nodes[cell]]
        behind = cell + 1
        if k < 0:
            mixed[num_mixed] = cell
            num_mixed += 1
        else:
            while behind < len(nodes) and agreed[nodes[behind]] == k:
                behind += 1
            for x in range(lefts[cell], lefts[behind]):
                first[x] = k
        cell = behind
    for y in range(1, len(inside)):
        line = inside[y]
        for x in range(len(line)):
            line[x] = first[x]
    return num_mixed


@compiled
def _contenders(scores: Any, best: Any, row: Any, column: Any, contenders: Any) -> Any:
    """List the classes that may win somewhere in a cell, in order; their number."""
    classes = len(contenders)
    out, won = 1, 2  # bits, by class, before the list is written over them
    for k in range(classes):
        contenders[k] = 0
    for y in range(row, row + 2):
        for x in range(column, column + 2):
            winner = best[y, x] % UNSURE
            if contenders[winner] < won:
                _rule_out(scores, row, column, winner, contenders)
                contenders[winner] = won
    num = 0
    for k in range(classes):
        may_win = contenders[k] != out
        contenders[num] = k
        num += may_win
    return num


@compiled
def _rule_out(scores: Any, row: Any, column: Any, winner: Any, out: Any) -> None:
    """Set a bit for every class that `winner` beats in the whole cell."""
    a, b = scores[row, column], scores[row, column + 1]
    c, d = scores[row + 1, column], scores[row + 1, column + 1]
    most_a, most_b = _surely_below(a[winner]), _surely_below(b[winner])
    most_c, most_d = _surely_below(c[winner]), _surely_below(d[winner])
    for k in range(winner):
        out[k] |= (a[k] <= most_a) & (b[k] <= most_b) & (c[k] <= most_c) & (d[k] <= most_d)
    most_a, most_b, most_c, most_d = a[winner], b[winner], c[winner], d[winner]
    for k in range(winner + 1, len(out)):
        out[k] |= (a[k] <= most_a) & (b[k] <= most_b) & (c[k] <= most_c) & (d[k] <= most_d)


@compiled
def _between(a: Any, b: Any, weights: Any, out: Any) -> None:
    """Interpolate from `a` to `b`. Of the two usual forms the one that keeps order; cv2's, too."""
    for x in range(len(weights)):
        out[x] = a * (ONE - weights[x]) + b * weights[x]


@compiled
def _fill_mixed(
    upper: Any, lower: Any, weights: Any, contenders: Any, highest: Any, inside: Any
) -> None:
    """Arg-max over the contenders at every pixel of a cell."""
    height, width = inside.shape
    for y in range(height):
        weight, rest, line = weights[y], ONE - weights[y], inside[y]
        above, below, k = upper[0], lower[0], np.uint8(contenders[0])
        for x in range(width):
            highest[x] = above[x] * rest + below[x] * weight
            line[x] = k
        for place in range(1, len(contenders)):
            above, below, k = upper[place], lower[place], np.uint8(contenders[place])
            for x in range(width):
                score = above[x] * rest + below[x] * weight
                line[x] = k if score > highest[x] else line[x]
                highest[x] = max(score, highest[x])
