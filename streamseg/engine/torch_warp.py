"""Features of an older picture where its contents are now, in torch: what `warp` does on the CPU without it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streamseg.engine.warp import places
from streamseg.frames import Displacement


def moved(
    features_BCHW: Tensor, displacement: Displacement, size: tuple[int, int], align_corners: bool
) -> Tensor:
    """Features at `size` (height, width), each from where it was, on the features' device and in their dtype.

    Args:
        displacement, align_corners: see `warp.move`.
    """
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
    return _sample(features_BCHW.float(), y, x).to(features_BCHW.dtype)


def _sample(map_BCHW: Tensor, y_HW: Tensor, x_HW: Tensor) -> Tensor:
    """Bilinearly at places in units of the map's nodes, kept inside."""
    height, width = map_BCHW.shape[-2:]
    shares = [x_HW / max(width - 1, 1), y_HW / max(height - 1, 1)]
    grid_BHW2 = 2 * torch.stack(shares, -1)[None] - 1
    return F.grid_sample(map_BCHW, grid_BHW2, padding_mode="border", align_corners=True)
