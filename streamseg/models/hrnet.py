"""HRNetV2 (Wang et al., TPAMI 2020): a trunk that keeps its features at a quarter of the image all along.

Comes in: an image, B x 3 x H x W, normalised. Goes out: B x 15 base x H/4 x W/4 (W48: 720 channels).

    image ── stem ── stage 1 ──┬── 1/4 ───┬── 1/4 ─────┬── 1/4 ─────┬──▶ 1/4 ──┐
                               └── 1/8 ───┼── 1/8 ─────┼── 1/8 ─────┼──▶ 1/8 ──┼── concatenated ──▶ 1/4
                                          └── 1/16 ────┼── 1/16 ────┼──▶ 1/16 ─┤
                                        stage 2   stage 3  └── 1/32 ┴──▶ 1/32 ─┘
                                                                stage 4

A stage is a row of exchanges: four residual blocks in each branch, then every branch gets the sum of all of them,
brought to its own resolution.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from streamseg.models.blocks import ConvBN, bottleneck_stage, resize

PUBLISHED_BASE = 48
"""Channels of the 1/4 branch at width 1: HRNetV2-W48."""

LEAST_PUBLISHED_BASE = 18
"""HRNetV2-W18: down to there stem, stage 1 and head keep their channels, as in the authors' family; below, they
shrink in proportion."""

EXCHANGES = (1, 4, 3)
"""In stages 2, 3 and 4."""

BLOCKS = 4
"""Residual blocks of a branch before each exchange."""


def base_channels(width: float) -> int:
    """Channels of the 1/4 branch: 48 at width 1, 18 at 18/48.

    Raises:
        ValueError: not a whole number of at least one.
    """
    base = round(PUBLISHED_BASE * width)
    if base < 1 or abs(PUBLISHED_BASE * width - base) > 1e-6:
        raise ValueError(f"expected width a positive multiple of 1/{PUBLISHED_BASE}, got {width}")
    return base


def fixed_channels(channels: int, width: float) -> int:
    """`channels` of a layer that W48 and W18 have alike, at `width`."""
    shrunk = min(1.0, base_channels(width) / LEAST_PUBLISHED_BASE)
    return max(1, round(channels * shrunk))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, summed with their input, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, 3)
        self.conv2 = ConvBN(channels, channels, 3, relu=False)
        self.relu = nn.ReLU()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        activated_BCHW: Tensor = self.relu(x_BCHW + self.conv2(self.conv1(x_BCHW)))
        return activated_BCHW


class Exchange(nn.Module):
    """Residual blocks in every branch, then each branch as the sum of all, and ReLU.

    Down: a chain of 3x3 convolutions of stride 2, with ReLU between them; up: 1x1, then bilinear.

    Args:
        channels: of the branches, finest first; each at half the resolution of the one before.
    """

    def __init__(self, channels: Sequence[int], align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(own) for _ in range(BLOCKS))) for own in channels
        )
        self.paths = nn.ModuleList(
            nn.ModuleList(_path(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )
        self.relu = nn.ReLU()

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        computed = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        return [
            self._sum(computed, paths, own.shape[-2:])
            for paths, own in zip(self.paths, computed, strict=True)
        ]

    def _sum(self, branches: Sequence[Tensor], paths: nn.Module, size: Sequence[int]) -> Tensor:
        assert isinstance(paths, nn.ModuleList)
        brought = [
            resize(path(x), size, self.align_corners)
            for path, x in zip(paths, branches, strict=True)
        ]
        total = brought[0]
        for term in brought[1:]:
            total = total + term
        activated: Tensor = self.relu(total)
        return activated


def _path(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """From branch `source` to the channels of `target`, and down to its resolution (up is the caller's)."""
    if source == target:
        return nn.Identity()
    if source > target:
        return ConvBN(channels[source], channels[target], 1, relu=False)
    steps = [
        ConvBN(channels[source], channels[source], 3, stride=2) for _ in range(target - source - 1)
    ]
    return nn.Sequential(
        *steps, ConvBN(channels[source], channels[target], 3, stride=2, relu=False)
    )


class HRNet(nn.Module):
    """The trunk alone.

    Args:
        width: 1 is W48, 18/48 is W18; any multiple of 1/48.
        align_corners: of all interpolation; False as released.

    Attributes:
        out_channels: of what it gives: 15 times the 1/4 branch's.
    """

    def __init__(self, *, width: float = 1.0, align_corners: bool = False) -> None:
        super().__init__()
        base, stem = base_channels(width), fixed_channels(64, width)
        channels = [base * 2**branch for branch in range(4)]
        self.align_corners = align_corners
        self.out_channels = sum(channels)
        self.stem = nn.Sequential(ConvBN(3, stem, 3, stride=2), ConvBN(stem, stem, 3, stride=2))
        self.stage1 = bottleneck_stage(stem, stem, 4 * stem, 4)
        self.fine = ConvBN(4 * stem, channels[0], 3)
        entries = [4 * stem, channels[1], channels[2]]
        self.coarse = nn.ModuleList(
            ConvBN(entry, channels[branch + 1], 3, stride=2) for branch, entry in enumerate(entries)
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(Exchange(channels[: 2 + stage], align_corners) for _ in range(depth))
            for stage, depth in enumerate(EXCHANGES)
        )

    def forward(self, image_BCHW: Tensor) -> Tensor:
        x = self.stage1(self.stem(image_BCHW))  # 1/4 of the image
        branches = [self.fine(x)]
        below = x  # what the next coarser branch begins with
        for enter, exchanges in zip(self.coarse, self.stages, strict=True):
            branches.append(enter(below))
            assert isinstance(exchanges, nn.ModuleList)
            for exchange in exchanges:
                branches = exchange(branches)
            below = branches[-1]
        size = branches[0].shape[-2:]
        return torch.cat([resize(one, size, self.align_corners) for one in branches], 1)
