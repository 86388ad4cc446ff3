"""The way into a network on a GPU: `entry` as torch modules, so that uint8 pixels are uploaded and no more.

Resizing comes before the colour matrix (both are linear, so only the clamp could tell), so that chroma is
interpolated once, from its own resolution to the network's.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamseg.models.blocks import resize
from streamseg.models.card import InputSpec
from streamseg.picture.pixels import Packed, Pixels
from streamseg.picture.planes import ycbcr_to_rgb


class PlanarEntry(nn.Module):
    """Y'CbCr 4:2:0 planes -> network input.

    Takes y (1 x 1 x H x W), u and v (1 x 1 x ceil(H/2) x ceil(W/2)), all uint8; gives 1 x 3 x h x w float32.

    Note on bf16: as a 1x1 convolution the colour matrix would be multiplied in bf16, weights included, which
    costs 0.3 % of the labels. As sums it stays in float32 registers, and chroma's share, taken at chroma's own
    resolution, is cheaper, too.
    """

    luma: Tensor
    blue: Tensor
    red: Tensor
    offset: Tensor

    def __init__(
        self, matrix: str, full_range: bool, spec: InputSpec, size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.size = size
        self.align_corners = spec.align_corners
        linear, offset = ycbcr_to_rgb(matrix, full_range)
        if spec.color == "bgr":
            linear, offset = linear[::-1], offset[::-1]
        self.register_buffer("luma", _per_channel(linear[:, 0]))
        self.register_buffer("blue", _per_channel(linear[:, 1]))
        self.register_buffer("red", _per_channel(linear[:, 2]))
        self.register_buffer("offset", _per_channel(offset))
        self.normalise = _Normalise(spec)

    def forward(self, y: Tensor, u: Tensor, v: Tensor) -> Tensor:
        tint = u.float() * self.blue + v.float() * self.red + self.offset
        gray = resize(y.float(), self.size, self.align_corners)
        color = gray * self.luma + resize(tint, self.size, self.align_corners)
        normalised: Tensor = self.normalise(color.clamp(0, 255))
        return normalised


class PackedEntry(nn.Module):
    """Interleaved pixels (1 x H x W x 3 uint8, in `order`) -> network input (1 x 3 x h x w float32)."""

    def __init__(self, order: str, spec: InputSpec, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.align_corners = spec.align_corners
        self.swap = order[:3] != spec.color
        self.normalise = _Normalise(spec)

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.permute(0, 3, 1, 2).float()
        if self.swap:
            x = torch.cat([x[:, 2:3], x[:, 1:2], x[:, 0:1]], 1)
        normalised: Tensor = self.normalise(resize(x, self.size, self.align_corners))
        return normalised


class _Normalise(nn.Module):
    """(x - mean) / std per channel."""

    mean: Tensor
    scale: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.register_buffer("mean", _per_channel(np.array(spec.mean)))
        self.register_buffer("scale", _per_channel(1 / np.array(spec.std)))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale


def _per_channel(values: NDArray[np.float64]) -> Tensor:
    """1 x 3 x 1 x 1 float32."""
    return torch.from_numpy(values.astype(np.float32)).view(1, 3, 1, 1)


def entry_for(pixels: Pixels, spec: InputSpec, size: tuple[int, int]) -> nn.Module:
    """The module that takes `engine.arrays_of(pixels)`."""
    if isinstance(pixels, Packed):
        return PackedEntry(pixels.order, spec, size).eval()
    return PlanarEntry(pixels.matrix, pixels.full_range, spec, size).eval()
