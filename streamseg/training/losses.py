"""What training minimises. Comes in: logits and label maps. Goes out: one scalar."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from streamseg.labels import IGNORE


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardest:
    """Which pixels count: online hard example mining (Shrivastava et al. 2016), as BiSeNet trains.

    Attributes:
        probability: pixels whose true class has less than this count,
        share: and if these are fewer than this share of the labelled pixels, the hardest so many.
    """

    probability: float = 0.7
    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1 or not 0 < self.share <= 1:
            raise ValueError(
                f"expected probability and share in 0..1, above 0, "
                f"got {self.probability} and {self.share}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation:
    """A wider network that teaches (Hinton et al. 2015).

    Attributes:
        teacher: its weights, a safetensors file with a card.
        temperature: both networks' logits are divided by; the higher, the more is told of the
            classes that a pixel is not.
        weight: of `soft_label_loss` against the other losses.
    """

    teacher: str
    temperature: float = 2.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.weight <= 0:
            raise ValueError(
                f"expected temperature and weight above 0, got {self.temperature} and {self.weight}"
            )


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
    *,
    hardest: Hardest | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """ICNet's loss: weighted softmax cross entropy of every branch against labels of its own size.

    Args:
        logits: B x C x h x w each, finest first (`CascadeLogits`).
        label_BHW: int64 class ids at the image's size, `IGNORE` unlabelled.
        weights: one per branch; the paper's recipe is 1, 0.4, 0.4.
        class_weights_C: optional weight of each class, float32.
        hardest: in each branch, only its hardest pixels; None for all.
        smoothing: share of the truth that is spread over all classes (Szegedy et al. 2016).

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
            if hardest is not None:
                target_BHW = only_hardest(branch_BCHW.detach(), target_BHW, hardest)
            total = total + weight * F.cross_entropy(
                branch_BCHW.float(), target_BHW, class_weights_C, ignore_index=IGNORE,
                label_smoothing=smoothing,
            )  # fmt: skip
        else:
            total = total + branch_BCHW.sum() * 0
    return total


def only_hardest(logits_BCHW: Tensor, target_BHW: Tensor, hardest: Hardest) -> Tensor:
    """`target_BHW` with `IGNORE` for all pixels that are easy, over the whole batch.

    Args:
        logits_BCHW: of one branch, without gradient.
        target_BHW: int64 class ids at its size; at least one labelled pixel.
    """
    labelled_BHW = target_BHW != IGNORE
    truth_B1HW = torch.where(labelled_BHW, target_BHW, 0).unsqueeze(1)
    probability_BHW = logits_BCHW.float().softmax(1).gather(1, truth_B1HW).squeeze(1)
    least = max(1, int(hardest.share * int(labelled_BHW.sum())))
    # The threshold rises until enough pixels are below it.
    enough = torch.kthvalue(probability_BHW[labelled_BHW], least).values
    hard_BHW = (probability_BHW < hardest.probability) | (probability_BHW <= enough)
    return torch.where(hard_BHW, target_BHW, IGNORE)


def soft_label_loss(
    logits_BCHW: Tensor, teacher_BCHW: Tensor, label_BHW: Tensor, temperature: float
) -> Tensor:
    """Kullback-Leibler divergence of the softened answers, times temperature squared (Hinton et al.
    2015), averaged over labelled pixels: beyond a picture's edge nobody knows anything.

    Args:
        logits_BCHW: of the network that learns, any size.
        teacher_BCHW: of the network that teaches, at the same size.
        label_BHW: int64 class ids at the image's size; only where they are `IGNORE` matters.
    """
    labelled_BHW = nearest_labels(label_BHW, logits_BCHW.shape[-2:]) != IGNORE
    if not bool(labelled_BHW.any()):
        return logits_BCHW.sum() * 0
    own = (logits_BCHW.float() / temperature).log_softmax(1)
    taught = (teacher_BCHW.float() / temperature).log_softmax(1)
    divergence_BHW = (taught.exp() * (taught - own)).sum(1)
    return divergence_BHW[labelled_BHW].mean() * temperature**2


def soft_jaccard(logits_BCHW: Tensor, label_BHW: Tensor) -> Tensor:
    """One minus the soft intersection over union of the batch, averaged over the classes it holds.

    Cross entropy counts pixels; this counts classes, as the score does, so a thin pole weighs as
    much as the road. 0 where every label is `IGNORE`.

    Args:
        logits_BCHW: of one branch, any size.
        label_BHW: int64 class ids at the image's size, `IGNORE` unlabelled.
    """
    target_BHW = nearest_labels(label_BHW, logits_BCHW.shape[-2:])
    valid_BHW = target_BHW != IGNORE
    class_BHW = torch.where(valid_BHW, target_BHW, 0)
    counts_BHW = valid_BHW.to(torch.float32)
    # No one-hot maps, and softmax by way of its logarithm, which is the faster one on a CPU.
    probability = logits_BCHW.float().contiguous().log_softmax(1).exp()
    true_BHW = probability.gather(1, class_BHW.unsqueeze(1)).squeeze(1) * counts_BHW
    nothing_C = counts_BHW.new_zeros(logits_BCHW.shape[1])
    intersection_C = nothing_C.index_add(0, class_BHW.flatten(), true_BHW.flatten())
    pixels_C = nothing_C.index_add(0, class_BHW.flatten(), counts_BHW.flatten())
    union_C = torch.einsum("bchw,bhw->c", probability, counts_BHW) + pixels_C - intersection_C
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
