"""ICNet for inference: the same function in an order that costs a fifth less.

Comes in: an image, B x 3 x H x W. Goes out: logits at 1/8 of its size (the paper's order gives 1/4). Batch norms
are folded. Nothing is approximated; what is linear changes places, with corners aligned and sizes of 32 k + 1:

- Fusion: a x2 interpolation, then a 3x3 convolution of dilation 2. Its taps are two fine pixels apart, so all of
  them lie at the same place between two deep pixels; the convolution is the same plain 3x3 one there, and may as
  well run on the deep map, before the interpolation: a quarter of the work. Only the zeros behind the border
  differ: they change one ring of fine pixels, the second from the edge.
  A deconvolution (`DeconvolutionFusion`) enlarges and convolves at once and stays as it is.
- Pyramid: averages and interpolations work on each channel alone, the 1x1 convolution behind them on each pixel
  alone. With the convolution first, a quarter of the channels is pooled.
- Halving takes every second pixel, and the stem's first convolution every second of those. A convolution of stride
  4 and dilation 2 reads the same pixels from the whole image.
- Head: likewise the classifier comes before the interpolation. Interpolating x2 and then x4 is interpolating x8,
  so the x2 is left to the painter.

`tests/models/test_rearranged.py` holds it against `ICNet.forward`.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.models.blocks import (
    CascadeFeatureFusion,
    DeconvolutionFusion,
    fold_batch_norms,
    halve,
    resize,
)
from streamseg.models.icnet import ICNet


def folded(network: ICNet) -> ICNet:
    """A copy in eval mode, batch norms folded."""
    source = copy.deepcopy(network).eval()
    fold_batch_norms(source)
    return source


class RearrangedLow(nn.Module):
    """The low branch, of the whole cascade and of one that stops early (`models.branches`).

    Args:
        source: `folded`; its parts become this one's.
    """

    def __init__(self, source: ICNet) -> None:
        super().__init__()
        self.align_corners = source.align_corners
        self.stem = source.stem
        self.conv2 = source.conv2
        self.conv3_1 = source.conv3_1
        self.conv3_rest = source.conv3_rest
        self.conv4 = source.conv4
        self.conv5 = source.conv5
        # The bias is not averaged with the rest: it would count once per bin size.
        last: Any = source.conv5_4[0]
        self.conv5_4_bias = nn.Parameter(last.bias.detach().view(1, -1, 1, 1))
        last.bias = None
        self.conv5_4 = last
        self.pyramid = source.pyramid
        self.conv5_4_relu = nn.ReLU()

    def low(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """See `ICNet.low`."""
        x = self.stem[1:](self._first(image_BCHW))  # 1/4 of the image
        x = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)  # 1/8
        mid_BCHW = self.conv3_1(self.conv2(x))  # 1/16
        x = self.conv3_rest(halve(mid_BCHW, self.align_corners))  # 1/32
        x = self.pyramid(self.conv5_4(self.conv5(self.conv4(x))))
        low_BCHW: Tensor = self.conv5_4_relu(x + self.conv5_4_bias)
        return low_BCHW, mid_BCHW

    def _first(self, image_BCHW: Tensor) -> Tensor:
        """The stem's first convolution (stride 2) on the halved image."""
        block: Any = self.stem[0]
        if self.align_corners and all(int(side) % 2 for side in image_BCHW.shape[-2:]):
            convolution = block[0]
            x = F.conv2d(
                image_BCHW, convolution.weight, convolution.bias, stride=4, padding=2, dilation=2
            )
            activated: Tensor = block[2](x)
            return activated
        halved: Tensor = block(halve(image_BCHW, self.align_corners))
        return halved


class RearrangedICNet(RearrangedLow):
    """`network` in eval mode, copied. Every activation is an `nn.ReLU`, every sum of products an `nn.Conv2d`, but for
    deconvolutions."""

    def __init__(self, network: ICNet) -> None:
        source = folded(network)
        super().__init__(source)
        self.fuse_sub24 = rearranged_fusion(source.fuse_sub24)
        self.high = source.high
        self.fuse_sub12 = rearranged_fusion(source.fuse_sub12)
        self.classify = source.classify

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Logits at an eighth of the image's size; at a quarter without aligned corners."""
        return self.refine(image_BCHW, self.context(image_BCHW))

    def context(self, image_BCHW: Tensor) -> Tensor:
        """The deep part: what the last fusion makes of the fused 1/16 features before it looks at fine detail.

        All that a segmentation keyframe must pass on: 4 * 64 * width channels, at 1/16 of the image; at 1/8 where
        the fusion cannot convolve before it interpolates.
        """
        fused_BCHW = self.fuse_sub24(*self.low(image_BCHW))
        convolved_BCHW: Tensor = self.fuse_sub12.convolve(fused_BCHW, fine_size(image_BCHW))
        return convolved_BCHW

    def refine(self, image_BCHW: Tensor, features_BCHW: Tensor) -> Tensor:
        """The fine part, on `image`: logits as `forward`.

        Args:
            features_BCHW: what `context` gave, of this image or an older one; or moved, at `fine_size`.
        """
        logits: Tensor = self.classify(self.fuse_sub12.add(features_BCHW, self.high(image_BCHW)))
        if self.align_corners:
            return logits
        # Half-pixel centres: two interpolations are not one. This is the first, on the fewest channels.
        height, width = logits.shape[-2:]
        return resize(logits, (2 * height, 2 * width), self.align_corners)


