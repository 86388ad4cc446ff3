"""DeconvNet against the paper's layers, and against a slow reference of what they compute."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from streamseg.models.deconvnet import DeconvNet, DeconvNetLogits, unpool
from streamseg.models.registry import ARCHITECTURES, by_proposals
from streamseg.models.vgg import VGG16, Pooled

TINY = 1 / 64
Map = NDArray[np.float64]


def image(side: int = 224, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(side + batch)
    return 50 * torch.randn(batch, 3, side, side, generator=generator)


def seen(model: DeconvNet) -> DeconvNet:
    """With statistics of batch norm, and scores of some size."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    nn.init.normal_(model.seg_score.weight)
    with torch.no_grad():
        model.train()(image(batch=3))
    return model.eval()


def test_parameters_of_every_layer_are_the_papers() -> None:
    """Kernels, from the table of layers; batch norm takes the place of biases, two numbers a channel."""
    with torch.device("meta"):
        model = DeconvNet(21)
    found = [
        (name.removesuffix(".0.weight"), parameter.numel())
        for name, parameter in model.named_parameters()
        if parameter.ndim == 4
    ]
    channels = [3, 64, 64, 128, 128, *[256] * 3, *[512] * 6]
    down = [9 * into * out for into, out in pairwise(channels)]
    places = [(1, 2), (2, 2), (3, 3), (4, 3), (5, 3)]
    names = [f"vgg.conv{stage}.{layer}" for stage, depth in places for layer in range(depth)]
    up = {5: [512] * 4, 4: [512, 512, 512, 256], 3: [256, 256, 256, 128]}
    up |= {2: [128, 128, 64], 1: [64, 64, 64]}
    assert found == [
        *zip(names, down, strict=True),
        ("fc6", 102_760_448), ("fc7", 16_777_216), ("fc6_deconv", 102_760_448),
        *(
            (f"deconv{stage}.{layer}", 9 * into * out)
            for stage, widths in up.items()
            for layer, (into, out) in enumerate(pairwise(widths))
        ),
        ("seg_score.weight", 21 * 64), ("aux_background.weight", 64),
    ]  # fmt: skip
    assert sum(down) == 14_710_464
    total = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("aux_"))
    assert total == 251_788_949  # about 252 M
    assert "251.8 M" in ARCHITECTURES["deconvnet"].summary


def test_layers_have_the_papers_sizes() -> None:
    with torch.device("meta"):
        model = DeconvNet(21).eval()
        activations = model.activations(torch.empty(1, 3, 224, 224))
        logits = model(torch.empty(1, 3, 224, 224))
    assert {name: tuple(one.shape[1:]) for name, one in activations.items()} == {
        "fc6-deconv": (512, 7, 7),
        "unpool5": (512, 14, 14), "deconv5": (512, 14, 14),
        "unpool4": (512, 28, 28), "deconv4": (256, 28, 28),
        "unpool3": (256, 56, 56), "deconv3": (128, 56, 56),
        "unpool2": (128, 112, 112), "deconv2": (64, 112, 112),
        "unpool1": (64, 224, 224), "deconv1": (64, 224, 224),
    }  # fmt: skip
    assert list(activations)[:3] == ["fc6-deconv", "unpool5", "deconv5"]
    assert logits.shape == (1, 21, 224, 224)
    assert model.fc6(torch.empty(1, 512, 7, 7, device="meta")).shape == (1, 4096, 1, 1)


