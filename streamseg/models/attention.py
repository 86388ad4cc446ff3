"""Hierarchical multi-scale attention (Tao, Sapra, Catanzaro 2020) around any network of the registry.

Comes in: an image, B x 3 x H x W. Goes out: logits at the image's own size. Training sees `MultiScaleLogits`.

    image x2   ── trunk ────────────────────────▶ p_2 ── down ──┐
    image      ── trunk ── attention ── a_1 ──┬─▶ p_1 ──────────┴── a_1 p_1 + (1 - a_1) down(p_2) ───────┐
    image x0.5 ── trunk ── attention ── a_0.5 ┴─▶ p_0.5 ── up(a_0.5 p_0.5) + (1 - up(a_0.5)) (...) ◀────┘

One set of weights sees all scales. A scale's attention says where it is to be trusted more than everything above it,
so that two neighbouring scales are enough to learn it, and others can be added afterwards. The topmost scale's is
neither needed nor computed.

B = batch, C = channels, H, W = height and width of that tensor.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from streamseg.models.blocks import ConvBN, init_msra, resize
from streamseg.models.registry import ARCHITECTURES, build
from streamseg.models.scales import Scales
from streamseg.models.tiles import GRID, OVERLAP, TILE, in_tiles
from streamseg.models.trunk import Trunk, TrunkAnswer


class MultiScaleLogits(NamedTuple):
    """What training sees: all at the size of their scale's image."""

    fused: tuple[Tensor, ...]
    """B x classes x H x W each: the answer, and the trunk's auxiliary logits, fused by the same attention."""
    scales: tuple[Tensor, ...]
    """B x classes x h x w each: the answer of every scale alone, greatest scale first."""


