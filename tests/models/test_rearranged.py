"""The order that engines run against the paper's: equal wherever linear algebra says so, and cheaper."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from streamseg.models.blocks import CascadeFeatureFusion, ConvBN, fold_batch_norms, resize
from streamseg.models.icnet import ICNet
from streamseg.models.rearranged import RearrangedFusion, fine_size


def trained_looking(*, align_corners: bool = True, caffe_windows: bool = False) -> ICNet:
    """A narrow network whose batch norms are not the identity."""
    torch.manual_seed(0)
    network = ICNet(5, width=1 / 16, align_corners=align_corners, caffe_windows=caffe_windows)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


def image(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randn(1, 3, height, width, generator=generator)


def fusions(align_corners: bool = True) -> tuple[CascadeFeatureFusion, RearrangedFusion]:
    """Without their ReLU, which would hide differences."""
    torch.manual_seed(0)
    paper = CascadeFeatureFusion(4, 3, 5, align_corners).eval()
    fold_batch_norms(paper)
    cheap = RearrangedFusion(paper)
    paper.relu = cheap.relu = nn.Identity()  # type: ignore[assignment]
    return paper, cheap


def close(result: Tensor, expected: Tensor) -> Tensor:
    """Which pixels are equal, to float rounding: H x W bool."""
    assert float(expected.std()) > 0.1
    return ((result - expected).abs() < 1e-5 * expected.abs().max()).all(1)[0]


@torch.inference_mode()
def test_fusion_differs_in_the_second_ring_alone():
    paper, cheap = fusions()
    deep, fine = torch.randn(1, 4, 7, 9), torch.randn(1, 3, 13, 17)
    equal = close(cheap(deep, fine), paper(deep, fine)[0])
    ring = torch.zeros(13, 17, dtype=torch.bool)
    ring[[1, -2]] = True
    ring[:, [1, -2]] = True
    assert equal[~ring].all()
    assert not equal[ring].any()


@pytest.mark.parametrize(("align_corners", "fine"), [(True, (16, 20)), (False, (14, 18))])
@torch.inference_mode()
def test_fusion_of_other_geometries_is_the_paper_s(align_corners, fine):
    paper, cheap = fusions(align_corners)
    deep, other = torch.randn(1, 4, 7, 9), torch.randn(1, 3, *fine)
    torch.testing.assert_close(cheap(deep, other), paper(deep, other)[0])


@pytest.mark.parametrize("caffe_windows", [False, True])
@torch.inference_mode()
def test_logits_away_from_the_border_are_the_paper_s(caffe_windows):
    """Row 1 of the first fusion's 1/16 reaches row 2 through the second's 3x3, and row 5 of its 1/8."""
    network = trained_looking(caffe_windows=caffe_windows)
    x = image(193, 257)
    logits, expected = network.rearranged()(x), network(x)[..., ::2, ::2]
    assert logits.shape == expected.shape == (1, 5, 25, 33)
    equal = close(logits, expected)
    assert equal[6:-6, 6:-6].all()
    assert not equal.all()


@torch.inference_mode()
def test_everything_but_fusion_is_equal_up_to_the_border():
    network = trained_looking()
    cheap = network.rearranged()
    for name in ("fuse_sub24", "fuse_sub12"):
        setattr(cheap, name, PaperFusion(getattr(cheap, name)))
    x = image(129, 193)
    assert close(cheap(x), network(x)[..., ::2, ::2]).all()


class PaperFusion(nn.Module):
    """The rearranged unit's own weights in the paper's order."""

    def __init__(self, fusion: RearrangedFusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, deep: Tensor, fine: Tensor) -> Tensor:
        return self.fusion.add(self.convolve(deep, fine.shape[-2:]), fine)

    def convolve(self, deep: Tensor, size: Sequence[int]) -> Tensor:
        up = nn.functional.interpolate(deep, tuple(size), mode="bilinear", align_corners=True)
        weight, bias = self.fusion.conv.weight, self.fusion.conv.bias
        return nn.functional.conv2d(up, weight, bias, padding=2, dilation=2)

    def add(self, convolved: Tensor, fine: Tensor) -> Tensor:
        return self.fusion.add(convolved, fine)


@torch.inference_mode()
def test_interpolating_twice_is_interpolating_once():
    """What the head leaves to the painter."""
    eighth = torch.randn(1, 3, 5, 7)

    def up(x: Tensor, height: int, width: int) -> Tensor:
        return nn.functional.interpolate(x, (height, width), mode="bilinear", align_corners=True)

    torch.testing.assert_close(up(up(eighth, 9, 13), 33, 49), up(eighth, 33, 49))


@pytest.mark.parametrize("size", [(97, 129), (96, 128), (70, 131)])
@pytest.mark.parametrize("align_corners", [True, False])
@torch.inference_mode()
def test_any_size_runs(size, align_corners):
    network = trained_looking(align_corners=align_corners)
    logits, expected = network.rearranged()(image(*size)), network(image(*size))
    if not align_corners:  # the paper's order throughout, but for the pyramid and the head
        torch.testing.assert_close(
            logits, expected, rtol=0, atol=1e-4 * float(expected.abs().max())
        )
    else:
        assert logits.shape[:2] == expected.shape[:2]


@pytest.mark.parametrize("size", [(97, 129), (70, 131)])
@pytest.mark.parametrize("align_corners", [True, False])
@torch.inference_mode()
def test_refine_takes_features_as_context_gives_them_or_at_its_own_size(size, align_corners):
    cheap, x = trained_looking(align_corners=align_corners).rearranged(), image(*size)
    features, other = cheap.context(x), image(size[0], size[1] + 1)[..., :-1]
    assert torch.equal(cheap.refine(x, features), cheap(x))
    fine = resize(features, fine_size(x), align_corners)
    assert torch.equal(cheap.refine(other, fine), cheap.refine(other, features))
    assert not torch.allclose(cheap.refine(other, features), cheap(other), atol=1e-3)


@torch.inference_mode()
def test_features_are_at_a_sixteenth_where_sizes_allow():
    cheap = trained_looking().rearranged()
    assert cheap.context(image(97, 129)).shape == (1, 16, 7, 9)
    assert cheap.context(image(80, 128)).shape == (1, 16, 10, 16)


def test_the_original_is_left_as_it_was():
    network = trained_looking()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    cheap = network.rearranged()
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    blocks = [module for module in cheap.modules() if isinstance(module, ConvBN)]
    assert not any(isinstance(part, nn.BatchNorm2d) for block in blocks for part in block)


def test_multiply_adds_fall_by_a_fifth():
    with torch.device("meta"):
        network = ICNet(19)
    assert multiply_adds(network.eval()) == pytest.approx(29.81e9, rel=0.001)
    assert multiply_adds(network.rearranged()) == pytest.approx(24.0e9, rel=0.01)


def multiply_adds(network: nn.Module) -> int:
    """Of every convolution, at 1025x2049. By the functional, which both orders end in."""
    total = 0

    class Count(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), keywords=None):
            nonlocal total
            result = function(*arguments, **(keywords or {}))
            if function is nn.functional.conv2d:
                total += result.numel() * arguments[1][0].numel()
            return result

    with Count():
        network(torch.empty(1, 3, 1025, 2049, device="meta"))
    return total
