"""Statistics of batch norm, estimated anew once training is over. Comes in: a trained network and batches of its input.
Goes out: the same network, whose batch norms hold plain means over these batches.

While it trains, a batch norm averages what it sees by a factor that forgets; and averaged weights (`Trainer`) are not
those whose maps it saw.
"""

from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd


def reestimate(model: nn.Module, batches: Iterable[Tensor], *, passes: int) -> None:
    """Estimate every mean and variance of batch norm anew, in place, as DeconvNet's authors do (they take 500 passes).

    Each is the mean over passes of the batch's mean, and of its variance times m / (m - 1), m being how many values of
    a channel it is of. While it is estimated each layer sees what the layers before make of the batch by its own
    statistics, as in training, but without dropout, which is not there in inference. A batch norm that runs several
    times a pass, as at several scales, counts each; one that does not run keeps what it has.

    Args:
        model: of the registry, or any other, on any device; in eval mode afterwards, which freezes the statistics.
        batches: network input, B x 3 x H x W float32, on the model's device; as varied as training's.
        passes: how many to take.

    Raises:
        ValueError: fewer batches than passes; or a batch norm finds a single value a channel.
    """
    if passes < 1:
        raise ValueError(f"expected passes >= 1, got {passes}")
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    before = [(norm.momentum, _statistics(norm)) for norm in norms]
    for norm in norms:
        norm.momentum = None  # the plain mean over what passes
        norm.reset_running_stats()
    taken = 0
    try:
        model.train()
        for part in model.modules():
            if isinstance(part, _DropoutNd):
                part.eval()
        with torch.no_grad():
            for image_BCHW in islice(batches, passes):
                model(image_BCHW)
                taken += 1
    finally:
        model.eval()
        for norm, (momentum, statistics) in zip(norms, before, strict=True):
            norm.momentum = momentum
            if taken < passes or norm.num_batches_tracked == 0:
                for name, tensor in statistics.items():
                    getattr(norm, name).copy_(tensor)
    if taken < passes:
        raise ValueError(f"expected {passes} batches, got {taken}")


def _statistics(norm: _BatchNorm) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in norm.named_buffers()}
