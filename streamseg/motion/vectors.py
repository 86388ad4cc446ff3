"""Motion vectors of one coded picture, in cells. Comes in: FFmpeg's records, of the stored picture. Goes out: per cell
of the upright picture the sum of the vectors that touch it, and their number. Compiled, without the GIL.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.frames import CELL

if TYPE_CHECKING:
    from streamseg.picture.orientation import Orientation

VECTOR = np.dtype(
    [
        ("source", np.int32),
        *(("w", np.uint8), ("h", np.uint8)),
        *(("src_x", np.int16), ("src_y", np.int16), ("dst_x", np.int16), ("dst_y", np.int16)),
        ("flags", np.uint64),
        *(("motion_x", np.int32), ("motion_y", np.int32), ("motion_scale", np.uint16)),
    ],
    align=True,
)
"""FFmpeg's AVMotionVector, as PyAV gives it."""

PAST, FUTURE = 0, 1
"""Where a vector leads: to a picture that is shown earlier, or later. Which one, FFmpeg does not tell."""


def in_cells(
    vectors: NDArray[np.void],
    grid: tuple[int, int],
    size: tuple[int, int],
    orientation: "Orientation",
) -> NDArray[np.float32]:
    """What touches each cell.

    Args:
        vectors: FFmpeg's AVMotionVector records: what is at dst, the middle of a block of w x h pixels, was (or will
            be) at dst + motion / motion_scale.
        grid: (rows, columns) of the cells.
        size: (height, width) of the upright picture. orientation: how the stored one was turned.

    Returns:
        2 (`PAST`, `FUTURE`) x rows x columns x 3: sums of x and of y in pixels, number of vectors.
    """
    sums = np.zeros((2, *grid, 3), np.float32)
    turn = (orientation.transposed, orientation.mirrored, orientation.flipped)
    _add(vectors, turn, size[0], size[1], sums)
    return sums


@compiled
def _add(vectors: Any, turn: Any, height: Any, width: Any, sums: Any) -> None:
    transposed, mirrored, flipped = turn
    _, rows, columns, _ = sums.shape
    for index in range(len(vectors)):
        vector = vectors[index]
        share = np.float32(1) / np.float32(max(vector["motion_scale"], 1))
        dx = np.float32(vector["motion_x"]) * share
        dy = np.float32(vector["motion_y"]) * share
        x: Any = np.int64(vector["dst_x"])
        y: Any = np.int64(vector["dst_y"])
        w: Any = np.int64(vector["w"])
        h: Any = np.int64(vector["h"])
        if transposed:
            dx, dy, x, y, w, h = dy, dx, y, x, h, w
        if mirrored:
            dx, x = -dx, width - x
        if flipped:
            dy, y = -dy, height - y
        left, top = x - w // 2, y - h // 2
        first_row, last_row = top // CELL, (top + h - 1) // CELL
        first_column, last_column = left // CELL, (left + w - 1) // CELL
        cells = sums[PAST if vector["source"] < 0 else FUTURE]
        for row in range(max(first_row, 0), min(last_row + 1, rows)):
            for column in range(max(first_column, 0), min(last_column + 1, columns)):
                cells[row, column, 0] += dx
                cells[row, column, 1] += dy
                cells[row, column, 2] += 1