def test_every_number_of_channels_scales_with_width() -> None:
    with torch.device("meta"):
        whole, quarter = DeconvNet(7), DeconvNet(7, width=0.25)
    for (name, one), other in zip(whole.named_parameters(), quarter.parameters(), strict=True):
        fixed = {3, 1, 7} if name.startswith(("vgg.conv1.0.0", "seg", "aux")) else set()
        kernel = one.shape[2:]
        assert other.shape[2:] == kernel
        for side, scaled in zip(one.shape[:2], other.shape[:2], strict=True):
            assert scaled == (side if side in fixed else side // 4), name


def test_deconvolutions_begin_gaussian() -> None:
    torch.manual_seed(0)
    model = DeconvNet(3, width=1 / 8)
    kernels = [part.weight for part in model.modules() if isinstance(part, nn.ConvTranspose2d)]
    assert len(kernels) == 14
    for weight in (*kernels, model.seg_score.weight):
        error = 4 / (2 * weight.numel()) ** 0.5
        assert weight.std().item() == pytest.approx(0.01, rel=error)
        assert abs(weight.mean().item()) < 0.05 / weight.numel() ** 0.5


def numpy_unpool(x: Map, places: NDArray[np.int64]) -> Map:
    channels, height, width = x.shape
    out = np.zeros((channels, 2 * height, 2 * width))
    for channel, row, column in np.ndindex(*x.shape):
        down, right = divmod(int(places[channel, row, column]), 2 * width)
        out[channel, down, right] = x[channel, row, column]
    return out


def numpy_pool(x: Map) -> tuple[Map, NDArray[np.int64]]:
    channels, height, width = x.shape
    out = np.empty((channels, height // 2, width // 2))
    places = np.empty(out.shape, np.int64)
    for channel, row, column in np.ndindex(*out.shape):
        window = x[channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        down, right = divmod(int(window.argmax()), 2)
        out[channel, row, column] = window[down, right]
        places[channel, row, column] = (2 * row + down) * width + 2 * column + right
    return out, places


def numpy_layer(x: Map, layer: nn.Sequential, padding: int, *, transposed: bool = False) -> Map:
    """Every tap by itself, batch norm by its statistics, ReLU."""
    kernel, norm = layer[0].weight, layer[1]
    assert isinstance(kernel, Tensor) and isinstance(norm, nn.BatchNorm2d)
    taps = kernel.detach().numpy()
    size = taps.shape[-1]
    _, height, width = x.shape
    if transposed:
        taps = taps.transpose(1, 0, 2, 3)
        whole = np.zeros((len(taps), height + size - 1, width + size - 1))
        for down, right in np.ndindex(size, size):
            spread = np.tensordot(taps[:, :, down, right], x, 1)
            whole[:, down : down + height, right : right + width] += spread
        rows, columns = (slice(padding, side - padding) for side in whole.shape[1:])
        y = whole[:, rows, columns]
    else:
        padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
        height, width = height + 2 * padding - size + 1, width + 2 * padding - size + 1
        y = np.zeros((len(taps), height, width))
        for down, right in np.ndindex(size, size):
            window = padded[:, down : down + height, right : right + width]
            y += np.tensordot(taps[:, :, down, right], window, 1)
    mean, variance, scale, shift = (
        tensor.detach().numpy()[:, None, None]
        for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        if tensor is not None
    )
    return np.maximum((y - mean) / np.sqrt(variance + norm.eps) * scale + shift, 0)


@pytest.mark.slow
def test_the_whole_network_is_what_a_slow_reference_computes() -> None:
    torch.manual_seed(0)
    model = seen(DeconvNet(5, width=TINY)).double()
    picture = image().double()
    with torch.inference_mode():
        found = model(picture)[0].numpy()
    x: Map = picture[0].numpy()
    switches = []
    for stage in (
        model.vgg.conv1,
        model.vgg.conv2,
        model.vgg.conv3,
        model.vgg.conv4,
        model.vgg.conv5,
    ):
        for layer in stage:
            x = numpy_layer(x, layer, 1)  # type: ignore[arg-type]
        x, places = numpy_pool(x)
        switches.append(places)
    x = numpy_layer(numpy_layer(x, model.fc6, 0), model.fc7, 0)
    assert x.shape == (64, 1, 1)
    x = numpy_layer(x, model.fc6_deconv, 0, transposed=True)
    for number in (5, 4, 3, 2, 1):
        x = numpy_unpool(x, switches[number - 1])
        for layer in model.get_submodule(f"deconv{number}"):  # type: ignore[attr-defined]
            x = numpy_layer(x, layer, 1, transposed=True)
    weight, bias = (tensor.detach().numpy() for tensor in model.seg_score.parameters())
    expected = np.tensordot(weight[:, :, 0, 0], x, 1) + bias[:, None, None]
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_unpooling_puts_values_where_the_maxima_were() -> None:
    x = torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    x[:, 0] = 0.0  # all equal: the first place
    pooled = Pooled(*F.max_pool2d(x, 2, 2, return_indices=True))
    values = torch.arange(1.0, 91).reshape(2, 3, 3, 5)
    whole = unpool(values, pooled)
    assert pooled.switches is not None
    assert torch.equal(whole, F.max_unpool2d(values, pooled.switches, 2))
    for picture, places, out in zip(values, pooled.switches, whole, strict=True):
        np.testing.assert_array_equal(out, numpy_unpool(picture.double().numpy(), places.numpy()))
    assert torch.equal(whole[:, 0, ::2, ::2], values[:, 0])
    assert unpool(values.bfloat16(), pooled).dtype == torch.bfloat16


def test_switches_are_given_when_asked_for() -> None:
    vgg = VGG16(TINY).eval()
    with_switches, without = vgg(image(64), switches=True), vgg(image(64))
    for one, other, stride in zip(with_switches, without, (2, 4, 8, 16, 32), strict=True):
        assert torch.equal(one.values, other.values)
        assert other.switches is None
        assert one.switches is not None and one.switches.shape == one.values.shape
        assert one.values.shape[-1] == 64 // stride


@pytest.mark.parametrize("classes", [1, 5, 11])
def test_training_gives_background_beside_the_classes(classes: int) -> None:
    torch.manual_seed(0)
    model = DeconvNet(classes, width=TINY).train()
    logits = model(image(batch=2))
    assert isinstance(logits, DeconvNetLogits)
    assert logits.answer.shape == (2, classes, 224, 224)
    assert logits.background.shape == (2, 1, 224, 224)
    (logits.answer.square().mean() + logits.background.square().mean()).backward()
    dead = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert dead == []
    with torch.inference_mode():
        assert model.eval()(image()).shape == (1, classes, 224, 224)


def test_a_class_for_background_in_the_data_needs_no_head() -> None:
    model = DeconvNet(3, width=TINY, background_head=False).train()
    with torch.no_grad():
        logits = model(image(batch=2))
    assert isinstance(logits, Tensor) and logits.shape == (2, 3, 224, 224)
    assert not [name for name in model.state_dict() if name.startswith("aux_")]


@torch.inference_mode()
def test_greater_sizes_work_with_the_same_weights() -> None:
    torch.manual_seed(0)
    model = seen(DeconvNet(3, width=TINY))
    assert model(torch.zeros(1, 3, 224, 320)).shape == (1, 3, 224, 320)
    answer = model.with_features(image())
    assert answer.features_BCHW.shape == (1, model.feature_channels, 224, 224)
    assert torch.equal(answer.logits[0], model.seg_score(answer.features_BCHW))


@pytest.mark.parametrize("size", [(192, 224), (224, 64), (240, 240), (225, 257), (97, 129)])
def test_sizes_that_cannot_be_are_refused(size: tuple[int, int]) -> None:
    model = DeconvNet(3, width=TINY).eval()
    with pytest.raises(
        ValueError, match=r"expected a network input .* multiples of 32, got {}x{}".format(*size)
    ):
        model(torch.zeros(1, 3, *size))


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="expected num_classes >= 1, got 0"):
        DeconvNet(0, width=TINY)
    for width in (0.0, -1.0, 0.3):
        with pytest.raises(ValueError, match=rf"a positive multiple of 1/64, got {width}"):
            DeconvNet(3, width=width)
    with pytest.raises(ValueError, match="a batch of at least 2 pictures to train DeconvNet with"):
        DeconvNet(3, width=TINY).train()(image())


def test_it_alone_runs_over_proposals() -> None:
    assert [name for name in ARCHITECTURES if by_proposals(name)] == ["deconvnet"]
    assert not by_proposals("onnx")
