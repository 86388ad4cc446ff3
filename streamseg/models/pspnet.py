"""PSPNet50 (Zhao et al., CVPR 2017): the accurate network that ICNet is compared with and was made from.

Comes in: an image, B x 3 x H x W, mean subtracted. Goes out: logits at an eighth of its size.
Runs wherever its engine puts it; holds no thread, device or loss.

    image ── stem ── conv2 ── conv3 ── conv4 ──┬── conv5 ── PPM, concatenated ── 3x3 ── 1x1 ──▶ 1/8
                                               └── (training) 3x3 ── 1x1 ──▶ auxiliary, 1/8

A ResNet-50 with a deep stem, whose last two stages are dilated where others stride.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.models.blocks import ConvBN, bottleneck_stage, init_msra, resize
from streamseg.models.trunk import TrunkAnswer

LAST_STAGES = {8: ((1, 2), (1, 4)), 16: ((2, 1), (1, 2)), 32: ((2, 1), (2, 1))}
"""Feature stride -> (stride, dilation) of conv4 and of conv5."""


class PSPNetLogits(NamedTuple):
    """What training sees; weights of the losses are the recipe's (paper: 1, 0.4)."""

    answer: Tensor
    """B x classes x H/8 x W/8: the network's answer."""
    auxiliary: Tensor
    """B x classes x H/8 x W/8: from stage 4 (at H/16 x W/16 with `feature_stride` 16 and 32)."""


class PyramidPoolingConcat(nn.Module):
    """PSPNet's pyramid pooling: averages over bins, each through a 1x1 convolution, beside their input.

    Channels out: `in_channels` + `out_channels` for each bin size. ICNet's (`PyramidPoolingSum`) sums.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        align_corners: bool,
        *,
        bins: Sequence[int] = (1, 2, 3, 6),
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.bins = tuple(bins)
        self.convs = nn.ModuleList(ConvBN(in_channels, out_channels, 1) for _ in self.bins)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        size = x_BCHW.shape[-2:]
        levels = [x_BCHW]
        for bins, conv in zip(self.bins, self.convs, strict=True):
            pooled_BCHW = conv(F.adaptive_avg_pool2d(x_BCHW, bins))
            levels.append(resize(pooled_BCHW, size, self.align_corners))
        return torch.cat(levels, 1)


class PSPNet50(nn.Module):
    """The published network at `width` 1: 46.7 M parameters.

    Strides sit on the first 1x1 of a bottleneck, as in the authors' Caffe file; dropout takes whole channels, as
    in their PyTorch code.

    Args:
        num_classes: channels of the logits.
        width: factor of every number of channels, those of pyramid and head included; a multiple of 1/16.
        align_corners: True is Caffe's `Interp`; sizes of the form 8k + 1 then divide evenly. Others work.
        feature_stride: 8 is the published network. 16 and 32 stride where it dilates, in conv4 and in conv4 and
            conv5, as the ICNet paper's study of feature downsampling: the same weights, logits at that stride.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: float = 1.0,
        align_corners: bool = True,
        feature_stride: int = 8,
    ) -> None:
        super().__init__()
        if num_classes < 1 or width <= 0 or (64 * width) % 4:
            raise ValueError(
                f"expected num_classes >= 1 and width a positive multiple of 1/16, "
                f"got {num_classes = }, {width = }"
            )
        if feature_stride not in LAST_STAGES:
            raise ValueError(f"expected feature_stride 8, 16 or 32, got {feature_stride}")
        base = int(64 * width)
        self.feature_channels = 8 * base
        (stride4, dilation4), (stride5, dilation5) = LAST_STAGES[feature_stride]

        self.stem = nn.Sequential(
            ConvBN(3, base, 3, stride=2), ConvBN(base, base, 3), ConvBN(base, 2 * base, 3)
        )
        self.conv2 = bottleneck_stage(2 * base, base, 4 * base, 3)
        self.conv3 = bottleneck_stage(4 * base, 2 * base, 8 * base, 4, stride=2)
        self.conv4 = bottleneck_stage(
            8 * base, 4 * base, 16 * base, 6, stride=stride4, dilation=dilation4
        )
        self.conv5 = bottleneck_stage(
            16 * base, 8 * base, 32 * base, 3, stride=stride5, dilation=dilation5
        )
        self.pyramid = PyramidPoolingConcat(32 * base, 8 * base, align_corners)
        self.conv5_4 = ConvBN(64 * base, 8 * base, 3)
        self.dropout = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(8 * base, num_classes, 1)

        # Training only: never run in eval mode.
        self.aux_conv4 = nn.Sequential(
            ConvBN(16 * base, 4 * base, 3), nn.Dropout2d(0.1), nn.Conv2d(4 * base, num_classes, 1)
        )
        init_msra(self)

    def forward(self, image_BCHW: Tensor) -> Tensor | PSPNetLogits:
        """Logits at 1 / `feature_stride` of the image's size; in training mode the two of `PSPNetLogits`.

        Raises:
            ValueError: in training, a single picture: batch norm finds one value a channel in the coarsest bin.
        """
        logits = self.with_features(image_BCHW).logits
        return PSPNetLogits(*logits) if self.training else logits[0]

    def with_features(self, image_BCHW: Tensor) -> TrunkAnswer:
        """See `Trunk`: what the head's 3x3 gives, at 1 / `feature_stride`.

        Raises:
            ValueError: see `forward`.
        """
        if self.training and len(image_BCHW) == 1:
            raise ValueError(
                "expected a batch of at least 2 pictures to train PSPNet50 with, got 1"
            )
        x = self.stem(image_BCHW)  # 1/2 of the image
        x = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)  # 1/4
        mid_BCHW = self.conv4(self.conv3(self.conv2(x)))  # 1/8
        features_BCHW = self.conv5_4(self.pyramid(self.conv5(mid_BCHW)))
        logits_BCHW: Tensor = self.classify(self.dropout(features_BCHW))
        if not self.training:
            return TrunkAnswer(features_BCHW, (logits_BCHW,))
        return TrunkAnswer(features_BCHW, (logits_BCHW, self.aux_conv4(mid_BCHW)))
