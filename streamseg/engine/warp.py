"""Features of an older picture where its contents are now, on the CPU. `torch_warp` is the same on GPUs.

Comes in: h x w x C features, and where each cell of the picture was. Goes out: features at the finer size that
`refine` takes. Runs on the caller's thread, compiled, without the GIL.

Each fine node is looked up once, bilinearly, at its own place in the older features: moving first and interpolating
afterwards would blur twice.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.frames import CELL, Displacement

STILL = Displacement(field=np.zeros((1, 1, 2), np.float32), size=(1, 1))
"""Nothing moved: what a segmentation keyframe's own features are interpolated with."""


def move(
    features: NDArray[np.float32],
    displacement: Displacement,
    align_corners: bool,
    out: NDArray[np.float32],
) -> None:
    """Fill `out` with features, each from where it was; beyond the older picture's border, from the border.

    Args:
        features: h x w x C, C-contiguous, as `context` gave them.
        displacement: see there.
        align_corners: how the grids of features and `out` lie on the picture.
        out: fine h x w x C, C-contiguous.
    """
    (rows, row_scale), (columns, column_scale) = (
        places(side, features.shape[axis], out.shape[axis], align_corners)
        for axis, side in enumerate(displacement.size)
    )
    _move(features, displacement.field, rows, columns, row_scale, column_scale, out)


def places(
    side: int, coarse: int, fine: int, align_corners: bool
) -> tuple[NDArray[np.float32], np.float32]:
    """Where fine nodes lie along one side of the picture.

    Args:
        side: of the picture, in pixels; coarse, fine: nodes.

    Returns:
        fine x 2: in cells, in coarse nodes; and how many coarse nodes a pixel is.
    """
    index = np.arange(fine)
    if align_corners:
        share = index / max(fine - 1, 1)
        nodes, pixels = share * (coarse - 1), share * (side - 1)
        scale = (coarse - 1) / max(side - 1, 1)
    else:
        share = (index + 0.5) / fine
        nodes, pixels = share * coarse - 0.5, share * side - 0.5
        scale = coarse / side
    cells = (pixels + 0.5) / CELL - 0.5
    return np.stack([cells, nodes], 1).astype(np.float32), np.float32(scale)


@compiled
def _between(place: Any, count: Any) -> Any:
    """(node below, node above, weight of the one above) at a place among `count` nodes, kept inside."""
    place = min(max(place, np.float32(0)), np.float32(count - 1))
    low = np.uint32(place)
    return low, min(low + np.uint32(1), np.uint32(count - 1)), place - np.float32(low)


@compiled
def _move(
    features: Any, field: Any, rows: Any, columns: Any, row_scale: Any, column_scale: Any, out: Any
) -> None:
    height, width, channels = features.shape
    one = np.float32(1)
    for i in range(out.shape[0]):
        top, bottom, down = _between(rows[i, 0], field.shape[0])
        for j in range(out.shape[1]):
            left, right, across = _between(columns[j, 0], field.shape[1])
            a, b = (one - down) * (one - across), (one - down) * across
            c, d = down * (one - across), down * across
            dx = (
                a * field[top, left, 0] + b * field[top, right, 0]
                + c * field[bottom, left, 0] + d * field[bottom, right, 0]
            )  # fmt: skip
            dy = (
                a * field[top, left, 1] + b * field[top, right, 1]
                + c * field[bottom, left, 1] + d * field[bottom, right, 1]
            )  # fmt: skip
            y0, y1, fy = _between(rows[i, 1] + dy * row_scale, height)
            x0, x1, fx = _between(columns[j, 1] + dx * column_scale, width)
            a, b = (one - fy) * (one - fx), (one - fy) * fx
            c, d = fy * (one - fx), fy * fx
            first, second = features[y0, x0], features[y0, x1]
            third, fourth = features[y1, x0], features[y1, x1]
            node = out[i, j]
            for k in range(channels):
                node[k] = a * first[k] + b * second[k] + c * third[k] + d * fourth[k]
