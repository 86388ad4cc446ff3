"""Filter pruning: the filters with the smallest kernels go, and a smaller dense network remains.

Comes in: a network's weights, who shares channels (`Channels`), and the shapes of the smaller network. Goes out: that
network's weights. Pure: numbers in, numbers out.

ICNet (Zhao et al., ECCV 2018) ranks the filters of a convolution by the L1 norm of their kernels, after Li et al.
(2016), but does not say how convolutions that are summed agree on a ranking. Here each of them has one vote: norms
are divided by their mean over the convolution, then added up. Batch norm follows each convolution, so the scale of a
kernel as a whole says nothing; without the division the 3x3 kernels of a fusion would outvote its 1x1 projection.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from streamseg.compression.channels import Axis, Channels
from streamseg.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]
"""Of every tensor of a network's state."""


def prune(weights: Mapping[str, Tensor], channels: Channels, shapes: Shapes) -> dict[str, Tensor]:
    """The weights of a network of `shapes`, made of the channels of `weights` that matter most.

    Args:
        weights: a network's whole state.
        channels: `follow_channels` of that network.
        shapes: of the same architecture with fewer channels.

    Raises:
        ModelError: `shapes` cannot be had by leaving out channels.
    """
    kept = {
        group: strongest(rank(weights, channels, group), count)
        for group, count in kept_counts(channels, shapes).items()
    }
    return cut(weights, channels, kept)


def rank(weights: Mapping[str, Tensor], channels: Channels, group: int) -> Tensor:
    """How much each channel of `group` matters: float32, one value >= 0 each.

    The sum over the convolutions that write into the group of their kernels' L1 norms, each relative to the mean norm
    of that convolution. All ones for the image's channels, which no convolution writes.
    """
    writers = channels.writers(group)
    if not writers:
        return torch.ones(channels.sizes[group])
    return torch.stack([_relative_norms(weights[axis.tensor], axis) for axis in writers]).sum(0)


def strongest(scores_C: Tensor, count: int) -> Tensor:
    """Indices of the `count` greatest, in ascending order: int64. Of equals, the first."""
    order = scores_C.sort(descending=True, stable=True).indices
    return order[:count].sort().values


def kept_counts(channels: Channels, shapes: Shapes) -> dict[int, int]:
    """How many channels of each group a network of `shapes` has.

    Raises:
        ModelError: it lacks a tensor, has more channels or other classes, or two tensors of a group disagree.
    """
    counts = dict.fromkeys(channels.fixed, 0) | {
        group: channels.sizes[group] for group in channels.fixed
    }
    for axis in channels.axes:
        if axis.tensor not in shapes or len(shapes[axis.tensor]) <= axis.axis:
            raise ModelError(f"expected {axis.tensor} in the smaller network; it is missing")
        if len(axis.groups) == 1:
            counts.setdefault(axis.groups[0], shapes[axis.tensor][axis.axis])
    for axis in channels.axes:
        expected, got = sum(counts[g] for g in axis.groups), shapes[axis.tensor][axis.axis]
        if expected != got:
            raise ModelError(
                f"expected {expected} channels in axis {axis.axis} of {axis.tensor} of the smaller network, "
                f"got {got}: its layers do not follow those of the larger one"
            )
    for group, count in counts.items():
        if not 1 <= count <= channels.sizes[group]:
            raise ModelError(f"expected 1 to {channels.sizes[group]} channels to keep, got {count}")
    return counts


def cut(
    weights: Mapping[str, Tensor], channels: Channels, kept: Mapping[int, Tensor]
) -> dict[str, Tensor]:
    """Every tensor with the channels of `kept` alone: kernels on both sides, batch norms, biases.

    Args:
        kept: ascending indices of each group. Concatenated groups are found by the sizes of those before them.
    """
    result = {name: tensor.clone() for name, tensor in weights.items()}
    for axis in channels.axes:
        offset, parts = 0, []
        for group in axis.groups:
            parts.append(kept[group] + offset)
            offset += channels.sizes[group]
        result[axis.tensor] = result[axis.tensor].index_select(axis.axis, torch.cat(parts))
    return result


def _relative_norms(kernels: Tensor, axis: Axis) -> Tensor:
    norms_C = kernels.float().abs().transpose(0, axis.axis).flatten(1).sum(1)
    mean = norms_C.mean()
    return norms_C / mean if mean > 0 else norms_C