class AttentionHead(nn.Sequential):
    """3x3, 3x3 and 1x1 without bias; half of the features' channels between them (256 of HRNet-OCR's 512).

    Args:
        in_channels: of all features that it reads.
        channels: of the features of one scale.
        out_channels: one; or one for each scale, where one head weighs all of them.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int = 1) -> None:
        middle = max(1, channels // 2)
        super().__init__(
            ConvBN(in_channels, middle, 3),
            ConvBN(middle, middle, 3),
            nn.Conv2d(middle, out_channels, 1, bias=False),
        )


class MultiScale(nn.Module):
    """A network that looks at a picture at several scales.

    Args:
        num_classes: channels of the logits.
        trunk: name of the network in the registry.
        width: its width factor; None for its own.
        align_corners: of all interpolation, the trunk's included; False as released.
        scales: at which it looks, in training, too.
        tile, overlap: see `models.tiles`; of scales above 1. Not in training, and not with explicit attention, which
            needs the features of the whole.

    Raises:
        ModelError: no such trunk.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        trunk: str = "hrnet-ocr",
        width: float | None = None,
        align_corners: bool = False,
        scales: Scales | None = None,
        tile: tuple[int, int] = TILE,
        overlap: int = OVERLAP,
    ) -> None:
        super().__init__()
        if trunk in ARCHITECTURES and ARCHITECTURES[trunk].multi_scale:
            raise ValueError(f"expected a trunk that looks at one scale, got {trunk}")
        if min(tile) < overlap + 2 * GRID or overlap < 0:
            raise ValueError(
                f"expected tiles of at least overlap + {2 * GRID}, got {tile} and {overlap}"
            )
        self.scales = scales or Scales()
        self.align_corners = align_corners
        self.tile, self.overlap = tile, overlap
        chosen = {} if width is None else {"width": width}
        self.trunk = build(trunk, num_classes, align_corners=align_corners, **chosen)
        channels = cast(Trunk, self.trunk).feature_channels
        joint = len(self.scales.values) if self.scales.combine == "explicit" else 1
        self.attention = AttentionHead(joint * channels, channels, joint)
        init_msra(self.attention)

    def forward(self, image_BCHW: Tensor) -> Tensor | MultiScaleLogits:
        """Logits at the image's size; in training mode `MultiScaleLogits`."""
        if self.training:
            return self._fused(image_BCHW)
        answer_BCHW = self._fused(image_BCHW).fused[0]
        if self.scales.flip:
            mirrored_BCHW = self._fused(image_BCHW.flip(3)).fused[0]
            answer_BCHW = (answer_BCHW + mirrored_BCHW.flip(3)) / 2
        return answer_BCHW

    def _fused(self, image_BCHW: Tensor) -> MultiScaleLogits:
        if self.scales.combine == "attention":
            return self._chained(image_BCHW)
        if self.scales.combine == "explicit":
            return self._weighed(image_BCHW)
        return self._pooled(image_BCHW)

    def _chained(self, image_BCHW: Tensor) -> MultiScaleLogits:
        """From the greatest scale down, each gating its own answer against all above it."""
        logits, attention = self._attended(image_BCHW)
        size = _size(image_BCHW)
        fused = tuple(self._gated(branch, attention, size) for branch in zip(*logits, strict=True))
        return MultiScaleLogits(fused, tuple(one[0] for one in logits))

    def _attended(self, image_BCHW: Tensor) -> tuple[list[tuple[Tensor, ...]], list[Tensor]]:
        """Of every scale, greatest first, its logits; and of every one but the first its attention."""
        top, *below = reversed(self.scales.values)
        logits, attention = [self._seen(image_BCHW, top)], []
        for scale in below:
            *own, trusted_B1HW = self._seen(image_BCHW, scale, attended=True)
            logits.append(tuple(own))
            attention.append(trusted_B1HW)
        return logits, attention

    def _gated(
        self, answers: Sequence[Tensor], attention: Sequence[Tensor], size: tuple[int, int]
    ) -> Tensor:
        """One answer of all scales', each at its own size, greatest first.

        Args:
            attention: 0..1, of all scales but the first.
            size: of scale 1.
        """
        fused, *below = answers
        scales = list(reversed(self.scales.values))[1:]
        for scale, own, trusted_B1HW in zip(scales, below, attention, strict=True):
            if scale >= 1:
                fused = trusted_B1HW * own + (1 - trusted_B1HW) * self._to(fused, _size(own))
            else:
                rest_B1HW = 1 - self._to(trusted_B1HW, size)
                fused = self._to(trusted_B1HW * own, size) + rest_B1HW * fused
        return fused

    def shares(self, image_BCHW: Tensor) -> Tensor:
        """How much each scale counts in the answer: B x scales x H x W in 0..1, of sum 1.

        In the order of `scales.values`; of the picture itself, whether or not its mirror image is looked at, too.

        Raises:
            ValueError: nothing is weighed by a mean or maximum.
        """
        if self.scales.combine == "explicit":
            return self._shares_and_logits(image_BCHW)[0].flip(1)
        if self.scales.combine != "attention":
            raise ValueError(f"expected scales combined by attention, got {self.scales}")
        logits, attention = self._attended(image_BCHW)
        # What becomes of answers that say nothing but whose they are.
        marked = []
        for index, (own_BCHW, *_) in enumerate(logits):
            mark_BSHW = own_BCHW.new_zeros(len(own_BCHW), len(logits), *_size(own_BCHW))
            mark_BSHW[:, index] = 1
            marked.append(mark_BSHW)
        return self._gated(marked, attention, _size(image_BCHW)).flip(1)

    def _pooled(self, image_BCHW: Tensor) -> MultiScaleLogits:
        """Mean or maximum, which need no attention."""
        seen = [self._seen(image_BCHW, scale) for scale in reversed(self.scales.values)]
        fused = []
        for branch in zip(*seen, strict=True):
            brought = torch.stack([self._to(one, _size(image_BCHW)) for one in branch])
            fused.append(brought.amax(0) if self.scales.combine == "max" else brought.mean(0))
        return MultiScaleLogits(tuple(fused), tuple(logits[0] for logits in seen))

    def _weighed(self, image_BCHW: Tensor) -> MultiScaleLogits:
        """One head reads the features of all scales and gives each its share at every pixel."""
        shares_BSHW, logits = self._shares_and_logits(image_BCHW)
        fused = []
        for branch in zip(*logits, strict=True):
            parts = [
                shares_BSHW[:, index : index + 1] * self._to(one, _size(image_BCHW))
                for index, one in enumerate(branch)
            ]
            fused.append(torch.stack(parts).sum(0))
        return MultiScaleLogits(tuple(fused), tuple(one[0] for one in logits))

    def _shares_and_logits(self, image_BCHW: Tensor) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        """Of explicit attention, greatest scale first."""
        scaled = [self._scaled(image_BCHW, scale) for scale in reversed(self.scales.values)]
        answers = [self._trunk_answer(one) for one in scaled]
        at_one = answers[list(reversed(self.scales.values)).index(1.0)].features_BCHW
        features = [self._to(answer.features_BCHW, _size(at_one)) for answer in answers]
        shares_BSHW = self.attention(torch.cat(features, 1)).float().softmax(1)
        logits = [
            self._enlarged(answer, _size(image))
            for image, answer in zip(scaled, answers, strict=True)
        ]
        return self._to(shares_BSHW, _size(image_BCHW)), logits

    def _scaled(self, image_BCHW: Tensor, scale: float) -> Tensor:
        return self._to(image_BCHW, scaled_size(_size(image_BCHW), scale, self.align_corners))

    def _to(self, x_BCHW: Tensor, size: Sequence[int]) -> Tensor:
        return resize(x_BCHW, size, self.align_corners)

    def _trunk_answer(self, image_BCHW: Tensor) -> TrunkAnswer:
        return cast(Trunk, self.trunk).with_features(image_BCHW)

    def _seen(
        self, image_BCHW: Tensor, scale: float, *, attended: bool = False
    ) -> tuple[Tensor, ...]:
        """Logits at one scale; if `attended`, its attention (0..1) after them. All at the size of its image."""

        def look(image_BCHW: Tensor) -> tuple[Tensor, ...]:
            answer = self._trunk_answer(image_BCHW)
            size = _size(image_BCHW)
            logits = self._enlarged(answer, size)
            if not attended:
                return logits
            attention_B1HW = self.attention(answer.features_BCHW).float().sigmoid()
            return (*logits, self._to(attention_B1HW, size))

        scaled_BCHW = self._scaled(image_BCHW, scale)
        if self.training or scale <= 1:
            return look(scaled_BCHW)
        return in_tiles(look, scaled_BCHW, self.tile, self.overlap, self.align_corners)

    def _enlarged(self, answer: TrunkAnswer, size: Sequence[int]) -> tuple[Tensor, ...]:
        """Logits in float32, whatever the trunk computes in: what is fused was interpolated twice."""
        return tuple(self._to(one.float(), size) for one in answer.logits)


def scaled_size(size: Sequence[int], scale: float, align_corners: bool) -> tuple[int, int]:
    """(height, width) of a picture of `size` at `scale`: with aligned corners, distances between pixels scale."""
    less = 1 if align_corners else 0
    height, width = (max(1, round((side - less) * scale) + less) for side in size)
    return height, width


def _size(x_BCHW: Tensor) -> tuple[int, int]:
    height, width = x_BCHW.shape[-2:]
    return int(height), int(width)