def fine_size(image_BCHW: Tensor) -> tuple[int, int]:
    """(height, width) of the map that `refine` adds features to: three convolutions of stride 2."""
    height, width = (-(-int(side) // 8) for side in image_BCHW.shape[-2:])
    return height, width


class Context(nn.Module):
    """`network.context` as a module, for those who trace modules."""

    def __init__(self, network: RearrangedICNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.network.context(image_BCHW)


class Refine(nn.Module):
    """`network.refine` as a module."""

    def __init__(self, network: RearrangedICNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_BCHW: Tensor, features_BCHW: Tensor) -> Tensor:
        return self.network.refine(image_BCHW, features_BCHW)


@torch.inference_mode()
def fine_features(network: RearrangedICNet, image_BCHW: Tensor) -> Tensor:
    """Zeros in the form that moved features of `image` have: at `fine_size`."""
    channels = network.context(image_BCHW).shape[1]
    return image_BCHW.new_zeros(len(image_BCHW), channels, *fine_size(image_BCHW))


class RearrangedFusion(nn.Module):
    """`CascadeFeatureFusion` with its convolution on the deep map, where the fine one has 2 * size - 1 pixels."""

    def __init__(self, fusion: CascadeFeatureFusion) -> None:
        super().__init__()
        dilated: Any = fusion.conv[0]
        self.align_corners = fusion.align_corners
        self.conv = nn.Conv2d(dilated.in_channels, dilated.out_channels, 3, padding=1)
        self.conv.weight, self.conv.bias = dilated.weight, dilated.bias
        self.proj = fusion.proj
        self.relu = nn.ReLU()

    def forward(self, deep_BCHW: Tensor, fine_BCHW: Tensor) -> Tensor:
        return self.add(self.convolve(deep_BCHW, fine_BCHW.shape[-2:]), fine_BCHW)

    def convolve(self, deep_BCHW: Tensor, size: Sequence[int]) -> Tensor:
        """All that is done to the deep map alone, for a fine one of `size`: at its own resolution, or at `size`."""
        doubled = [2 * int(side) - 1 for side in deep_BCHW.shape[-2:]]
        if self.align_corners and doubled == [int(side) for side in size]:
            convolved_BCHW: Tensor = self.conv(deep_BCHW)
            return convolved_BCHW
        upsampled_BCHW = resize(deep_BCHW, size, self.align_corners)
        return F.conv2d(upsampled_BCHW, self.conv.weight, self.conv.bias, padding=2, dilation=2)

    def add(self, convolved_BCHW: Tensor, fine_BCHW: Tensor) -> Tensor:
        """Interpolate what `convolve` gave, if need be, and fuse the fine map with it."""
        interpolated_BCHW = resize(convolved_BCHW, fine_BCHW.shape[-2:], self.align_corners)
        fused_BCHW: Tensor = self.relu(interpolated_BCHW + self.proj(fine_BCHW))
        return fused_BCHW


class RearrangedDeconvolution(nn.Module):
    """`DeconvolutionFusion` in the two steps of `RearrangedFusion`: what is done to the deep map, and the sum."""

    def __init__(self, fusion: DeconvolutionFusion) -> None:
        super().__init__()
        self.align_corners = fusion.align_corners
        self.deconv = fusion.deconv
        self.proj = fusion.proj
        self.relu = nn.ReLU()

    def forward(self, deep_BCHW: Tensor, fine_BCHW: Tensor) -> Tensor:
        return self.add(self.convolve(deep_BCHW, fine_BCHW.shape[-2:]), fine_BCHW)

    def convolve(self, deep_BCHW: Tensor, size: Sequence[int]) -> Tensor:
        """All that is done to the deep map alone, for a fine one of `size`: at `size`."""
        return resize(self.deconv(deep_BCHW), size, self.align_corners)

    def add(self, enlarged_BCHW: Tensor, fine_BCHW: Tensor) -> Tensor:
        """Fuse the fine map with what `convolve` gave."""
        fused_BCHW: Tensor = self.relu(enlarged_BCHW + self.proj(fine_BCHW))
        return fused_BCHW


def rearranged_fusion(
    fusion: CascadeFeatureFusion | DeconvolutionFusion,
) -> RearrangedFusion | RearrangedDeconvolution:
    """For inference: of a folded unit, whose parts become this one's."""
    if isinstance(fusion, DeconvolutionFusion):
        return RearrangedDeconvolution(fusion)
    return RearrangedFusion(fusion)
