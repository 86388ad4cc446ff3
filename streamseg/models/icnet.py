"""ICNet (Zhao et al., ECCV 2018): an image cascade of three resolutions for real-time segmentation.

Comes in: an image, B x 3 x H x W, mean subtracted. Goes out: logits at a quarter of its size.
Runs wherever its engine puts it; holds no thread, device or loss.

    image 1 ────────────────────────────── high-res branch, 3 convolutions ──▶ 1/8 ──┐
      └ 1/2 ── stem ── conv2 ── conv3_1 ──┬──────────────────────────▶ 1/16 ──┐      │
                                          └ 1/2 ── conv3..5 ── PPM ──▶ 1/32 ─ CFF ── CFF ── 1x1 ──▶ 1/4

The 1/4 image of the paper's figure is never fed: the low branch starts from the halved conv3_1 of
the 1/2 image, so that the two lower branches share weights *and* computation up to there.
"""

from typing import Literal, NamedTuple, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.models.blocks import (
    CascadeFeatureFusion,
    ConvBN,
    DeconvolutionFusion,
    PyramidPoolingSum,
    bottleneck_stage,
    halve,
    init_msra,
    resize,
)
from streamseg.models.trunk import TrunkAnswer

Fusion = Literal["cff", "deconv3", "deconv5", "deconv7"]
"""Cascade feature fusion, or deconvolutions of so many taps a side."""


class CascadeLogits(NamedTuple):
    """What training sees: cascade label guidance supervises each branch (weights in the recipe)."""

    sub124: Tensor
    """B x classes x H/4 x W/4: the network's answer."""
    sub24: Tensor
    """B x classes x H/8 x W/8: auxiliary, from the interpolated fused 1/16 map."""
    sub4: Tensor
    """B x classes x H/16 x W/16: auxiliary, from the interpolated 1/32 map."""


