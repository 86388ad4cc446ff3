"""Rounding to 8 bits in torch: steps, ranges, and what may be rounded."""

import pytest
import torch
from torch import nn

from streamseg.errors import ModelError
from streamseg.models.calibration import Calibration
from streamseg.models.icnet import ICNet
from streamseg.models.int8 import (
    LEAST_MAXIMUM,
    QuantizedReLU,
    activations,
    measure_maxima,
    quantize,
    rounded_weights,
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return ICNet(5, width=1 / 16).eval().rearranged()


def calibrated(maxima: dict[str, float]) -> Calibration:
    return Calibration(maxima=maxima, weights="", data="")


def test_an_activation_has_256_steps_up_to_its_maximum():
    relu = QuantizedReLU(2.55)
    x = torch.tensor([-1.0, 0.0, 0.004, 0.006, 1.234, 2.55, 9.0])
    torch.testing.assert_close(relu(x), torch.tensor([0, 0, 0, 0.01, 1.23, 2.55, 2.55]))
    assert len(relu(torch.linspace(-1, 4, 100_000)).unique()) == 256


@pytest.mark.parametrize(("bits", "greatest"), [(8, 127), (7, 64)])
def test_weights_have_as_many_steps_per_output_channel(bits, greatest):
    weight = torch.randn(3, 4, 5, 5) * torch.tensor([1.0, 10, 0.1]).view(3, 1, 1, 1)
    rounded = rounded_weights(weight, bits)
    for channel, original in zip(rounded, weight, strict=True):
        step = original.abs().max() / greatest
        steps = channel / step
        torch.testing.assert_close(steps, steps.round())
        assert float((channel - original).abs().max()) <= 0.5001 * float(step)
        assert float(channel.abs().max()) == pytest.approx(float(original.abs().max()))
    torch.testing.assert_close(rounded_weights(rounded, bits), rounded)


def test_a_channel_of_zeros_stays_zero():
    assert not rounded_weights(torch.zeros(2, 1, 1, 1)).any()


def test_maxima_are_means_over_images():
    model = nn.Sequential(nn.ReLU())
    images = [torch.tensor([[1.0, -2.0]]), torch.tensor([[4.0, 3.0]])]
    assert measure_maxima(model, images) == {"0": 2.5}
    assert measure_maxima(model, [torch.tensor([[-1.0]])]) == {"0": LEAST_MAXIMUM}


def test_measuring_leaves_the_network_as_it_was_and_needs_an_image():
    model = network()
    x = torch.randn(1, 3, 33, 33)
    with torch.inference_mode():
        before = model(x)
        maxima = measure_maxima(model, [x])
        torch.testing.assert_close(model(x), before)
    assert set(maxima) == set(activations(model))
    assert not any(part._forward_hooks for part in model.modules())
    with pytest.raises(ValueError, match="at least one image to calibrate with"):
        measure_maxima(model, [])


def test_every_activation_of_icnet_is_rounded():
    model = network()
    x = torch.randn(1, 3, 65, 65)
    maxima = measure_maxima(model, [x])
    assert len(maxima) == 57
    with torch.inference_mode():
        exact = model(x)
        rounded = quantize(model, calibrated(maxima))(x)
    assert not activations(model)
    assert sum(isinstance(part, QuantizedReLU) for part in model.modules()) == 57
    assert 0 < float((rounded - exact).abs().mean() / exact.std()) < 0.3


@pytest.mark.parametrize("change", [{"more": 1.0}, None])
def test_a_calibration_of_another_network_is_refused(change):
    model = network()
    maxima = dict.fromkeys(activations(model), 1.0)
    other = {**maxima, **change} if change else {"classify": 1.0}
    with pytest.raises(ModelError, match="expected a calibration of this network"):
        quantize(model, calibrated(other))
