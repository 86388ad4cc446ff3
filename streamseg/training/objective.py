"""What a recipe minimises. Comes in: a batch's logits, its images and labels. Goes out: one scalar."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from streamseg.models.attention import MultiScaleLogits
from streamseg.models.blocks import resize
from streamseg.models.deconvnet import DeconvNetLogits
from streamseg.training.losses import cascade_label_guidance, soft_jaccard, soft_label_loss
from streamseg.training.recipe import Recipe
from streamseg.training.rmi import RegionMutualInformation, rmi_loss, sigmoid_cross_entropy
from streamseg.training.teacher import Teacher


class Objective:
    """The recipe's loss.

    Args:
        teacher: of a recipe that learns from one.
    """

    def __init__(self, recipe: Recipe, teacher: Teacher | None) -> None:
        self._recipe = recipe
        self._teacher = teacher

    def loss(
        self,
        logits: Tensor | MultiScaleLogits | DeconvNetLogits | tuple[Tensor, ...],
        image_BCHW: Tensor,
        label_BHW: Tensor,
        *,
        class_weights_C: Tensor | None,
        label_stride: int | None,
        background: bool = False,
    ) -> Tensor:
        """Of one batch.

        Args:
            logits: what the network gives in training mode: the answer first, auxiliary ones after it.
            image_BCHW: uint8 BGR, for the teacher.
            label_BHW: int64 class ids at the image's size.
            class_weights_C, label_stride: see `Stage`; not of the loss by regions, which is taken at the label map's
                size.
            background: labels may be one more than the last class: of no object, of which `DeconvNetLogits` have a
                logit. A class that is there in training alone; its weight is 1.

        Raises:
            ValueError: there is such a background, and the network has no logit of it.
        """
        recipe = self._recipe
        branches, scales = _answers(logits, background)
        if background and class_weights_C is not None:
            class_weights_C = F.pad(class_weights_C, (0, 1), value=1.0)
        weights = recipe.branch_weights[: len(branches)]
        guided = branches
        if label_stride is not None:
            size = [(side - 1) // label_stride + 1 for side in label_BHW.shape[-2:]]
            guided = (self._at(branches[0], size), *branches[1:])
        if recipe.region is None:
            loss = self._guidance(guided, label_BHW, weights, class_weights_C)
        else:
            loss = self._by_regions(branches, label_BHW, weights, recipe.region, class_weights_C)
        if recipe.scale_weight:
            for alone_BCHW in scales:
                loss = loss + recipe.scale_weight * self._auxiliary(
                    alone_BCHW, label_BHW, class_weights_C
                )
        if recipe.jaccard_weight:
            loss = loss + recipe.jaccard_weight * soft_jaccard(guided[0], label_BHW)
        if self._teacher is not None and recipe.distillation is not None:
            how = recipe.distillation
            height, width = branches[0].shape[-2:]
            taught = self._teacher.logits(image_BCHW, (height, width))
            soft = soft_label_loss(branches[0], taught, label_BHW, how.temperature)
            loss = loss + how.weight * soft
        return loss

    def _guidance(
        self,
        branches: Sequence[Tensor],
        label_BHW: Tensor,
        weights: Sequence[float],
        class_weights_C: Tensor | None,
    ) -> Tensor:
        """Softmax cross entropy of every branch."""
        return cascade_label_guidance(
            branches, label_BHW, weights, class_weights_C,
            hardest=self._recipe.hardest, smoothing=self._recipe.label_smoothing,
        )  # fmt: skip

    def _by_regions(
        self,
        branches: Sequence[Tensor],
        label_BHW: Tensor,
        weights: Sequence[float],
        how: RegionMutualInformation,
        class_weights_C: Tensor | None,
    ) -> Tensor:
        """The answer by regions, auxiliary branches without them."""
        if len(weights) != len(branches):
            raise ValueError(
                f"expected one weight per branch ({len(branches)}), got {len(weights)} weights"
            )
        loss = weights[0] * rmi_loss(self._at(branches[0], label_BHW.shape[-2:]), label_BHW, how)
        for branch_BCHW, weight in zip(branches[1:], weights[1:], strict=True):
            loss = loss + weight * self._auxiliary(branch_BCHW, label_BHW, class_weights_C)
        return loss

    def _auxiliary(
        self, logits_BCHW: Tensor, label_BHW: Tensor, class_weights_C: Tensor | None
    ) -> Tensor:
        """Without regions; at the label map's size, as the released code has it."""
        region = self._recipe.region
        logits_BCHW = self._at(logits_BCHW, label_BHW.shape[-2:])
        if region is not None and region.auxiliary == "sigmoid":
            return sigmoid_cross_entropy(logits_BCHW, label_BHW)
        return self._guidance([logits_BCHW], label_BHW, [1.0], class_weights_C)

    def _at(self, logits_BCHW: Tensor, size: Sequence[int]) -> Tensor:
        """Interpolated in float32 by the recipe's rule for corners."""
        return resize(logits_BCHW.float(), size, self._recipe.input.align_corners)


def _answers(
    logits: Tensor | MultiScaleLogits | DeconvNetLogits | tuple[Tensor, ...], background: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(the answer and auxiliary ones, those of single scales)."""
    if isinstance(logits, DeconvNetLogits):
        return (torch.cat(logits, 1) if background else logits.answer,), ()
    if background:
        raise ValueError(
            "expected a network with a logit of background (deconvnet) to learn single objects of a data set "
            "without that class"
        )
    if isinstance(logits, MultiScaleLogits):
        return logits.fused, logits.scales
    return ((logits,) if isinstance(logits, Tensor) else logits), ()
