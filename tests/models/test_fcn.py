"""FCN against its paper's counts, sizes and interpolation."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.models.fcn import FCN, Upsampling
from streamseg.models.registry import ARCHITECTURES, build
from streamseg.training.losses import cascade_label_guidance

TINY = 1 / 64


def image(height: int = 64, width: int = 96, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return 50 * torch.randn(batch, 3, height, width, generator=generator)


def test_parameters_are_those_of_the_paper() -> None:
    """134 M in the paper, which has biases where batch norm stands here and 100 pixels of padding."""
    with torch.device("meta"):
        model = FCN(21)
    kernels = {
        name.removesuffix(".weight"): parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.ndim == 4 and not name.startswith("vgg.")
    }
    assert kernels == {
        "fc6.0": 49 * 512 * 4096, "fc7.0": 4096 * 4096, "score_fr": 4096 * 21,
        "score_pool4": 512 * 21, "score_pool3": 256 * 21,
        "upscore2.deconv": 16 * 21 * 21, "upscore_pool4.deconv": 16 * 21 * 21,
    }  # fmt: skip
    assert sum(parameter.numel() for parameter in model.vgg.parameters()) == 14_718_912
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_389_279
    assert "134.4 M" in ARCHITECTURES["fcn8s"].summary


@torch.no_grad()
def test_upsampling_begins_as_bilinear_interpolation() -> None:
    x = torch.randn(2, 3, 4, 7, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Upsampling(3)(x), expected)


@torch.inference_mode()
def test_strides_agree() -> None:
    """What FCN-32s learned fits FCN-16s and 8s, which begin as it, interpolated."""
    torch.manual_seed(0)
    by_stride = {stride: FCN(5, width=TINY, stride=stride).eval() for stride in (32, 16, 8)}
    weights = by_stride[32].state_dict()
    for stride in (16, 8):
        left = by_stride[stride].load_state_dict(weights, strict=False)
        assert left.unexpected_keys == []
    answers = {stride: model(image()) for stride, model in by_stride.items()}
    assert {stride: tuple(answer.shape) for stride, answer in answers.items()} == {
        32: (1, 5, 2, 3), 16: (1, 5, 4, 6), 8: (1, 5, 8, 12),
    }  # fmt: skip
    assert answers[32].std() > 0
    for fine, coarse in ((16, 32), (8, 16)):
        interpolated = F.interpolate(answers[coarse], scale_factor=2, mode="bilinear")
        torch.testing.assert_close(answers[fine], interpolated, rtol=1e-4, atol=1e-7)


@torch.inference_mode()
def test_skips_add_their_scores() -> None:
    torch.manual_seed(0)
    model = FCN(3, width=TINY).eval()
    before = model(image())
    nn.init.normal_(model.score_pool3.weight)
    nn.init.constant_(model.score_pool4.bias, 2.0)
    pool3 = model.vgg(image())[2].values
    torch.testing.assert_close(model(image()), before + 2.0 + model.score_pool3(pool3))


@pytest.mark.parametrize("classes", [1, 7, 11])
@pytest.mark.parametrize("name", ["fcn8s", "fcn16s", "fcn32s"])
def test_it_trains(name: str, classes: int) -> None:
    torch.manual_seed(0)
    model = build(name, classes, width=TINY).train()
    logits = model(image(batch=2))
    assert isinstance(logits, Tensor)
    labels = torch.randint(0, classes, (2, 64, 96))
    if classes == 1:
        logits.square().mean().backward()
    else:
        cascade_label_guidance([logits], labels, [1.0]).backward()
    dead = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert dead == []


@torch.inference_mode()
def test_dropout_is_of_training_alone() -> None:
    torch.manual_seed(0)
    model = FCN(3, width=TINY)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.0
    assert not torch.equal(model.train()(image(batch=2)), model(image(batch=2)))
    assert torch.equal(model.eval()(image()), model(image()))
    assert model.dropout.p == 0.5
    answer = model.with_features(image())
    assert answer.features_BCHW.shape == (1, model.feature_channels, 2, 3)


@pytest.mark.parametrize("size", [(64, 65), (31, 64), (97, 129), (0, 32)])
def test_sizes_that_are_no_multiples_of_32_are_refused(size: tuple[int, int]) -> None:
    model = FCN(3, width=TINY).eval()
    with pytest.raises(ValueError, match=r"sides are multiples of 32, got {}x{}".format(*size)):
        model(torch.zeros(1, 3, *size))


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="stride 8, 16 or 32, got num_classes = 3, stride = 4"):
        FCN(3, width=TINY, stride=4)
    with pytest.raises(ValueError, match="expected align_corners false"):
        FCN(3, width=TINY, align_corners=True)
    with pytest.raises(ValueError, match=r"a positive multiple of 1/64, got 0\.01"):
        FCN(3, width=0.01)
