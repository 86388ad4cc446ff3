"""Re-estimated batch norm against means and variances computed by numpy."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamseg.models.blocks import ConvBN
from streamseg.models.registry import build
from streamseg.training.reestimate import reestimate


class Tiny(nn.Module):
    """Two 1x1 convolutions with batch norm, dropout between them, and a batch norm that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = ConvBN(3, 4, 1), ConvBN(4, 2, 1)
        self.dropout = nn.Dropout(0.5)
        self.idle = nn.BatchNorm2d(3)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        second: Tensor = self.second(self.dropout(self.first(image_BCHW)))
        return second


def batches(count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (1 + number) * torch.randn(2, 3, 4, 5, generator=generator) + number
        for number in range(count)
    ]


def numpy_layer(
    x_BCHW: NDArray[np.float64], layer: ConvBN
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Output by the batch's own statistics, its mean, its corrected variance."""
    kernel, norm = layer[0].weight, layer[1]
    assert isinstance(kernel, Tensor) and isinstance(norm, nn.BatchNorm2d)
    taps = kernel.detach().double().numpy()[:, :, 0, 0]
    y = np.einsum("oc,bchw->bohw", taps, x_BCHW)
    mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3))
    normal = (y - mean[:, None, None]) / np.sqrt(variance + norm.eps)[:, None, None]
    scale, shift = (tensor.detach().double().numpy() for tensor in (norm.weight, norm.bias))
    out = np.maximum(normal * scale[:, None, None] + shift[:, None, None], 0)
    values = y.size // y.shape[1]
    return out, mean, variance * values / (values - 1)


def test_statistics_are_means_over_the_passes() -> None:
    torch.manual_seed(0)
    model = Tiny().train()
    for layer in (model.first, model.second):
        nn.init.uniform_(layer[1].weight, 0.5, 1.5)  # type: ignore[arg-type]
        nn.init.normal_(layer[1].bias)  # type: ignore[arg-type]
    model(torch.randn(2, 3, 4, 5))  # something to forget
    seen = batches(5)
    reestimate(model, seen, passes=3)
    found: list[list[NDArray[np.float64]]] = [[], [], [], []]
    for batch in seen[:3]:
        middle, *first = numpy_layer(batch.double().numpy(), model.first)
        _, *second = numpy_layer(middle, model.second)
        for kept, value in zip(found, (*first, *second), strict=True):
            kept.append(value)
    for index, layer in enumerate((model.first, model.second)):
        norm = layer[1]
        assert isinstance(norm, nn.BatchNorm2d)
        for tensor, kept in zip(
            (norm.running_mean, norm.running_var), found[2 * index :][:2], strict=True
        ):
            assert tensor is not None
            np.testing.assert_allclose(tensor.numpy(), np.mean(kept, 0), rtol=1e-5, atol=1e-5)


def test_statistics_are_frozen_and_all_else_is_as_before() -> None:
    torch.manual_seed(0)
    model = Tiny()
    nn.init.normal_(model.idle.running_mean)  # type: ignore[arg-type]
    idle = {name: tensor.clone() for name, tensor in model.idle.state_dict().items()}
    weights = {name: tensor.clone() for name, tensor in model.named_parameters()}
    reestimate(model, batches(2), passes=2)
    assert not any(part.training for part in model.modules())
    assert {part.momentum for part in model.modules() if isinstance(part, nn.BatchNorm2d)} == {0.1}
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model(batches(1, seed=1)[0])
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, model.get_parameter(name)) for name, tensor in weights.items())
    assert all(torch.equal(tensor, kept[f"idle.{name}"]) for name, tensor in idle.items())


def test_too_few_batches_are_refused_and_change_nothing() -> None:
    model = Tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match="expected 3 batches, got 2"):
        reestimate(model, batches(2), passes=3)
    with pytest.raises(ValueError, match="expected passes >= 1, got 0"):
        reestimate(model, batches(2), passes=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "size"), [("icnet", 65), ("pspnet50", 33), ("fcn8s", 64), ("deconvnet", 224)]
)
def test_networks_of_the_registry_keep_what_their_batch_norms_saw(name: str, size: int) -> None:
    torch.manual_seed(0)
    model = build(name, 3, width=1 / 16)
    for part in model.modules():
        if isinstance(part, nn.Dropout | nn.Dropout2d):
            part.p = 0.0
    images = [50 * torch.randn(2, 3, size, size) + shift for shift in (0, 30)]
    reestimate(model, iter(images), passes=2)
    seen: dict[nn.Module, list[Tensor]] = {}

    def keep(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        seen.setdefault(norm, []).append(inputs[0].double().clone())

    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.register_forward_pre_hook(keep)
    kept = {norm: (norm.running_mean.clone(), norm.running_var.clone()) for norm in norms}  # type: ignore[union-attr]
    with torch.no_grad():
        for image in images:
            model.train()(image)
    assert len(seen) == len(norms)
    for norm, inputs in seen.items():
        means = torch.stack([x.mean((0, 2, 3)) for x in inputs])
        variances = torch.stack([x.var((0, 2, 3)) for x in inputs])
        torch.testing.assert_close(kept[norm][0].double(), means.mean(0), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(kept[norm][1].double(), variances.mean(0), rtol=1e-4, atol=1e-4)
