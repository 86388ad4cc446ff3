"""Features of other pictures where their contents are in this one, on the CPU. `torch_warp` is the same on GPUs.

Comes in: h x w x C features of one picture or two, and where each cell of this picture is in them. Goes out: features
at the finer size that `refine` takes. Runs on the caller's thread, compiled, without the GIL.

Each fine node is looked up once, bilinearly, at its own place in the other features: moving first and interpolating
afterwards would blur twice.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.frames import CELL, Displacement, Moved

STILL = Displacement(field=np.zeros((1, 1, 2), np.float32), size=(1, 1))
"""Nothing moved: what a segmentation keyframe's own features are interpolated with."""


def move(moved: Sequence[Moved], align_corners: bool, out: NDArray[np.float32]) -> None:
    """Fill `out` with features, each from where it is; beyond the other picture's border, from the border.

    Args:
        moved: features of one picture or two, h x w x C, C-contiguous, as `context` gave them. Of two see
            `Engine.refine`; if a node is in view in neither, both count by their shares.
        align_corners: how the grids of features and `out` lie on the picture.
        out: fine h x w x C, C-contiguous.

    Raises:
        ValueError: of no picture, or of more than two.
    """
    if not 1 <= len(moved) <= 2:
        raise ValueError(f"expected features of one picture or two, got {len(moved)}")
    shape = (out.shape[0], out.shape[1])
    maps = [one.features for one in moved]
    roads = [_road(one, shape, align_corners) for one in moved]
    if len(moved) == 1:
        _move(maps[0], roads[0], out)
    else:
        share = moved[1].share / (moved[0].share + moved[1].share)
        _blend(maps[0], roads[0], maps[1], roads[1], np.float32(share), out)


def _road(moved: Moved, fine: tuple[int, int], align_corners: bool) -> tuple[Any, ...]:
    """What the loops must know to find a fine node's place: its field, where nodes lie, scales and the picture's
    sides in cells.
    """
    displacement = moved.displacement or STILL
    height, width = displacement.size
    coarse = moved.features.shape
    rows, row_scale = places(height, coarse[0], fine[0], align_corners)
    columns, column_scale = places(width, coarse[1], fine[1], align_corners)
    ends = np.float32(height / CELL - 0.5), np.float32(width / CELL - 0.5)
    return displacement.field, rows, columns, row_scale, column_scale, *ends


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
def _place(road: Any, i: Any, j: Any, height: Any, width: Any) -> Any:
    """Where a fine node's contents are in a map of `height` x `width` nodes, and whether they are in view there."""
    field, rows, columns, row_scale, column_scale, bottom_end, right_end = road
    one, border = np.float32(1), np.float32(-0.5)
    top, bottom, down = _between(rows[i, 0], field.shape[0])
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
    y, x = rows[i, 0] + dy * np.float32(1 / CELL), columns[j, 0] + dx * np.float32(1 / CELL)
    seen = border <= y <= bottom_end and border <= x <= right_end
    y0, y1, fy = _between(rows[i, 1] + dy * row_scale, height)
    x0, x1, fx = _between(columns[j, 1] + dx * column_scale, width)
    return y0, y1, fy, x0, x1, fx, seen


@compiled
def _weights(fy: Any, fx: Any, share: Any) -> Any:
    """Of the four nodes around a place, in all `share`."""
    one = np.float32(1)
    up, down = share * (one - fy), share * fy
    return up * (one - fx), up * fx, down * (one - fx), down * fx


@compiled
def _move(features: Any, road: Any, out: Any) -> None:
    height, width, channels = features.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            y0, y1, fy, x0, x1, fx, _ = _place(road, i, j, height, width)
            a, b, c, d = _weights(fy, fx, np.float32(1))
            first, second = features[y0, x0], features[y0, x1]
            third, fourth = features[y1, x0], features[y1, x1]
            node = out[i, j]
            for k in range(channels):
                node[k] = a * first[k] + b * second[k] + c * third[k] + d * fourth[k]


@compiled
def _blend(
    features: Any, road: Any, other_features: Any, other_road: Any, share: Any, out: Any
) -> None:
    """`share` of the other ones, where both are in view, or neither is."""
    height, width, channels = features.shape
    zero, one = np.float32(0), np.float32(1)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            y0, y1, fy, x0, x1, fx, seen = _place(road, i, j, height, width)
            v0, v1, fv, u0, u1, fu, other_seen = _place(other_road, i, j, height, width)
            of_other = share if seen == other_seen else (one if other_seen else zero)
            a, b, c, d = _weights(fy, fx, one - of_other)
            e, f, g, h = _weights(fv, fu, of_other)
            first, second = features[y0, x0], features[y0, x1]
            third, fourth = features[y1, x0], features[y1, x1]
            fifth, sixth = other_features[v0, u0], other_features[v0, u1]
            seventh, eighth = other_features[v1, u0], other_features[v1, u1]
            node = out[i, j]
            for k in range(channels):
                node[k] = (
                    a * first[k] + b * second[k] + c * third[k] + d * fourth[k]
                    + e * fifth[k] + f * sixth[k] + g * seventh[k] + h * eighth[k]
                )  # fmt: skip
