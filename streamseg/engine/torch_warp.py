"""Features of other pictures where their contents are in this one, in torch: what `warp` does on the CPU without it."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streamseg.engine.warp import STILL, places
from streamseg.frames import CELL, Moved


def at_fine_size(moved: Sequence[Moved], size: tuple[int, int], align_corners: bool) -> Tensor:
    """Features at `size` (height, width), each from where it is, on the features' device and in their dtype.

    Args:
        moved, align_corners: see `warp.move`; features are 1 x C x h x w.
    """
    found = [_looked_up(one, size, align_corners) for one in moved]
    nowhere_HW = ~torch.stack([seen_HW for _, seen_HW in found]).any(0)
    shares = [
        one.share * (seen_HW | nowhere_HW) for one, (_, seen_HW) in zip(moved, found, strict=True)
    ]
    total_HW = torch.stack(shares).sum(0)
    blended = [share / total_HW * fine for share, (fine, _) in zip(shares, found, strict=True)]
    return torch.stack(blended).sum(0).to(moved[0].features.dtype)


def _looked_up(moved: Moved, size: tuple[int, int], align_corners: bool) -> tuple[Tensor, Tensor]:
    """float32 features at `size`; and H x W, which of them are in view."""
    features_BCHW: Tensor = moved.features
    displacement = moved.displacement or STILL
    device = features_BCHW.device
    field = torch.from_numpy(displacement.field).to(device).permute(2, 0, 1)[None]
    along = [
        places(side, features_BCHW.shape[2 + axis], size[axis], align_corners)
        for axis, side in enumerate(displacement.size)
    ]
    (cell_y, node_y), (cell_x, node_x) = (
        torch.from_numpy(np.ascontiguousarray(both.T)).to(device) for both, _ in along
    )
    shift = _sample(field, cell_y[:, None].expand(size), cell_x[None].expand(size))[0]
    y, x = node_y[:, None] + shift[1] * float(along[0][1]), node_x + shift[0] * float(along[1][1])
    at_y, at_x = cell_y[:, None] + shift[1] / CELL, cell_x + shift[0] / CELL
    bottom, right = (side / CELL - 0.5 for side in displacement.size)
    seen_HW = (at_y >= -0.5) & (at_y <= bottom) & (at_x >= -0.5) & (at_x <= right)
    return _sample(features_BCHW.float(), y, x), seen_HW


def _sample(map_BCHW: Tensor, y_HW: Tensor, x_HW: Tensor) -> Tensor:
    """Bilinearly at places in units of the map's nodes, kept inside."""
    height, width = map_BCHW.shape[-2:]
    shares = [x_HW / max(width - 1, 1), y_HW / max(height - 1, 1)]
    grid_BHW2 = 2 * torch.stack(shares, -1)[None] - 1
    return F.grid_sample(map_BCHW, grid_BHW2, padding_mode="border", align_corners=True)
