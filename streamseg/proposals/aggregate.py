"""Answers of overlapping proposals made into one. Comes in: scores of one square after the other. Goes out: scores of
the picture, at any time between. Runs where its tensors are.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from streamseg.proposals.boxes import Box
from streamseg.proposals.choice import How


class Aggregate:
    """P = max_i G_i or P = sum_i G_i (Noh, Hong, Han 2015), where G_i is 0 outside its square.

    Softmax of P is the probability of each class. Where no proposal looked all classes are 0, hence as probable, and
    the first wins: background, in label sets that have one. As in the released code zeros take part in the maximum, so
    that no negative score survives. Where the label set has no background, every pixel must be looked at anyhow, and
    the maximum is over the squares that did.

    Args:
        num_classes: channels of the scores.
        size: (height, width) of the picture.
        background: class 0 stands for what is no object.
    """

    def __init__(
        self,
        num_classes: int,
        size: tuple[int, int],
        how: How,
        *,
        background: bool,
        device: torch.device | None = None,
    ) -> None:
        self._how = how
        self._size = size
        start = -torch.inf if how == "max" and not background else 0.0
        self._scores_CHW = torch.full((num_classes, *size), start, device=device)

    def add(self, scores_ChW: Tensor, square: Box) -> None:
        """One more proposal.

        Args:
            scores_ChW: C x h x w, any size and float type; they are resized bilinearly to the square.
            square: may stick out of the picture; that part is left out.
        """
        inside = square.within(self._size)
        if inside is None:
            return
        resized = functional.interpolate(
            scores_ChW[None].float(), (square.height, square.width), mode="bilinear"
        )[0]
        part = resized[
            :,
            inside.top - square.top : inside.bottom - square.top,
            inside.left - square.left : inside.right - square.left,
        ]
        place = self._scores_CHW[:, inside.top : inside.bottom, inside.left : inside.right]
        if self._how == "sum":
            place += part
        else:
            place.copy_(torch.maximum(place, part))

    def scores(self) -> NDArray[np.float32]:
        """H x W x C float32, a copy: P, 0 where nothing looked."""
        seen = torch.nan_to_num(self._scores_CHW, nan=torch.nan, posinf=torch.inf, neginf=0.0)
        return np.ascontiguousarray(seen.permute(1, 2, 0).cpu().numpy())
