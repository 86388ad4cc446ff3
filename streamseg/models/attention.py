"""Hierarchical multi-scale attention (Tao, Sapra, Catanzaro 2020) around any network of the registry.

Comes in: an image, B x 3 x H x W. Goes out: logits at the image's own size. Training sees `MultiScaleLogits`.

    image x2   ── trunk ────────────────────────▶ p_2 ── down ──┐
    image      ── trunk ── attention ── a_1 ──┬─▶ p_1 ──────────┴── a_1 p_1 + (1 - a_1) down(p_2) ───────┐
    image x0.5 ── trunk ── attention ── a_0.5 ┴─▶ p_0.5 ── up(a_0.5 p_0.5) + (1 - up(a_0.5)) (...) ◀────┘

One set of weights sees all scales. A scale's attention says where it is to be trusted more than everything above it,
so that two neighbouring scales are enough to learn it, and others can be added afterwards. The topmost scale's is not
needed.

B = batch, C = channels, H, W = height and width of that tensor.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from streamseg.models.blocks import ConvBN, init_msra, resize
from streamseg.models.registry import ARCHITECTURES, build
from streamseg.models.scales import Scales
from streamseg.models.trunk import Trunk, TrunkAnswer

TILE = (1152, 2176)
"""Greatest height and width that a trunk sees at scales above 1: four tiles make 2048 x 4096."""

OVERLAP = 128
"""Least number of pixels that neighbouring tiles share."""

GRID = 32
"""Tiles begin at multiples of it, so that strides fall on the same pixels in a tile as in the whole."""


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
        tile, overlap: see `TILE` and `OVERLAP`. Not in training, and not with explicit attention, which needs the
            features of the whole.

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
        size = _size(image_BCHW)
        fused: tuple[Tensor, ...] = ()
        single = []
        for scale in reversed(self.scales.values):
            attention_B1HW, logits = self._seen(self._scaled(image_BCHW, scale), scale)
            single.append(logits[0])
            if not fused:
                fused = logits
            elif scale >= 1:
                fused = tuple(
                    attention_B1HW * own + (1 - attention_B1HW) * self._to(above, _size(own))
                    for own, above in zip(logits, fused, strict=True)
                )
            else:
                attention_up_B1HW = self._to(attention_B1HW, size)
                fused = tuple(
                    self._to(attention_B1HW * own, size) + (1 - attention_up_B1HW) * above
                    for own, above in zip(logits, fused, strict=True)
                )
        return MultiScaleLogits(fused, tuple(single))

    def _pooled(self, image_BCHW: Tensor) -> MultiScaleLogits:
        """Mean or maximum, which need no attention."""
        single = []
        total: tuple[Tensor, ...] = ()
        for scale in reversed(self.scales.values):
            _, logits = self._seen(self._scaled(image_BCHW, scale), scale)
            single.append(logits[0])
            brought = tuple(self._to(one, _size(image_BCHW)) for one in logits)
            if not total:
                total = brought
            elif self.scales.combine == "max":
                total = tuple(map(torch.maximum, total, brought))
            else:
                total = tuple(one + other for one, other in zip(total, brought, strict=True))
        if self.scales.combine == "average":
            total = tuple(one / len(self.scales.values) for one in total)
        return MultiScaleLogits(total, tuple(single))

    def _weighed(self, image_BCHW: Tensor) -> MultiScaleLogits:
        """One head reads the features of all scales and gives each its share at every pixel."""
        size = _size(image_BCHW)
        scaled = [self._scaled(image_BCHW, scale) for scale in reversed(self.scales.values)]
        answers = [self._trunk_answer(one) for one in scaled]
        at_one = answers[list(reversed(self.scales.values)).index(1.0)].features_BCHW
        features = [self._to(answer.features_BCHW, _size(at_one)) for answer in answers]
        shares_BSHW = self.attention(torch.cat(features, 1)).float().softmax(1)
        shares_BSHW = self._to(shares_BSHW, size)
        logits = [
            self._enlarged(answer, _size(image))
            for image, answer in zip(scaled, answers, strict=True)
        ]
        fused = []
        for branch in zip(*logits, strict=True):
            parts = [
                shares_BSHW[:, index : index + 1] * self._to(one, size)
                for index, one in enumerate(branch)
            ]
            fused.append(torch.stack(parts).sum(0))
        return MultiScaleLogits(tuple(fused), tuple(one[0] for one in logits))

    def _scaled(self, image_BCHW: Tensor, scale: float) -> Tensor:
        return self._to(image_BCHW, scaled_size(_size(image_BCHW), scale, self.align_corners))

    def _to(self, x_BCHW: Tensor, size: Sequence[int]) -> Tensor:
        return resize(x_BCHW, size, self.align_corners)

    def _trunk_answer(self, image_BCHW: Tensor) -> TrunkAnswer:
        return cast(Trunk, self.trunk).with_features(image_BCHW)

    def _seen(self, image_BCHW: Tensor, scale: float) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Attention (0..1) and logits of one scale, at the size of its image."""
        height, width = _size(image_BCHW)
        small = height <= self.tile[0] and width <= self.tile[1]
        if self.training or scale <= 1 or small:
            return self._looked_at(image_BCHW)
        rows, columns = (
            tiles(side, tile, self.overlap, self.align_corners)
            for side, tile in zip((height, width), self.tile, strict=True)
        )
        attention_rows, logits_rows = [], []
        for row in rows:
            attentions, logits = [], []
            for column in columns:
                attention_B1HW, (answer_BCHW,) = self._looked_at(
                    image_BCHW[:, :, row.start : row.stop, column.start : column.stop]
                )
                attentions.append(_kept(attention_B1HW, row, column))
                logits.append(_kept(answer_BCHW, row, column))
            attention_rows.append(torch.cat(attentions, 3))
            logits_rows.append(torch.cat(logits, 3))
        return torch.cat(attention_rows, 2), (torch.cat(logits_rows, 2),)

    def _looked_at(self, image_BCHW: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The same of an image, or of a tile of it."""
        answer = self._trunk_answer(image_BCHW)
        size = _size(image_BCHW)
        attention_B1HW = self.attention(answer.features_BCHW).float().sigmoid()
        return self._to(attention_B1HW, size), self._enlarged(answer, size)

    def _enlarged(self, answer: TrunkAnswer, size: Sequence[int]) -> tuple[Tensor, ...]:
        """Logits in float32, whatever the trunk computes in: what is fused was interpolated twice."""
        return tuple(self._to(one.float(), size) for one in answer.logits)


class Tile(NamedTuple):
    """Along one axis, in pixels: what is looked at, and what is kept of it."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def tiles(side: int, tile: int, overlap: int, align_corners: bool) -> list[Tile]:
    """As few tiles as cover `side`, evenly laid; what two of them share is cut in its middle.

    Args:
        tile: their greatest length. With aligned corners one pixel more is looked at: 32 k + 1.
        overlap: least number of pixels that two share.
    """
    if side <= tile:
        return [Tile(0, side, 0, side)]
    # Beginnings are rounded up to the grid, for the last tile's end is the picture's: that may take GRID of an overlap.
    num = -(-(side - overlap - GRID) // (tile - overlap - GRID))
    starts = [-(-(side - tile) * index // (num - 1) // GRID) * GRID for index in range(num)]
    stops = [min(start + tile + align_corners, side) for start in starts]
    stops[-1] = side
    cuts = [
        0,
        *((stop + start) // 2 for stop, start in zip(stops, starts[1:], strict=False)),
        side,
    ]
    return [Tile(*one) for one in zip(starts, stops, cuts, cuts[1:], strict=False)]


def _kept(x_BCHW: Tensor, row: Tile, column: Tile) -> Tensor:
    return x_BCHW[
        :,
        :,
        row.keep_start - row.start : row.keep_stop - row.start,
        column.keep_start - column.start : column.keep_stop - column.start,
    ]


def scaled_size(size: Sequence[int], scale: float, align_corners: bool) -> tuple[int, int]:
    """(height, width) of a picture of `size` at `scale`: with aligned corners, distances between pixels scale."""
    less = 1 if align_corners else 0
    height, width = (max(1, round((side - less) * scale) + less) for side in size)
    return height, width


def _size(x_BCHW: Tensor) -> tuple[int, int]:
    height, width = x_BCHW.shape[-2:]
    return int(height), int(width)
