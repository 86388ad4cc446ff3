"""Tiles: where they lie. What is seen in them is tested with what looks (`test_attention.py`)."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from streamseg.models.tiles import OVERLAP, TILE, in_tiles, tiles


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("side", [*range(1, 700, 23), 2048, 2049, 4096, 4097])
def test_tiles_cover_a_side_once_and_begin_on_the_grid(side: int, align_corners: bool) -> None:
    laid = tiles(side, 256, 64, align_corners)
    kept = [pixel for one in laid for pixel in range(one.keep_start, one.keep_stop)]
    assert kept == list(range(side))
    for one in laid:
        assert one.start % 32 == 0 and one.stop - one.start <= 256 + align_corners
        assert one.start <= one.keep_start < one.keep_stop <= one.stop
    for one, following in pairwise(laid):
        assert one.stop - following.start >= 64


def test_four_tiles_make_a_cityscapes_frame_at_scale_2() -> None:
    for align_corners in (False, True):
        num = [
            len(tiles(side + align_corners, tile, OVERLAP, align_corners))
            for side, tile in zip((2048, 4096), TILE, strict=True)
        ]
        assert num == [2, 2]


def test_maps_are_put_together_where_they_were_seen() -> None:
    x = torch.arange(300.0 * 420).view(1, 1, 300, 420)
    seen = []

    def look(part: Tensor) -> tuple[Tensor, ...]:
        seen.append(part.shape[-2:])
        return part, part.repeat(1, 2, 1, 1)

    one, two = in_tiles(look, x, (160, 192), 64, False)
    assert torch.equal(one, x) and torch.equal(two, x.repeat(1, 2, 1, 1))
    assert len(seen) > 4 and max(seen) <= (160, 192)
    seen.clear()
    in_tiles(look, x, (300, 420), 64, False)
    assert seen == [(300, 420)]
