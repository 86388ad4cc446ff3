"""How many multiplications and additions a network does."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def gflop(network: "nn.Module", size: tuple[int, int]) -> float:
    """1e9 multiplications and additions of all convolutions of one picture of `size`: two for each product.

    The network's shapes are followed and nothing is computed; counted where torch dispatches, so that a convolution
    that is no module of its own counts, too.
    """
    import copy

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    weightless: Any = copy.deepcopy(network).to("meta")
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        weightless(torch.empty(1, 3, *size, device="meta"))
    total: int = counter.get_total_flops()
    return total / 1e9
