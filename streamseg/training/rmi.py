"""Region mutual information (Zhao et al., NeurIPS 2019), as hierarchical multi-scale attention is trained with.

Comes in: logits and label maps of one size. Goes out: one scalar.

Each class is a yes or no of its own (sigmoid). Beside the cross entropy of single pixels stands a bound of how much is
left unknown of a 3x3 neighbourhood of labels once that of probabilities is known: half the log determinant of their
conditional covariance, taken as if both were normal.

B = batch, K = classes, D = pixels of a neighbourhood (9), N = number of neighbourhoods.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

RIDGE = 5e-4
"""Added to the diagonal of covariances, so that constant ones have an inverse and a determinant."""

LEAST_PROBABILITY = 1e-6
"""Added to every probability, as in the released code: it changes no covariance but at the padding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionMutualInformation:
    """How the main loss is made; the published values.

    Attributes:
        pixel_share: of the cross entropy of single pixels; the rest is that of regions.
        pool: labels and probabilities are averaged over squares of so many pixels, which lie side by side.
        padding: zeros around the picture before that. The paper has no word on it, the released code half a square; 0
            for none.
        side: of a neighbourhood, in averaged pixels.
        auxiliary: what auxiliary logits are compared by: softmax cross entropy, as the paper says, or the single
            pixels' part of this loss, as the released code does.
    """

    pixel_share: float = 0.5
    pool: int = 4
    padding: int = 2
    side: int = 3
    auxiliary: Literal["softmax", "sigmoid"] = "softmax"

    def __post_init__(self) -> None:
        if not 0 <= self.pixel_share <= 1:
            raise ValueError(f"expected pixel_share in 0..1, got {self.pixel_share}")
        if self.pool < 1 or self.side < 1 or not 0 <= self.padding <= self.pool // 2:
            raise ValueError(
                f"expected pool and side >= 1, padding from 0 to half of pool, got "
                f"{self.pool}, {self.side} and {self.padding}"
            )


def rmi_loss(logits_BKHW: Tensor, label_BHW: Tensor, how: RegionMutualInformation) -> Tensor:
    """Both parts, by `how.pixel_share`.

    Args:
        logits_BKHW: float32 (or float64), at the label map's size.
        label_BHW: int64 class ids; what is no class is left out.

    Raises:
        ValueError: too small for a single neighbourhood.
    """
    pixels = sigmoid_cross_entropy(logits_BKHW, label_BHW)
    regions = region_bound(logits_BKHW, label_BHW, how)
    return how.pixel_share * pixels + (1 - how.pixel_share) * regions


def sigmoid_cross_entropy(logits_BKHW: Tensor, label_BHW: Tensor) -> Tensor:
    """Summed over classes and labelled pixels, over one more than there are of these: 0 where there are none."""
    truth_BKHW, known_B1HW = _truth(logits_BKHW, label_BHW)
    total = F.binary_cross_entropy_with_logits(
        logits_BKHW, truth_BKHW, known_B1HW.expand_as(logits_BKHW), reduction="sum"
    )
    return total / (known_B1HW.sum() + 1)


def region_bound(logits_BKHW: Tensor, label_BHW: Tensor, how: RegionMutualInformation) -> Tensor:
    """Half the log determinant of what is unknown of a neighbourhood, per pixel of it: the mean over the batch, summed
    over classes. Covariances are sums over all neighbourhoods, not means, in float64.

    nan if a matrix is not positive definite, which logits that are finite do not make.

    Raises:
        ValueError: see `rmi_loss`.
    """
    truth_BKHW, known_B1HW = _truth(logits_BKHW, label_BHW)
    probability_BKHW = logits_BKHW.sigmoid() * known_B1HW + LEAST_PROBABILITY
    y_BKDN = _neighbourhoods(truth_BKHW, how)
    p_BKDN = _neighbourhoods(probability_BKHW, how)
    dimensions = how.side**2
    ridge = RIDGE * torch.eye(dimensions, dtype=torch.float64, device=logits_BKHW.device)
    of_y = y_BKDN @ y_BKDN.transpose(2, 3)
    of_p = p_BKDN @ p_BKDN.transpose(2, 3)
    between = p_BKDN @ y_BKDN.transpose(2, 3)
    # cov(yy) - cov(yp) inv(cov(pp)) cov(py), with cov(pp) = L L'.
    lower_p = _cholesky(of_p + ridge)
    explained = torch.linalg.solve_triangular(lower_p, between, upper=False)
    unknown = of_y - explained.transpose(2, 3) @ explained
    lower = _cholesky(unknown + ridge)
    log_determinant_BK = 2 * lower.diagonal(dim1=2, dim2=3).log().sum(2)
    bound_BK = 0.5 * log_determinant_BK / dimensions
    return bound_BK.mean(0).sum().to(logits_BKHW.dtype)


def _cholesky(matrix: Tensor) -> Tensor:
    """The lower factor; nan, not an error, where there is none: the trainer says what to do about that."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return torch.where(failed[..., None, None] == 0, factor, torch.nan)


def _truth(logits_BKHW: Tensor, label_BHW: Tensor) -> tuple[Tensor, Tensor]:
    """One-hot labels, zero where unlabelled, and where they are labelled, in the logits' type."""
    num_classes = logits_BKHW.shape[1]
    known_BHW = label_BHW < num_classes
    one_hot_BHWK = F.one_hot(torch.where(known_BHW, label_BHW, 0), num_classes)
    known_B1HW = known_BHW.unsqueeze(1).to(logits_BKHW.dtype)
    return one_hot_BHWK.permute(0, 3, 1, 2).to(logits_BKHW.dtype) * known_B1HW, known_B1HW


def _neighbourhoods(x_BKHW: Tensor, how: RegionMutualInformation) -> Tensor:
    """B x K x D x N float64: all neighbourhoods of the averaged map, less their mean."""
    pooled_BKHW = F.avg_pool2d(x_BKHW, how.pool, how.pool, how.padding)
    rows, columns = (side - how.side + 1 for side in pooled_BKHW.shape[-2:])
    if min(rows, columns) < 1:
        raise ValueError(
            f"expected pictures of at least {how.pool * how.side - 2 * how.padding} px a side for region mutual "
            f"information, got {x_BKHW.shape[2]}x{x_BKHW.shape[3]}"
        )
    shifted = [
        pooled_BKHW[:, :, top : top + rows, left : left + columns].flatten(2)
        for top in range(how.side)
        for left in range(how.side)
    ]
    x_BKDN = torch.stack(shifted, 2).double()
    return x_BKDN - x_BKDN.mean(3, keepdim=True)