class ICNet(nn.Module):
    """The official network. `width` 0.5 is the one the authors released, 1 doubles every layer.

    Args:
        num_classes: channels of the logits.
        width: 0.5 or 1 for the published networks; any multiple of 1/16 works.
        align_corners: True is Caffe's `Interp`, and what released weights expect; sizes of the form
            32k + 1 then divide evenly. Other sizes work, interpolating to the companion map's size.
        caffe_windows: pyramid pooling windows of the released file (see `PyramidPoolingSum`).
        fusion: of both fusions. "cff" is the published network; the others are of the paper's ablation, and put a
            deconvolution in place of interpolation and dilated convolution (see `DeconvolutionFusion`).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: float = 0.5,
        align_corners: bool = True,
        caffe_windows: bool = False,
        fusion: Fusion = "cff",
    ) -> None:
        super().__init__()
        if num_classes < 1 or width <= 0 or (64 * width) % 4:
            raise ValueError(
                f"expected num_classes >= 1 and width a positive multiple of 1/16, "
                f"got {num_classes = }, {width = }"
            )
        if fusion not in get_args(Fusion):
            raise ValueError(f"expected fusion {', '.join(get_args(Fusion))}, got {fusion!r}")
        base = int(64 * width)
        fused = 4 * base
        self.align_corners = align_corners
        self.feature_channels = fused

        self.stem = nn.Sequential(
            ConvBN(3, base, 3, stride=2), ConvBN(base, base, 3), ConvBN(base, 2 * base, 3)
        )
        self.conv2 = bottleneck_stage(2 * base, base, 4 * base, 3)
        conv3 = bottleneck_stage(4 * base, 2 * base, 8 * base, 4, stride=2)
        self.conv3_1, self.conv3_rest = conv3[0], conv3[1:]
        self.conv4 = bottleneck_stage(8 * base, 4 * base, 16 * base, 6, dilation=2)
        self.conv5 = bottleneck_stage(16 * base, 8 * base, 32 * base, 3, dilation=4)
        self.pyramid = PyramidPoolingSum(align_corners, caffe_windows=caffe_windows)
        self.conv5_4 = ConvBN(32 * base, 8 * base, 1)

        self.fuse_sub24 = _fusion_unit(fusion, 8 * base, 8 * base, fused, align_corners)
        self.high = nn.Sequential(
            ConvBN(3, base, 3, stride=2),
            ConvBN(base, base, 3, stride=2),
            ConvBN(base, 2 * base, 3, stride=2),
        )
        self.fuse_sub12 = _fusion_unit(fusion, fused, 2 * base, fused, align_corners)
        self.classify = nn.Conv2d(fused, num_classes, 1)

        # Training only: never run in eval mode. With them the cascade can also stop early (`models.branches`).
        self.aux_sub4 = nn.Conv2d(8 * base, num_classes, 1)
        self.aux_sub24 = nn.Conv2d(fused, num_classes, 1)
        init_msra(self)

    def forward(self, image_BCHW: Tensor) -> Tensor | CascadeLogits:
        """Logits at a quarter of the image's size; in training mode the three of `CascadeLogits`."""
        logits = self.with_features(image_BCHW).logits
        return CascadeLogits(*logits) if self.training else logits[0]

    def with_features(self, image_BCHW: Tensor) -> TrunkAnswer:
        """See `Trunk`: features of the last fusion, at 1/8."""
        fused_16_BCHW, low_up_BCHW = self._context(image_BCHW)
        fused_8_BCHW, mid_up_BCHW = self.fuse_sub12(fused_16_BCHW, self.high(image_BCHW))
        logits_BCHW = self._head(fused_8_BCHW)
        if not self.training:
            return TrunkAnswer(fused_8_BCHW, (logits_BCHW,))
        auxiliary = (self.aux_sub24(mid_up_BCHW), self.aux_sub4(low_up_BCHW))
        return TrunkAnswer(fused_8_BCHW, (logits_BCHW, *auxiliary))

    def context(self, image_BCHW: Tensor) -> Tensor:
        """The deep part: fused 1/16 features (4 * 64 * width channels), all that a keyframe must pass on."""
        return self._context(image_BCHW)[0]

    def refine(self, image_BCHW: Tensor, features_BCHW: Tensor) -> Tensor:
        """The fine part: high-resolution branch and last fusion on `image`, given `context` features."""
        return self._head(self.fuse_sub12(features_BCHW, self.high(image_BCHW))[0])

    def rearranged(self) -> nn.Module:
        """A copy for inference: the same function in a cheaper order, logits at 1/8 (`models.rearranged`)."""
        from streamseg.models.rearranged import RearrangedICNet

        return RearrangedICNet(self)

    def low(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The 1/32 map of the low branch and the 1/16 map that it is fused with."""
        x = self.stem(halve(image_BCHW, self.align_corners))  # 1/4 of the image
        x = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)  # 1/8
        mid_BCHW = self.conv3_1(self.conv2(x))  # 1/16
        x = self.conv3_rest(halve(mid_BCHW, self.align_corners))  # 1/32
        low_BCHW = self.conv5_4(self.pyramid(self.conv5(self.conv4(x))))
        return low_BCHW, mid_BCHW

    def _context(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        fused_BCHW, low_up_BCHW = self.fuse_sub24(*self.low(image_BCHW))
        return fused_BCHW, low_up_BCHW

    def _head(self, fused_8_BCHW: Tensor) -> Tensor:
        height, width = fused_8_BCHW.shape[-2:]
        # Caffe's zoom 2: (size - 1) * 2 + 1, so that 1/4 of 1025 is 257.
        size = (2 * height - 1, 2 * width - 1) if self.align_corners else (2 * height, 2 * width)
        upsampled: Tensor = resize(fused_8_BCHW, size, self.align_corners)
        logits: Tensor = self.classify(upsampled)
        return logits


def _fusion_unit(
    fusion: Fusion, deep: int, fine: int, out: int, align_corners: bool
) -> CascadeFeatureFusion | DeconvolutionFusion:
    """The unit for so many channels of the deep map, of the fine one, and of their sum."""
    if fusion == "cff":
        return CascadeFeatureFusion(deep, fine, out, align_corners)
    kernel = int(fusion.removeprefix("deconv"))
    return DeconvolutionFusion(deep, fine, out, align_corners, kernel=kernel)
