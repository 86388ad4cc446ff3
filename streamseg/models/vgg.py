"""VGG16's convolution part (Simonyan, Zisserman, ICLR 2015) with batch norm, of which DeconvNet and FCN are made.

Comes in: an image, B x 3 x H x W, mean subtracted, sides multiples of 32. Goes out: what each of the five poolings
gives, 1/2 to 1/32 of its size, and the switches: where each maximum was. Runs wherever its engine puts it; holds no
thread, device or loss.

    image ── conv1 ── pool1 ── conv2 ── pool2 ── conv3 ── pool3 ── conv4 ── pool4 ── conv5 ── pool5
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.models.blocks import ConvBN

STRIDE = 32
"""Of the last pooling."""

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels at width 1 and number of 3x3 convolutions of conv1 to conv5."""


class Pooled(NamedTuple):
    """A 2x2 max pooling of stride 2."""

    values: Tensor
    """B x C x h x w: the maxima."""
    switches: Tensor | None
    """B x C x h x w int64, if they were asked for: where each was, as row * 2 w + column in the map before."""


class VGG16(nn.Module):
    """conv1_1 to pool5: 14.7 M parameters at width 1.

    Batch norm follows every convolution, as in DeconvNet; VGG16 itself has none. It takes the place of their biases.

    Args:
        width: factor of every number of channels; see `base_channels`.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        base, before = base_channels(width), 3
        stages: list[nn.Module] = []
        for channels, depth in STAGES:
            after = channels // 64 * base
            layers = [ConvBN(before if first == 0 else after, after, 3) for first in range(depth)]
            stages.append(nn.Sequential(*layers))
            before = after
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = stages

    def forward(self, image_BCHW: Tensor, *, switches: bool = False) -> list[Pooled]:
        """pool1 to pool5.

        Args:
            switches: where each maximum was, too. Of equal ones it is the first, row by row.

        Raises:
            ValueError: the image's sides are no multiples of 32.
        """
        height, width = image_BCHW.shape[-2:]
        if height < STRIDE or width < STRIDE or height % STRIDE or width % STRIDE:
            raise ValueError(
                f"expected a network input whose sides are multiples of {STRIDE}, got {height}x{width}"
            )
        x, pools = image_BCHW, []
        for stage in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            pooled: Pooled
            if switches:
                pooled = Pooled(*F.max_pool2d(stage(x), 2, 2, return_indices=True))
            else:
                pooled = Pooled(F.max_pool2d(stage(x), 2, 2), None)
            pools.append(pooled)
            x = pooled.values
        return pools


def base_channels(width: float) -> int:
    """Channels of conv1 at a width factor; all others are multiples of them.

    Raises:
        ValueError: not a positive multiple of 1/64.
    """
    if width <= 0 or (64 * width) % 1:
        raise ValueError(f"expected width a positive multiple of 1/64, got {width}")
    return int(64 * width)
