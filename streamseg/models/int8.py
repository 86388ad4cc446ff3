"""8-bit inference: weights and activations of a network rounded to 8 bits. Torch's half: see `calibration`.

`quantize` writes the steps into a torch network as fake quantisation: the arithmetic of 8 bits in floating point.
The OpenVINO engine traces it and computes in true 8 bits.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.errors import ModelError
from streamseg.models.calibration import GREATEST, Calibration, WeightBits

LEAST_MAXIMUM = 1e-6
"""Of an activation that was never above 0: steps must have a size."""


class QuantizedReLU(nn.Module):
    """ReLU, clipped at `maximum` and rounded to the nearest of 256 steps."""

    def __init__(self, maximum: float) -> None:
        super().__init__()
        self.scale = maximum / 255

    def forward(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(F.relu(x), self.scale, 0, 0, 255)


def activations(network: nn.Module) -> dict[str, nn.Module]:
    """What is rounded in 8-bit inference, by name."""
    return {name: part for name, part in network.named_modules() if isinstance(part, nn.ReLU)}


def measure_maxima(network: nn.Module, images: Iterable[Tensor]) -> dict[str, float]:
    """Mean over images of each activation's greatest value: 57 numbers for ICNet.

    Args:
        network: as `weights.load_for_inference` makes it; unchanged afterwards.
        images: network input, 1 x 3 x H x W.

    Raises:
        ValueError: no images.
    """
    sums: dict[str, float] = dict.fromkeys(activations(network), 0.0)
    count = 0

    def hook_for(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            sums[name] += float(output.max())

        return hook

    hooks = [
        part.register_forward_hook(hook_for(name)) for name, part in activations(network).items()
    ]
    with torch.inference_mode():
        for image in images:
            network(image)
            count += 1
    for hook in hooks:
        hook.remove()
    if not count:
        raise ValueError("expected at least one image to calibrate with, got none")
    return {name: max(total / count, LEAST_MAXIMUM) for name, total in sums.items()}


def quantize(
    network: nn.Module, calibration: Calibration, bits: WeightBits = 8, *, stopped: bool = False
) -> nn.Module:
    """Round weights and activations of `network` to 8 bits, in place.

    Args:
        bits: of the weights.
        stopped: the network stops early, so that the calibration of the whole one holds more than is needed.

    Raises:
        ModelError: the calibration is of another network.
    """
    found = activations(network)
    if not set(found) <= set(calibration.maxima) or (
        len(found) < len(calibration.maxima) and not stopped
    ):
        odd = sorted(set(found) ^ set(calibration.maxima))[0]
        raise ModelError(
            f"expected a calibration of this network, but its activations are others (first: {odd[:100]}); "
            f"`streamseg calibrate` makes one"
        )
    for name in found:
        parent, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(parent), leaf, QuantizedReLU(calibration.maxima[name]))
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data = rounded_weights(part.weight.data, bits)
    return network


def rounded_weights(weight: Tensor, bits: WeightBits = 8) -> Tensor:
    """Each output channel at the nearest of 255 (or 129) steps between minus and plus its greatest weight."""
    scale = weight.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12) / GREATEST[bits]
    return (weight / scale).round() * scale
