"""Fields from codec vectors. Comes in: the vectors of consecutive pictures, in the order they are shown, and their
luma. Goes out: the step from each to the one before.

A vector leads to *some* picture shown earlier or later; FFmpeg tells no more. Things are taken to move evenly, so
that a vector to the third picture before counts a third. How far away the pictures are that vectors lead to is found
per picture, by trying: the distance with which the luma fits best. Likewise each cell chooses between its vector to the
past, that to the future, and where both fit badly what its neighbours chose and how it moved before.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.frames import CodecMotion
from streamseg.motion.cells import difference
from streamseg.motion.vectors import in_cells

if TYPE_CHECKING:
    from streamseg.picture.orientation import Orientation

FARTHEST = 8
"""Pictures: encoders rarely put more than seven B-pictures in a row."""

SAMPLES = 512
"""Cells that vote on a distance, about."""

ENOUGH = 3.0
"""Levels: noise and coding alone differ by as much, so that nothing better is looked for."""

ENOUGH_IF_CERTAIN = 8.0
"""Levels, where a vector leads to the picture before, but for rare other references: the encoder knew more than these
squares do."""

ALIKE = 0.5
"""Pixels: motions that are not told apart."""


class CodecSteps:
    """Finds the step of each picture of one stream, and remembers what the next one needs."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._between = 0

    def step(
        self,
        motion: CodecMotion,
        before: NDArray[np.uint8],
        size: tuple[int, int],
        orientation: "Orientation",
    ) -> tuple[NDArray[np.float32], float, float]:
        """The next picture's.

        Args:
            motion: its vectors and luma. Without vectors, it is taken to move on as the one before did.
            before: `luma` of the picture shown before.
            size: (height, width) of the upright picture. orientation: how the stored one was turned.

        Returns:
            cells x cells x 2, as `Step.field` has it; the share of the cells without a vector of their own; the mean
            `difference` that is left.
        """
        now = motion.luma
        nearest = self._between + 1
        self._between = nearest if motion.kind == "B" else 0
        certain = motion.kind == "P" and nearest == 1
        enough = np.float32(ENOUGH_IF_CERTAIN if certain else ENOUGH)
        field = np.zeros((now.shape[0] // 2, now.shape[1] // 2, 2), np.float32)
        misfits = np.full(field.shape[:2], np.inf, np.float32)
        if motion.vectors is not None:
            past, future = in_cells(motion.vectors, field.shape[:2], size, orientation)
            distance = _distance(past, 1, min(nearest, FARTHEST), now, before)
            _try_own(past, np.float32(1 / distance), now, before, enough, field, misfits)
            if motion.kind == "B":
                distance = _distance(future, -1, FARTHEST, now, before)
                _try_own(future, np.float32(1 / distance), now, before, enough, field, misfits)
        unknown = np.count_nonzero(np.isinf(misfits)) / misfits.size
        last = field if self._last is None else self._last
        _try_others(last, False, now, before, enough, field, misfits)
        _try_others(field, True, now, before, enough, field, misfits)
        self._last = field
        return field, unknown, float(misfits.mean())


def _distance(
    sums: NDArray[np.float32],
    sign: int,
    farthest: int,
    now: NDArray[np.uint8],
    before: NDArray[np.uint8],
) -> int:
    """How many pictures away vectors lead, 1..farthest: with which divisor the luma fits best."""
    if farthest == 1:
        return sign
    every = max(1, round((sums.shape[0] * sums.shape[1] / SAMPLES) ** 0.5))
    misfits = [
        _misfit(sums, np.float32(sign / distance), every, now, before)
        for distance in range(1, farthest + 1)
    ]
    return sign * (1 + misfits.index(min(misfits)))


@compiled
def _misfit(sums: Any, share: Any, every: Any, now: Any, before: Any) -> Any:
    rows, columns, _ = sums.shape
    total = np.float32(0)
    for row in range(0, rows, every):
        for column in range(0, columns, every):
            count = sums[row, column, 2]
            if count:
                dx, dy = sums[row, column, 0] / count * share, sums[row, column, 1] / count * share
                total += difference(now, before, row, column, dx, dy)
    return total


@compiled
def _try_own(
    sums: Any, share: Any, now: Any, before: Any, enough: Any, field: Any, misfits: Any
) -> None:
    """Where a cell has vectors, and these fit better than what `field` has so far. Of two cells of one block, which
    have the same vector, the second fits if the first does: looking at half of them is enough.
    """
    rows, columns, _ = field.shape
    for row in range(rows):
        x, y, misfit = np.float32(0), np.float32(0), np.float32(np.inf)
        for column in range(columns):
            count, least = sums[row, column, 2], misfits[row, column]
            if count == 0 or least <= enough:
                continue
            scale = share / count
            dx, dy = sums[row, column, 0] * scale, sums[row, column, 1] * scale
            if column % 2 == 0 or dx != x or dy != y or misfit > enough:
                misfit = difference(now, before, row, column, dx, dy)
            x, y = dx, dy
            if misfit < least:
                field[row, column, 0], field[row, column, 1] = dx, dy
                misfits[row, column] = misfit


@compiled
def _try_others(
    last: Any, backwards: Any, now: Any, before: Any, enough: Any, field: Any, misfits: Any
) -> None:
    """Where how the two neighbours move that come first, or the step before, fits better: good motions spread."""
    rows, columns, _ = field.shape
    for i in range(rows):
        row, earlier_row = i, max(i - 1, 0)
        if backwards:
            row, earlier_row = rows - 1 - i, min(rows - i, rows - 1)
        for j in range(columns):
            column, earlier = j, max(j - 1, 0)
            if backwards:
                column, earlier = columns - 1 - j, min(columns - j, columns - 1)
            least = misfits[row, column]
            if least <= enough:
                continue
            x, y = field[row, column, 0], field[row, column, 1]
            for candidate in range(3):
                if candidate == 0:
                    dx, dy = field[row, earlier, 0], field[row, earlier, 1]
                elif candidate == 1:
                    dx, dy = field[earlier_row, column, 0], field[earlier_row, column, 1]
                else:
                    dx, dy = last[row, column, 0], last[row, column, 1]
                if abs(x - dx) + abs(y - dy) < np.float32(ALIKE) and least < np.inf:
                    continue
                misfit = difference(now, before, row, column, dx, dy)
                if misfit < least:
                    x, y, least = dx, dy, misfit
                    if least <= enough:
                        break
            field[row, column, 0], field[row, column, 1] = x, y
            misfits[row, column] = least
