"""A picture looked at in overlapping tiles, so that memory for activations is that of a tile.

Comes in: an image, and what looks at one. Goes out: what it sees of the whole, at the image's size. Equal to looking
at the whole where what is seen of a pixel depends on pixels within half of the overlap; a network with a view of the
whole (pyramid pooling, object context) has that of each tile instead.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

TILE = (1152, 2176)
"""Greatest height and width: four tiles make 2048 x 4096."""

OVERLAP = 128
"""Least number of pixels that neighbouring tiles share."""

GRID = 32
"""Tiles begin at multiples of it, so that strides fall on the same pixels in a tile as in the whole."""


class Tile(NamedTuple):
    """Along one axis, in pixels: what is looked at, and what is kept of it."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def in_tiles(
    look: Callable[[Tensor], tuple[Tensor, ...]],
    image_BCHW: Tensor,
    tile: tuple[int, int],
    overlap: int,
    align_corners: bool,
) -> tuple[Tensor, ...]:
    """What `look` gives for an image: maps of B x any number of channels x its height x its width.

    Args:
        tile, overlap, align_corners: see `tiles`.
    """
    rows, columns = (
        tiles(int(side), most, overlap, align_corners)
        for side, most in zip(image_BCHW.shape[-2:], tile, strict=True)
    )
    if len(rows) == len(columns) == 1:
        return look(image_BCHW)
    stripes = []
    for row in rows:
        seen = []
        for column in columns:
            maps = look(image_BCHW[:, :, row.start : row.stop, column.start : column.stop])
            seen.append([_kept(one, row, column) for one in maps])
        stripes.append([torch.cat(parts, 3) for parts in zip(*seen, strict=True)])
    return tuple(torch.cat(parts, 2) for parts in zip(*stripes, strict=True))


def tiles(side: int, tile: int, overlap: int, align_corners: bool) -> list[Tile]:
    """As few tiles as cover `side`, evenly laid; what two of them share is cut in its middle.

    Args:
        tile: their greatest length. With aligned corners one pixel more is looked at: 32 k + 1.
        overlap: least number of pixels that two share.
    """
    if side <= tile + align_corners:
        return [Tile(0, side, 0, side)]
    # Beginnings are rounded up to the grid, for the last tile's end is the picture's: that may take GRID of an overlap.
    num = -(-(side - overlap - GRID) // (tile - overlap - GRID))
    starts = [-(-(side - tile) * index // (num - 1) // GRID) * GRID for index in range(num)]
    stops = [min(start + tile + align_corners, side) for start in starts]
    between = [(stop + start) // 2 for stop, start in zip(stops[:-1], starts[1:], strict=True)]
    kept = zip([0, *between], [*between, side], strict=True)
    return [Tile(start, stop, *keep) for start, stop, keep in zip(starts, stops, kept, strict=True)]


def _kept(x_BCHW: Tensor, row: Tile, column: Tile) -> Tensor:
    rows = slice(row.keep_start - row.start, row.keep_stop - row.start)
    columns = slice(column.keep_start - column.start, column.keep_stop - column.start)
    return x_BCHW[:, :, rows, columns]
