"""A picture's luma in squares of 4 pixels, four to a cell: enough to tell which of two motions explains it better.

Comes in: a luma plane, and a motion. Goes out: means, and how well the one before explains this one. Compiled, without
the GIL.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.frames import CELL

SQUARE = CELL // 2
"""Pixels: finer squares judge a motion no better, whole cells do worse."""


def grid(size: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of the cells of a picture of (height, width); the last ones may stick out."""
    return -(-size[0] // CELL), -(-size[1] // CELL)


def squares(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean luma of each square of the picture's cells: twice as many rows and columns as cells. The border goes on
    beyond the picture.
    """
    rows, columns = grid((luma.shape[0], luma.shape[1]))
    out = np.empty((2 * rows, 2 * columns), np.uint8)
    _means(luma, out)
    return out


@compiled
def _means(luma: Any, out: Any) -> None:
    height, width = luma.shape
    rows, columns = out.shape
    sums = np.empty(SQUARE * columns, np.uint16)
    for row in range(rows):
        # Written out, for then it takes a fifth of the time.
        y = SQUARE * row
        a, b = luma[min(y, height - 1)], luma[min(y + 1, height - 1)]
        c, d = luma[min(y + 2, height - 1)], luma[min(y + 3, height - 1)]
        for x in range(width):
            sums[x] = np.uint16(a[x]) + np.uint16(b[x]) + np.uint16(c[x]) + np.uint16(d[x])
        sums[width:] = sums[width - 1]
        for column in range(columns):
            x = SQUARE * column
            total = np.uint32(sums[x]) + np.uint32(sums[x + 1])
            total += np.uint32(sums[x + 2]) + np.uint32(sums[x + 3])
            out[row, column] = np.uint8((total + np.uint32(8)) >> np.uint32(4))


def contrast(means: NDArray[np.uint8]) -> float:
    """Standard deviation of `squares`."""
    total, total_of_squared = _sums(means)
    return float(max(0.0, total_of_squared / means.size - (total / means.size) ** 2) ** 0.5)


@compiled
def _sums(means: Any) -> Any:
    rows, columns = means.shape
    total = total_of_squared = np.int64(0)
    for row in range(rows):
        of_row, of_row_squared = np.uint32(0), np.uint32(0)
        for column in range(columns):
            value = np.uint32(means[row, column])
            of_row += value
            of_row_squared += value * value
        total += np.int64(of_row)
        total_of_squared += np.int64(of_row_squared)
    return total, total_of_squared


@compiled
def difference(now: Any, before: Any, row: Any, column: Any, dx: Any, dy: Any) -> Any:
    """How badly a motion explains one cell: of two of its squares, on the diagonal, the mean absolute difference.

    In integers, for this is where the time goes: places to 1/64 of a square, samples weighted to 1/4096.

    Args:
        now, before: `squares` of this picture and of the one before.
        dx, dy: pixels, to where the cell was. Beyond the border it is as at the border.

    Returns:
        float32, 0..255.
    """
    height, width = before.shape
    down = 128 * row + np.int64(np.floor(dy * np.float32(64 // SQUARE)))
    across = 128 * column + np.int64(np.floor(dx * np.float32(64 // SQUARE)))
    down, across = min(max(down, 0), 64 * (height - 2)), min(max(across, 0), 64 * (width - 2))
    y0, x0 = np.uint64(down >> 6), np.uint64(across >> 6)
    y1, x1 = y0 + np.uint64(1), x0 + np.uint64(1)
    y2, x2 = (
        min(y0 + np.uint64(2), np.uint64(height - 1)),
        min(x0 + np.uint64(2), np.uint64(width - 1)),
    )
    down, across = np.int32(down & 63), np.int32(across & 63)
    d = down * across
    b, c = 64 * across - d, 64 * down - d
    a = 4096 - b - c - d
    first = a * before[y0, x0] + b * before[y0, x1] + c * before[y1, x0] + d * before[y1, x1]
    second = a * before[y1, x1] + b * before[y1, x2] + c * before[y2, x1] + d * before[y2, x2]
    y, x = np.uint64(2 * row), np.uint64(2 * column)
    first -= np.int64(now[y, x]) << 12
    second -= np.int64(now[y + np.uint64(1), x + np.uint64(1)]) << 12
    return np.float32(abs(first) + abs(second)) * np.float32(1 / 8192)


@compiled
def residual(now: Any, before: Any, field: Any) -> Any:
    """Mean `difference` of all cells, each moved by `field` (cells x cells x 2)."""
    rows, columns, _ = field.shape
    total = 0.0
    for row in range(rows):
        for column in range(columns):
            dx, dy = field[row, column, 0], field[row, column, 1]
            total += difference(now, before, row, column, dx, dy)
    return total / (rows * columns)
