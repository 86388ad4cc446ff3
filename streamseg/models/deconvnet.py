"""DeconvNet (Noh, Hong, Han, ICCV 2015): a convolution network, and its mirror image that puts the detail back.

Comes in: a picture of about one object, B x 3 x 224 x 224, mean subtracted. Goes out: logits of every pixel. Runs
wherever its engine puts it; holds no thread, device or loss, and knows nothing of proposals.

    224 ── conv1 ─ 112 ── conv2 ─ 56 ── conv3 ─ 28 ── conv4 ─ 14 ── conv5 ─ 7 ── fc6 ── fc7 ─ 1
            │              │             │             │             │                        │
            │ switches     │             │             │             │                   fc6-deconv
            ▼              ▼             ▼             ▼             ▼                        │
    224 ◀─ deconv1 ◀ 112 ◀ deconv2 ◀ 56 ◀ deconv3 ◀ 28 ◀ deconv4 ◀ 14 ◀ deconv5 ◀── unpool ── 7

Each unpooling puts every value back to where the maximum of that pooling was, among zeros.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from streamseg.models.blocks import ConvBN, UnstridedDeconvBN, init_msra
from streamseg.models.trunk import TrunkAnswer
from streamseg.models.vgg import STRIDE, VGG16, Pooled, base_channels

FC6_KERNEL = 7
LEAST_SIDE = FC6_KERNEL * STRIDE
"""224, the paper's input: there fc6 sees the whole picture at once."""

DEVIATION = 0.01
"""Of the gaussian that deconvolutions begin with."""

DECONVOLUTIONS = {
    "deconv5": (512, 512, 512, 512),
    "deconv4": (512, 512, 512, 256),
    "deconv3": (256, 256, 256, 128),
    "deconv2": (128, 128, 64),
    "deconv1": (64, 64, 64),
}
"""Channels at width 1 that come in, and that each 3x3 layer gives."""


class DeconvNetLogits(NamedTuple):
    """What training sees where the data has no class for background, which stage 1 of the paper's training needs."""

    answer: Tensor
    """B x classes x H x W: the network's answer."""
    background: Tensor
    """B x 1 x H x W: of no object at all; one class more beside the others."""


