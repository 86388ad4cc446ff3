"""Messages by nearness alone. Comes in: values of all pixels, plane by plane. Goes out: for each pixel, the sum of the
others' values by a Gaussian of their distance, normalised (see `reference`). Separable, so exact. Compiled, without
the GIL.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.crf.parallel import Threads

REACH = 5.0
"""Standard deviations beyond which weights are left out: they are below what float32 can tell from 0 beside 1."""

_vector = partial(compiled, error_model="numpy", fastmath=True)


class GaussianFilter:
    """For pictures of `size` (height, width).

    Args:
        sxy: standard deviation, pixels.
        weight: of the messages.
    """

    def __init__(self, size: tuple[int, int], sxy: float, weight: float) -> None:
        self._weight = np.float32(weight)
        self._taps, self._factors = [], []
        for side in size:
            distances = np.arange(min(side, int(REACH * sxy) + 1))
            taps = np.exp(-0.5 * (distances / sxy) ** 2)
            within = np.cumsum(taps)  # on one side, up to each distance, with the pixel itself
            after = within[np.minimum(np.arange(side)[::-1], len(taps) - 1)]
            sums = after + after[::-1] - 1
            self._taps.append(taps.astype(np.float32))
            self._factors.append((1 / np.sqrt(sums)).astype(np.float32))

    def add(
        self,
        values_CHW: NDArray[np.float32],
        out_CHW: NDArray[np.float32],
        threads: Threads,
    ) -> None:
        """Add weight times the messages to `out_CHW`."""
        parts = *self._taps, *self._factors, self._weight

        def add(first: int, last: int) -> None:
            for values, out in zip(values_CHW[first:last], out_CHW[first:last], strict=True):
                _add(values, *parts, out)

        threads.each(add, len(values_CHW))


@_vector
def _add(
    values: Any, column_taps: Any, row_taps: Any, column_factors: Any, row_factors: Any,
    weight: Any, out: Any,
) -> None:  # fmt: skip
    height, width = values.shape
    margin = len(row_taps) - 1
    mixed = np.zeros(width + 2 * margin, np.float32)
    middle = mixed[margin : margin + width]
    total = np.empty(width, np.float32)
    for y in range(height):
        middle[:] = np.float32(0)
        for other in range(max(0, y - len(column_taps) + 1), min(height, y + len(column_taps))):
            row, factor = values[other], column_taps[abs(other - y)] * column_factors[other]
            for x in range(width):
                middle[x] += factor * row[x]
        for x in range(width):
            middle[x] *= row_factors[x]
            total[x] = middle[x]
        for distance in range(1, margin + 1):
            tap = row_taps[distance]
            left, right = mixed[margin - distance :], mixed[margin + distance :]
            for x in range(width):
                total[x] += tap * (left[x] + right[x])
        for x in range(width):
            factor = column_factors[y] * row_factors[x]
            out[y, x] += weight * factor * (total[x] - factor * values[y, x])
