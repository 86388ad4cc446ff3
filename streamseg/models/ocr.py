"""HRNetV2 with object-contextual representations (Yuan, Chen, Wang, ECCV 2020): the trunk of hierarchical
multi-scale attention (Tao, Sapra, Catanzaro 2020).

Comes in: an image, B x 3 x H x W, normalised. Goes out: logits at a quarter of its size.

    HRNet ──┬── 3x3 ── pixel features ─────────┬──────────────────┬── concatenated ── 1x1 ── 1x1 ──▶ 1/4
            │                     └── object features ── attention ┘
            └── 1x1 ── 1x1 ── soft regions ─────┘
                            └──▶ (training) auxiliary, 1/4

K = classes, P = pixels of the features.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from streamseg.models.blocks import ConvBN, init_msra
from streamseg.models.hrnet import HRNet, fixed_channels
from streamseg.models.trunk import TrunkAnswer


class OCRLogits(NamedTuple):
    """What training sees; weights of the losses are the recipe's (paper: 1, 0.4)."""

    answer: Tensor
    """B x classes x H/4 x W/4: the network's answer."""
    auxiliary: Tensor
    """B x classes x H/4 x W/4: the scores that soft regions are made of."""


class ObjectAttention(nn.Module):
    """Every pixel as a mixture of the classes' features, by how alike they are.

    Args:
        channels: of pixel features, object features and what comes out.
        key: channels in which they are compared.
    """

    def __init__(self, channels: int, key: int) -> None:
        super().__init__()
        self.scale = key**-0.5
        self.of_pixel = nn.Sequential(ConvBN(channels, key, 1), ConvBN(key, key, 1))
        self.of_object = nn.Sequential(ConvBN(channels, key, 1), ConvBN(key, key, 1))
        self.down = ConvBN(channels, key, 1)
        self.up = ConvBN(key, channels, 1)

    def forward(self, pixels_BCHW: Tensor, objects_BCK1: Tensor) -> Tensor:
        """The objects' context at every pixel, B x C x H x W."""
        height, width = pixels_BCHW.shape[-2:]
        query_BPk = self.of_pixel(pixels_BCHW).flatten(2).transpose(1, 2)
        key_BkK = self.of_object(objects_BCK1).flatten(2)
        value_BKk = self.down(objects_BCK1).flatten(2).transpose(1, 2)
        alike_BPK = (self.scale * (query_BPk @ key_BkK)).softmax(2)
        context_BkP = (alike_BPK @ value_BKk).transpose(1, 2)
        context_BCHW: Tensor = self.up(context_BkP.unflatten(2, (height, width)))
        return context_BCHW


class HRNetOCR(nn.Module):
    """The published network at `width` 1.

    Args:
        num_classes: channels of the logits.
        width: 1 is W48, 18/48 is W18: channels of the trunk's branches. Stem and head keep theirs down to W18, and
            shrink in proportion below.
        align_corners: of all interpolation; False as released.
    """

    def __init__(
        self, num_classes: int, *, width: float = 1.0, align_corners: bool = False
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"expected num_classes >= 1, got {num_classes = }")
        middle, key = fixed_channels(512, width), fixed_channels(256, width)
        self.feature_channels = middle
        self.trunk = HRNet(width=width, align_corners=align_corners)
        high = self.trunk.out_channels
        self.pixels = ConvBN(high, middle, 3)
        self.regions = nn.Sequential(ConvBN(high, high, 1), nn.Conv2d(high, num_classes, 1))
        self.attention = ObjectAttention(middle, key)
        self.merge = nn.Sequential(ConvBN(2 * middle, middle, 1), nn.Dropout2d(0.05))
        self.classify = nn.Conv2d(middle, num_classes, 1)
        init_msra(self)

    def forward(self, image_BCHW: Tensor) -> Tensor | OCRLogits:
        """Logits at a quarter of the image's size; in training mode the two of `OCRLogits`."""
        logits = self.with_features(image_BCHW).logits
        return OCRLogits(*logits) if self.training else logits[0]

    def with_features(self, image_BCHW: Tensor) -> TrunkAnswer:
        """See `Trunk`: features after the objects' context was added, at 1/4."""
        high_BCHW = self.trunk(image_BCHW)
        pixels_BCHW = self.pixels(high_BCHW)
        scores_BKHW = self.regions(high_BCHW)
        objects_BCK1 = _objects(pixels_BCHW, scores_BKHW)
        context_BCHW = self.attention(pixels_BCHW, objects_BCK1)
        features_BCHW = self.merge(torch.cat([context_BCHW, pixels_BCHW], 1))
        logits_BKHW = self.classify(features_BCHW)
        logits = (logits_BKHW, scores_BKHW) if self.training else (logits_BKHW,)
        return TrunkAnswer(features_BCHW, logits)


def _objects(pixels_BCHW: Tensor, scores_BKHW: Tensor) -> Tensor:
    """Mean features of each class's soft region, B x C x K x 1: regions are a softmax over all pixels."""
    regions_BKP = scores_BKHW.flatten(2).softmax(2)
    objects_BKC = regions_BKP @ pixels_BCHW.flatten(2).transpose(1, 2)
    return objects_BKC.transpose(1, 2).unsqueeze(3)