class DeconvNet(nn.Module):
    """The published network at `width` 1: 251.8 M parameters, 102.8 M each in fc6 and fc6-deconv.

    Sizes beyond 224x224: fc6 and fc7 then slide over the picture and fc6-deconv sums what they say at each place. Every
    multiple of 32 from 224 on works, with the same weights; the paper trains and runs 224x224 alone.

    Args:
        num_classes: channels of the logits.
        width: factor of every number of channels; a positive multiple of 1/64.
        align_corners: taken as every network's; nothing within interpolates, and logits have the picture's size.
        background_head: give `DeconvNetLogits` in training mode, instead of the logits alone.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: float = 1.0,
        align_corners: bool = False,
        background_head: bool = True,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"expected num_classes >= 1, got {num_classes}")
        base = base_channels(width)
        self.align_corners = align_corners
        self.feature_channels = base

        self.vgg = VGG16(width)
        self.fc6 = ConvBN(8 * base, 64 * base, FC6_KERNEL, padding=0)
        self.fc7 = ConvBN(64 * base, 64 * base, 1)
        self.fc6_deconv = UnstridedDeconvBN(64 * base, 8 * base, FC6_KERNEL, padding=0)
        for name, channels in DECONVOLUTIONS.items():
            self.add_module(name, _deconvolutions([count // 64 * base for count in channels]))
        self.seg_score = nn.Conv2d(base, num_classes, 1)
        # Training only: never run in eval mode.
        self.aux_background = nn.Conv2d(base, 1, 1) if background_head else None
        self._initialise()

    def forward(self, image_BCHW: Tensor) -> Tensor | DeconvNetLogits:
        """Logits at the image's size; in training mode `DeconvNetLogits`, if it has a head for background.

        Raises:
            ValueError: sides that are no multiples of 32 or less than 224; or in training, a single picture of 224x224,
                of which batch norm finds one value a channel.
        """
        logits = self.with_features(image_BCHW).logits
        return DeconvNetLogits(*logits) if len(logits) > 1 else logits[0]

    def with_features(self, image_BCHW: Tensor) -> TrunkAnswer:
        """See `Trunk`: what deconv1 gives, at the image's size.

        Raises:
            ValueError: see `forward`.
        """
        # Only the last one is kept.
        ((_, features_BCHW),) = deque(self._coarse_to_fine(image_BCHW), maxlen=1)
        logits_BCHW: Tensor = self.seg_score(features_BCHW)
        if not self.training or self.aux_background is None:
            return TrunkAnswer(features_BCHW, (logits_BCHW,))
        return TrunkAnswer(features_BCHW, (logits_BCHW, self.aux_background(features_BCHW)))

    def activations(self, image_BCHW: Tensor) -> dict[str, Tensor]:
        """Of the deconvolution part, coarse to fine, as the paper draws them: "fc6-deconv", "unpool5", "deconv5", ...,
        "unpool1", "deconv1", each B x C x h x w from 1/32 of the image's size up to the whole.

        Raises:
            ValueError: see `forward`.
        """
        return dict(self._coarse_to_fine(image_BCHW))

    def _coarse_to_fine(self, image_BCHW: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each step of the deconvolution part; one at a time, so that none is kept."""
        height, width = image_BCHW.shape[-2:]
        if min(height, width) < LEAST_SIDE:
            raise ValueError(
                f"expected a network input of at least {LEAST_SIDE}x{LEAST_SIDE} and multiples of {STRIDE}, "
                f"got {height}x{width}"
            )
        if self.training and len(image_BCHW) * (height + width) == 2 * LEAST_SIDE:
            raise ValueError(
                "expected a batch of at least 2 pictures to train DeconvNet with, got 1"
            )
        pools = self.vgg(image_BCHW, switches=True)
        x = self.fc6_deconv(self.fc7(self.fc6(pools[-1].values)))
        yield "fc6-deconv", x
        for number in range(len(pools), 0, -1):
            x = unpool(x, pools.pop())
            yield f"unpool{number}", x
            x = self.get_submodule(f"deconv{number}")(x)
            yield f"deconv{number}", x

    def _initialise(self) -> None:
        """The paper's: deconvolutions and scores gaussian of 0.01. VGG16 is to come from ImageNet: till then msra."""
        for part in (self.vgg, self.fc6, self.fc7):
            init_msra(part)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 4 and not name.startswith(("vgg.", "fc6.", "fc7.")):
                nn.init.normal_(parameter, 0.0, DEVIATION)
            elif name in ("seg_score.bias", "aux_background.bias"):
                nn.init.zeros_(parameter)


def unpool(x_BCHW: Tensor, pooled: Pooled) -> Tensor:
    """`nn.MaxUnpool2d` of 2x2: B x C x 2h x 2w, every value where that pooling's maximum was, zeros elsewhere.

    Written as a scatter, which there is in every precision and in OpenVINO.
    """
    assert pooled.switches is not None
    batch, channels, height, width = x_BCHW.shape
    places = pooled.switches.reshape(batch, channels, -1)
    zeros = x_BCHW.new_zeros(batch, channels, 4 * height * width)
    filled = zeros.scatter(2, places, x_BCHW.reshape(batch, channels, -1))
    return filled.reshape(batch, channels, 2 * height, 2 * width)


def _deconvolutions(channels: Sequence[int]) -> nn.Sequential:
    """3x3 deconvolutions from each number of channels to the next."""
    return nn.Sequential(
        *(UnstridedDeconvBN(before, after, 3, padding=1) for before, after in pairwise(channels))
    )
