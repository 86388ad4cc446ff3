"""Steps from picture to picture, put together and turned round. Comes in: how far things have come, and one step
more. Goes out: how far they have come now. Compiled, without the GIL.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.frames import CELL

ROUNDS = 2
"""Of `inverse`: cells of one thing differ by a fraction of their size, so that little error is left."""


def compose(carried: NDArray[np.float32], step: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where things were in an older picture, one picture later.

    Args:
        carried: cells x cells x 2 (x, y), pixels: from the picture before to the older one.
        step: likewise, from this picture to the one before.

    Returns:
        From this picture to the older one: step + carried where the step leads, bilinearly; beyond the border, as at
        the border.

    Raises:
        ValueError: fields of two sizes.
    """
    if carried.shape != step.shape:
        raise ValueError(f"expected two fields of one size, got {carried.shape} and {step.shape}")
    out = np.empty_like(step)
    _compose(carried, step, out)
    return out


def inverse(step: NDArray[np.float32]) -> NDArray[np.float32]:
    """The way back: where what is in the picture before is in this one.

    Args:
        step: cells x cells x 2 (x, y), pixels: where what is in this picture was in the one before.

    Returns:
        Likewise, the other way: at every cell b with step(cell + b) + b = 0, by `ROUNDS` fixed-point iterations from
        b = -step. Each makes the error smaller by how much the step differs from pixel to pixel: exact where all moves
        alike, and rough at the edges of what moves by itself, where some of it has no way back at all.
    """
    back = np.empty_like(step)
    _inverse(step, back)
    return back


@compiled
def _at(field: Any, row: Any, column: Any, dx: Any, dy: Any) -> Any:
    """(x, y) of a field, bilinearly, (dx, dy) pixels from the middle of a cell; beyond the border, at the border."""
    rows, columns, _ = field.shape
    one, cells = np.float32(1), np.float32(1 / CELL)
    y = min(max(np.float32(row) + dy * cells, np.float32(0)), np.float32(rows - 1))
    x = min(max(np.float32(column) + dx * cells, np.float32(0)), np.float32(columns - 1))
    y0, x0 = np.uint32(y), np.uint32(x)
    y1 = min(y0 + np.uint32(1), np.uint32(rows - 1))
    x1 = min(x0 + np.uint32(1), np.uint32(columns - 1))
    down, across = y - np.float32(y0), x - np.float32(x0)
    a, b = (one - down) * (one - across), (one - down) * across
    c, d = down * (one - across), down * across
    first, second, third, fourth = field[y0, x0], field[y0, x1], field[y1, x0], field[y1, x1]
    return (
        a * first[0] + b * second[0] + c * third[0] + d * fourth[0],
        a * first[1] + b * second[1] + c * third[1] + d * fourth[1],
    )


@compiled
def _inverse(step: Any, out: Any) -> None:
    rows, columns, _ = step.shape
    for row in range(rows):
        for column in range(columns):
            dx, dy = -step[row, column, 0], -step[row, column, 1]
            for _ in range(ROUNDS):
                x, y = _at(step, row, column, dx, dy)
                dx, dy = -x, -y
            out[row, column, 0], out[row, column, 1] = dx, dy


@compiled
def _compose(carried: Any, step: Any, out: Any) -> None:
    rows, columns, _ = step.shape
    for row in range(rows):
        for column in range(columns):
            dx, dy = step[row, column, 0], step[row, column, 1]
            x, y = _at(carried, row, column, dx, dy)
            out[row, column, 0], out[row, column, 1] = dx + x, dy + y
