"""ICNet's cascade stopped early: the paper's sub4 and sub24, out of the network that was trained whole.

Comes in: an image, B x 3 x H x W. Goes out: logits at 1/16 (sub4) or 1/8 (sub24) of its size. What stands behind the
stop is not there, so that time and memory are the branch's own.

    1/2 ── stem ── conv2 ── conv3_1 ──┬──────────────────────────▶ 1/16 ──┐
                                      └ 1/2 ── conv3..5 ── PPM ──▶ 1/32 ─ CFF ── x2 ── aux_sub24 ──▶ sub24
                                                                    └──── x2 ── aux_sub4 ──▶ sub4

The heads are those of cascade label guidance, which every training run trains and `save_weights` keeps if asked to.
"""

from typing import Any

from torch import Tensor, nn

from streamseg.models.blocks import resize
from streamseg.models.icnet import ICNet
from streamseg.models.rearranged import RearrangedLow, fine_size, folded, rearranged_fusion
from streamseg.models.registry import Branch

LEFT_OUT = {
    "sub4": ("fuse_sub24", "high", "fuse_sub12", "classify", "aux_sub24"),
    "sub24": ("high", "fuse_sub12", "classify", "aux_sub4"),
}
"""Parts of `ICNet` that a branch does not run."""


class ICNetBranch(nn.Module):
    """In the paper's order: what `ICNet` gives in training as `CascadeLogits.sub4` or `.sub24`, alone.

    Args:
        network: its parts become this one's; it cannot be used afterwards.
    """

    def __init__(self, network: ICNet, branch: Branch) -> None:
        super().__init__()
        self.branch: Branch = branch
        for part in LEFT_OUT[branch]:
            delattr(network, part)
        self.network = network

    def forward(self, image_BCHW: Tensor) -> Tensor:
        low_BCHW, mid_BCHW = self.network.low(image_BCHW)
        if self.branch == "sub4":
            low_up_BCHW = resize(low_BCHW, mid_BCHW.shape[-2:], self.network.align_corners)
            of_low: Tensor = self.network.aux_sub4(low_up_BCHW)
            return of_low
        fused_BCHW, _ = self.network.fuse_sub24(low_BCHW, mid_BCHW)
        fused_up_BCHW = resize(fused_BCHW, fine_size(image_BCHW), self.network.align_corners)
        of_fused: Tensor = self.network.aux_sub24(fused_up_BCHW)
        return of_fused

    def rearranged(self) -> nn.Module:
        """A copy for inference, see `ICNet.rearranged`."""
        return RearrangedBranch(self)


class RearrangedBranch(RearrangedLow):
    """The same with the head before the interpolation, which is left to the painter where it can be."""

    def __init__(self, stopped: ICNetBranch) -> None:
        source = folded(stopped.network)
        super().__init__(source)
        self.fuse_sub24: Any = None
        if stopped.branch == "sub24":
            self.fuse_sub24 = rearranged_fusion(source.fuse_sub24)
        self.classify = source.aux_sub4 if stopped.branch == "sub4" else source.aux_sub24

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Logits at 1/32 (sub4) or 1/16 (sub24) with aligned corners and sizes of 32 k + 1, else at twice that."""
        deep_BCHW, mid_BCHW = self.low(image_BCHW)
        size = [int(side) for side in mid_BCHW.shape[-2:]]
        if self.fuse_sub24 is not None:
            deep_BCHW, size = self.fuse_sub24(deep_BCHW, mid_BCHW), list(fine_size(image_BCHW))
        logits_BCHW: Tensor = self.classify(deep_BCHW)
        doubled = [2 * int(side) - 1 for side in deep_BCHW.shape[-2:]]
        if self.align_corners and size == doubled:
            return logits_BCHW
        return resize(logits_BCHW, size, self.align_corners)
