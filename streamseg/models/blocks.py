"""Parts that the papers share: convolution + batch norm, residual bottleneck, pyramid pooling, fusion.

Shape suffixes: B = batch, C = channels, H, W = height and width of that tensor.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def resize(x_BCHW: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """Bilinear interpolation to `size` (height, width): Caffe's `Interp` when `align_corners`."""
    if tuple(x_BCHW.shape[-2:]) == tuple(size):
        return x_BCHW
    return F.interpolate(x_BCHW, size=tuple(size), mode="bilinear", align_corners=align_corners)


class ConvBN(nn.Sequential):
    """Convolution without bias, batch norm, and ReLU unless told otherwise.

    Args:
        padding: zeros on each side; by default as many as keep the size at stride 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: int | None = None,
        relu: bool = True,
    ) -> None:
        if padding is None:
            padding = dilation * (kernel // 2)
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        if relu:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class DeconvolutionBN(nn.Sequential):
    """x2 deconvolution (transposed convolution of stride 2) without bias, and batch norm.

    A map of n pixels a side becomes one of 2 n - 1 with corners aligned, whose every second pixel lies on one of the
    n; else one of 2 n.

    Args:
        kernel: odd.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, align_corners: bool
    ) -> None:
        super().__init__(
            nn.ConvTranspose2d(
                in_channels,
                out_channels,
                kernel,
                stride=2,
                padding=kernel // 2,
                output_padding=0 if align_corners else 1,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
        )


class UnstridedDeconvBN(nn.Sequential):
    """Deconvolution (transposed convolution) of stride 1 without bias, batch norm and ReLU: DeconvNet's layer.

    Args:
        padding: rows and columns cut off each side of what all taps reach. `kernel // 2` keeps the size; 0 makes of one
            pixel a map of `kernel` x `kernel`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, padding: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, kernel, padding=padding, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Bottleneck(nn.Module):
    """1x1 reduce, 3x3, 1x1 increase, summed with the (projected) input, then ReLU.

    The stride sits on the first 1x1 and on the projection, as in Caffe's ResNet, not on the 3x3.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        project: bool = False,
    ) -> None:
        super().__init__()
        self.reduce = ConvBN(in_channels, mid_channels, 1, stride=stride)
        self.conv = ConvBN(mid_channels, mid_channels, 3, dilation=dilation)
        self.increase = ConvBN(mid_channels, out_channels, 1, relu=False)
        self.proj: nn.Module = (
            ConvBN(in_channels, out_channels, 1, stride=stride, relu=False)
            if project
            else nn.Identity()
        )
        self.relu = nn.ReLU()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        summed_BCHW = self.proj(x_BCHW) + self.increase(self.conv(self.reduce(x_BCHW)))
        activated_BCHW: Tensor = self.relu(summed_BCHW)
        return activated_BCHW


def bottleneck_stage(
    in_channels: int,
    mid_channels: int,
    out_channels: int,
    depth: int,
    *,
    stride: int = 1,
    dilation: int = 1,
) -> nn.Sequential:
    """`depth` bottlenecks; the first one projects and carries the stride."""
    first = Bottleneck(
        in_channels, mid_channels, out_channels, stride=stride, dilation=dilation, project=True
    )
    rest = [
        Bottleneck(out_channels, mid_channels, out_channels, dilation=dilation)
        for _ in range(depth - 1)
    ]
    return nn.Sequential(first, *rest)


