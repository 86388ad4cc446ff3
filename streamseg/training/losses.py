"""What training minimises. Comes in: logits and label maps. Goes out: one scalar."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from streamseg.labels import IGNORE


def nearest_labels(label_BHW: Tensor, size: Sequence[int]) -> Tensor:
    """Label maps at a branch's size, by nearest neighbour on the grid that `align_corners` implies.

    A branch's pixel i lies on the image's pixel i * (H - 1) / (h - 1): at sizes of the form 32k + 1
    an exact one. (Interpolating ids bilinearly, as popular ports do, invents classes.)

    Args:
        label_BHW: int64 class ids.
        size: (height, width) of the result in pixels.
    """
    height, width = label_BHW.shape[-2:]
    rows = _grid(height, size[0], label_BHW.device)
    columns = _grid(width, size[1], label_BHW.device)
    return label_BHW[:, rows][:, :, columns]


def _grid(source: int, target: int, device: torch.device) -> Tensor:
    if target == 1:
        return torch.zeros(1, dtype=torch.long, device=device)
    steps = torch.arange(target, device=device, dtype=torch.float64)
    return (steps * ((source - 1) / (target - 1))).round().long()


def cascade_label_guidance(
    logits: Sequence[Tensor],
    label_BHW: Tensor,
    weights: Sequence[float],
    class_weights_C: Tensor | None = None,
) -> Tensor:
    """ICNet's loss: weighted softmax cross entropy of every branch against labels of its own size.

    Args:
        logits: B x C x h x w each, finest first (`CascadeLogits`).
        label_BHW: int64 class ids at the image's size, `IGNORE` unlabelled.
        weights: one per branch; the paper's recipe is 1, 0.4, 0.4.
        class_weights_C: optional weight of each class, float32.

    A branch whose labels are all `IGNORE` adds nothing (a mean over no pixel would be nan).
    """
    if len(weights) != len(logits):
        raise ValueError(
            f"expected one weight per branch ({len(logits)}), got {len(weights)} weights"
        )
    total = torch.zeros((), device=label_BHW.device)
    for branch_BCHW, weight in zip(logits, weights, strict=True):
        target_BHW = nearest_labels(label_BHW, branch_BCHW.shape[-2:])
        if bool((target_BHW != IGNORE).any()):
            total = total + weight * F.cross_entropy(
                branch_BCHW.float(), target_BHW, class_weights_C, ignore_index=IGNORE
            )
        else:
            total = total + branch_BCHW.sum() * 0
    return total


def soft_jaccard(logits_BCHW: Tensor, label_BHW: Tensor) -> Tensor:
    """One minus the soft intersection over union of the batch, averaged over the classes it holds.

    Cross entropy counts pixels; this counts classes, as the score does, so a thin pole weighs as
    much as the road. 0 where every label is `IGNORE`.

    Args:
        logits_BCHW: of one branch, any size.
        label_BHW: int64 class ids at the image's size, `IGNORE` unlabelled.
    """
    target_BHW = nearest_labels(label_BHW, logits_BCHW.shape[-2:])
    num_classes = logits_BCHW.shape[1]
    valid_B1HW = (target_BHW != IGNORE).unsqueeze(1)
    probability = logits_BCHW.float().softmax(1) * valid_B1HW
    one_hot = F.one_hot(torch.where(target_BHW == IGNORE, 0, target_BHW), num_classes)
    one_hot = one_hot.permute(0, 3, 1, 2) * valid_B1HW
    intersection_C = (probability * one_hot).sum((0, 2, 3))
    pixels_C = one_hot.sum((0, 2, 3))
    union_C = probability.sum((0, 2, 3)) + pixels_C - intersection_C
    present = pixels_C > 0
    if not bool(present.any()):
        return logits_BCHW.sum() * 0
    return 1 - (intersection_C[present] / union_C[present]).mean()


def class_weights(pixels_C: Tensor, softness: float) -> Tensor:
    """ENet's weighting, 1 / ln(softness + share of pixels), scaled to mean 1: float32, C.

    Args:
        pixels_C: pixels of each class in the training set.
        softness: above 1; the greater, the flatter.
    """
    if softness <= 1:
        raise ValueError(f"expected softness > 1, got {softness}")
    if not bool(pixels_C.sum() > 0):
        raise ValueError("expected at least one labelled pixel to weigh classes by, got none")
    share_C = pixels_C.double() / pixels_C.sum()
    weights_C = 1 / torch.log(softness + share_C)
    return (weights_C / weights_C.mean()).float()
