"""FCN-8s, 16s and 32s (Long, Shelhamer, Darrell, CVPR 2015; PAMI 2017) on VGG16 with batch norm.

Comes in: an image, B x 3 x H x W, mean subtracted, sides multiples of 32. Goes out: logits at 1/8 (16s: 1/16, 32s:
1/32) of its size. Runs wherever its engine puts it; holds no thread, device or loss.

    image ── VGG16 ──┬─ pool3 ──┬─ pool4 ──┬─ pool5 ── fc6 ── fc7 ── score_fr ─ 1/32 ──▶ FCN-32s
                     │          │                                       │ x2
                     │          └── score_pool4 ────────────────────────⊕ ── 1/16 ─────▶ FCN-16s
                     │                                                  │ x2
                     └───────────── score_pool3 ────────────────────────⊕ ── 1/8 ──────▶ FCN-8s

Unlike the authors' Caffe files:

- Batch norm follows every convolution, fc6 and fc7, too: VGG16 without it does not train from random weights.
- fc6 pads by 3 and maps fit each other, where Caffe's pads the image by 100 pixels and crops every map.
- The last enlargement, by the stride, is the engine's and the objective's: bilinear, as the authors keep it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.models.blocks import ConvBN, init_msra
from streamseg.models.trunk import TrunkAnswer
from streamseg.models.vgg import VGG16, base_channels

STRIDES = (8, 16, 32)

DEVIATION = 0.01
"""Of the gaussian that scores begin with."""


class Upsampling(nn.Module):
    """Learned x2 enlargement: 4x4 deconvolution of stride 2, which begins as bilinear interpolation of each channel.

    Beyond its sides the map goes on as at them; Caffe's has the 100 padded pixels there.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=3, bias=False)
        self._initialise()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """B x C x 2h x 2w."""
        enlarged_BCHW: Tensor = self.deconv(F.pad(x_BCHW, (1, 1, 1, 1), mode="replicate"))
        return enlarged_BCHW

    @torch.no_grad()
    def _initialise(self) -> None:
        weight = self.deconv.weight
        if weight.is_meta:
            return  # shapes alone, see `memory.weightless`
        tent = weight.new_tensor([0.25, 0.75, 0.75, 0.25])
        channels = torch.arange(len(weight))
        nn.init.zeros_(weight)
        weight[channels, channels] = torch.outer(tent, tent)


class FCN(nn.Module):
    """The published network at `width` 1, and batch norm: 134.4 M parameters, 102.8 M of them in fc6.

    Weights of one stride are not those of another, but hold all that a greater one does, by the same names. Skips begin
    at zero: with what FCN-32s learned, FCN-16s begins as FCN-32s interpolated; the authors train one after the other.

    Args:
        num_classes: channels of the logits.
        width: factor of every number of channels; a positive multiple of 1/64.
        align_corners: False: poolings of 2x2 and 4x4 deconvolutions keep outer edges where they are, not corners.
        stride: 8, 16 or 32: of the answer.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: float = 1.0,
        align_corners: bool = False,
        stride: int = 8,
    ) -> None:
        super().__init__()
        if num_classes < 1 or stride not in STRIDES:
            raise ValueError(
                f"expected num_classes >= 1 and stride 8, 16 or 32, got {num_classes = }, {stride = }"
            )
        if align_corners:
            raise ValueError("expected align_corners false, as FCN's maps have no common corners")
        base = base_channels(width)
        self.feature_channels = 64 * base
        self.stride = stride

        self.vgg = VGG16(width)
        self.fc6 = ConvBN(8 * base, 64 * base, 7)
        self.fc7 = ConvBN(64 * base, 64 * base, 1)
        self.dropout = nn.Dropout(0.5)
        self.score_fr = nn.Conv2d(64 * base, num_classes, 1)
        if stride <= 16:
            self.upscore2 = Upsampling(num_classes)
            self.score_pool4 = nn.Conv2d(8 * base, num_classes, 1)
        if stride <= 8:
            self.upscore_pool4 = Upsampling(num_classes)
            self.score_pool3 = nn.Conv2d(4 * base, num_classes, 1)
        self._initialise()

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Logits at 1 / `stride` of the image's size.

        Raises:
            ValueError: sides that are no multiples of 32.
        """
        return self.with_features(image_BCHW).logits[0]

    def with_features(self, image_BCHW: Tensor) -> TrunkAnswer:
        """See `Trunk`: what fc7 gives, at 1/32.

        Raises:
            ValueError: see `forward`.
        """
        _, _, pool3, pool4, pool5 = self.vgg(image_BCHW)
        features_BCHW: Tensor = self.fc7(self.dropout(self.fc6(pool5.values)))
        logits_BCHW: Tensor = self.score_fr(self.dropout(features_BCHW))
        if self.stride <= 16:
            logits_BCHW = self.upscore2(logits_BCHW) + self.score_pool4(pool4.values)
        if self.stride <= 8:
            logits_BCHW = self.upscore_pool4(logits_BCHW) + self.score_pool3(pool3.values)
        return TrunkAnswer(features_BCHW, (logits_BCHW,))

    def _initialise(self) -> None:
        for part in (self.vgg, self.fc6, self.fc7):
            init_msra(part)
        nn.init.normal_(self.score_fr.weight, 0.0, DEVIATION)
        for name, parameter in self.named_parameters():
            if name.startswith("score_pool") or name == "score_fr.bias":
                nn.init.zeros_(parameter)