class PyramidPoolingSum(nn.Module):
    """ICNet's pyramid pooling: averages over 1, 2, 3 and 6 bins, interpolated back and *summed* with the input.

    PSPNet concatenates instead; the sum halves the channels of what follows, which is why ICNet's
    next convolution can be 1x1. No parameters.

    At the official 33x65 the windows of the Caffe file equal adaptive pooling for bins 1 and 2 and overlap
    more for bins 3 and 6; `caffe_windows` reproduces the file's.
    """

    def __init__(
        self,
        align_corners: bool,
        *,
        bins: Sequence[int] = (1, 2, 3, 6),
        caffe_windows: bool = False,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.bins = tuple(bins)
        self.caffe_windows = caffe_windows

    def forward(self, x_BCHW: Tensor) -> Tensor:
        size = x_BCHW.shape[-2:]
        total = x_BCHW
        for bins in self.bins:
            total = total + resize(self._pool(x_BCHW, bins), size, self.align_corners)
        return total

    def _pool(self, x_BCHW: Tensor, bins: int) -> Tensor:
        height, width = x_BCHW.shape[-2:]
        # The file was drawn for 32k + 1: a window starts every 32 // bins steps of (size - 1) / 32 pixels.
        stride = tuple((side - 1) // 32 * (32 // bins) for side in (height, width))
        if not self.caffe_windows or 0 in stride:
            return F.adaptive_avg_pool2d(x_BCHW, bins)
        kernel = (height - stride[0] * (bins - 1), width - stride[1] * (bins - 1))
        return F.avg_pool2d(x_BCHW, kernel, stride)


class CascadeFeatureFusion(nn.Module):
    """ICNet's cascade feature fusion (CFF) unit.

    The deep map is interpolated to the fine map's size, goes through a 3x3 convolution of dilation 2 and
    batch norm; the fine map through a 1x1 projection and batch norm; their sum through ReLU.
    Interpolation and dilation cover what a 7x7 deconvolution would, at a lower cost.
    """

    def __init__(
        self, deep_channels: int, fine_channels: int, out_channels: int, align_corners: bool
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.conv = ConvBN(deep_channels, out_channels, 3, dilation=2, relu=False)
        self.proj = ConvBN(fine_channels, out_channels, 1, relu=False)
        self.relu = nn.ReLU()

    def forward(self, deep_BCHW: Tensor, fine_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The fused map at the fine map's size, and the interpolated deep map (label guidance's input)."""
        upsampled_BCHW = resize(deep_BCHW, fine_BCHW.shape[-2:], self.align_corners)
        fused_BCHW = self.relu(self.conv(upsampled_BCHW) + self.proj(fine_BCHW))
        return fused_BCHW, upsampled_BCHW


class DeconvolutionFusion(nn.Module):
    """What the ICNet paper compares cascade feature fusion with: a learned x2 deconvolution of the deep map.

    Deconvolution and batch norm of the deep map, 1x1 projection and batch norm of the fine one, their sum through
    ReLU. Where the fine map has another size than the deconvolution gives, what it gives is interpolated to it.
    """

    def __init__(
        self,
        deep_channels: int,
        fine_channels: int,
        out_channels: int,
        align_corners: bool,
        *,
        kernel: int,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.deconv = DeconvolutionBN(deep_channels, out_channels, kernel, align_corners)
        self.proj = ConvBN(fine_channels, out_channels, 1, relu=False)
        self.relu = nn.ReLU()

    def forward(self, deep_BCHW: Tensor, fine_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """As `CascadeFeatureFusion`: label guidance supervises the interpolated deep map here, too."""
        size = fine_BCHW.shape[-2:]
        enlarged_BCHW = resize(self.deconv(deep_BCHW), size, self.align_corners)
        fused_BCHW = self.relu(enlarged_BCHW + self.proj(fine_BCHW))
        return fused_BCHW, resize(deep_BCHW, size, self.align_corners)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Multiply every batch norm into the convolution before it, in place: the same function, one pass fewer."""
    for module in network.modules():
        if isinstance(module, (ConvBN, DeconvolutionBN, UnstridedDeconvBN)):
            convolution: Any = module[0]
            batch_norm: Any = module[1]
            transposed = isinstance(convolution, nn.ConvTranspose2d)
            module[0] = fuse_conv_bn_eval(convolution, batch_norm, transposed)
            module[1] = nn.Identity()
    return network


def init_msra(module: nn.Module) -> None:
    """Caffe's `msra` filler for every convolution, `init_deconvolution`; batch norm starts at identity."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.ConvTranspose2d):
            init_deconvolution(part)


@torch.no_grad()
def init_deconvolution(part: nn.ConvTranspose2d) -> None:
    """Begin as x2 bilinear interpolation and a 1x1 convolution with the `msra` filler.

    With random taps, each of the four places between deep pixels would sum over another number of them: a
    checkerboard that training has to undo. Taps beyond the inner 3x3 begin at zero, so that every size of kernel begins
    as the same function. The paper does not say how it began.

    Args:
        part: stride 2 and an odd kernel of at least 3, no groups.
    """
    if part.weight.is_meta:
        return  # shapes alone, see `memory.weightless`
    in_channels, out_channels, kernel, _ = part.weight.shape
    tent = part.weight.new_tensor([0.5, 1.0, 0.5])
    mix = part.weight.new_empty(in_channels, out_channels, 1, 1)
    nn.init.normal_(mix, 0.0, (2 / in_channels) ** 0.5)
    inner = slice(kernel // 2 - 1, kernel // 2 + 2)
    nn.init.zeros_(part.weight)
    part.weight[:, :, inner, inner] = mix * torch.outer(tent, tent)
    if part.bias is not None:
        nn.init.zeros_(part.bias)


def halve(x_BCHW: Tensor, align_corners: bool) -> Tensor:
    """Shrink by two: Caffe's `Interp shrink 2` gives (size - 1) // 2 + 1 per side.

    Of odd sides, with corners aligned, that is every second pixel: nothing is left to interpolate.
    """
    height, width = x_BCHW.shape[-2:]
    if align_corners and height % 2 == width % 2 == 1:
        return x_BCHW[..., ::2, ::2]
    size = (
        ((height - 1) // 2 + 1, (width - 1) // 2 + 1)
        if align_corners
        else (max(height // 2, 1), max(width // 2, 1))
    )
    return resize(x_BCHW, size, align_corners)


__all__ = [
    "Bottleneck",
    "CascadeFeatureFusion",
    "ConvBN",
    "DeconvolutionBN",
    "DeconvolutionFusion",
    "PyramidPoolingSum",
    "UnstridedDeconvBN",
    "bottleneck_stage",
    "fold_batch_norms",
    "halve",
    "init_deconvolution",
    "init_msra",
    "resize",
]
