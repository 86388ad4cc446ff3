"""HRNetV2 with object context against published counts, and its attention against a literal one."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from streamseg.models.hrnet import HRNet, base_channels, fixed_channels
from streamseg.models.ocr import HRNetOCR, ObjectAttention, OCRLogits
from streamseg.models.operations import gflop
from streamseg.models.registry import build
from streamseg.training.losses import cascade_label_guidance

TINY = 1 / 48


def meta_network(num_classes: int = 19, **arguments: float) -> HRNetOCR:
    with torch.device("meta"):
        return HRNetOCR(num_classes, **arguments).eval()  # type: ignore[arg-type]


def image(height: int, width: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randn(batch, 3, height, width, generator=generator)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_parameters_are_those_published() -> None:
    """70.47 M in PaddleSeg's table for 19 classes: the weights, and batch norm's running means and variances."""
    model = meta_network(19)
    assert parameters(model) == 70_371_446
    statistics = sum(buffer.numel() for name, buffer in model.named_buffers() if "running" in name)
    assert (parameters(model) + statistics) / 1e6 == pytest.approx(70.47, abs=0.01)
    assert parameters(model.trunk) == 65_325_120
    # Two convolutions whose bias the batch norm behind them takes away again have one in the released code.
    assert parameters(model) + 512 + 720 == 70_372_678


def test_w18_keeps_the_channels_of_stem_and_head() -> None:
    model = meta_network(19, width=18 / 48)
    assert parameters(model) == 12_080_036
    assert [block[0].out_channels for block in model.trunk.stem] == [64, 64]
    assert model.feature_channels == 512
    assert model.trunk.out_channels == 15 * 18


def test_operations_are_those_published() -> None:
    """PaddleSeg's 324.7 "GFLOP" at 1024x512 are products; each is two operations here."""
    counted = gflop(meta_network(19), (512, 1024))
    assert counted == pytest.approx(648.95, abs=0.01)
    assert counted / 2 == pytest.approx(324.7, rel=0.001)


def test_stages_have_the_published_depths_and_channels() -> None:
    trunk = meta_network().trunk
    seen: dict[str, list[tuple[int, ...]]] = {}

    def hook_for(name: str) -> Callable[[nn.Module, object, list[Tensor]], None]:
        def keep(_: nn.Module, __: object, output: list[Tensor]) -> None:
            seen[name] = [tuple(one.shape[1:]) for one in output]

        return keep

    for index, stage in enumerate(trunk.stages):
        assert isinstance(stage, nn.ModuleList)
        stage[-1].register_forward_hook(hook_for(f"stage{index + 2}"))
    out = trunk(torch.empty(1, 3, 512, 1024, device="meta"))
    assert out.shape[1:] == (720, 128, 256)
    by_branch = [(48, 128, 256), (96, 64, 128), (192, 32, 64), (384, 16, 32)]
    assert seen == {f"stage{branches}": by_branch[:branches] for branches in (2, 3, 4)}
    assert [len(stage) for stage in trunk.stages] == [1, 4, 3]
    assert len(trunk.stage1) == 4
    exchange = trunk.stages[2][0]
    assert [len(branch) for branch in exchange.branches] == [4] * 4
    strided = [
        module.stride[0] for module in exchange.paths.modules() if isinstance(module, nn.Conv2d)
    ]
    assert strided.count(2) == 3 * 1 + 2 * 2 + 1 * 3  # chains of one, two and three
    assert strided.count(1) == 6  # upwards, 1x1


def test_an_exchange_adds_up_what_every_branch_brings() -> None:
    """In a trunk whose blocks and paths are known: the identity, zero, or one."""
    torch.manual_seed(0)
    exchange = HRNet(width=TINY).stages[0][0].eval()
    x = [image(8, 8)[:, :1].abs(), image(4, 4)[:, :2].abs()]
    with torch.inference_mode():
        blocks = [branch(one) for branch, one in zip(exchange.branches, x, strict=True)]
        fine, coarse = exchange(x)
        up = nn.functional.interpolate(exchange.paths[0][1](blocks[1]), (8, 8), mode="bilinear")
        torch.testing.assert_close(fine, (blocks[0] + up).relu())
        torch.testing.assert_close(coarse, (blocks[1] + exchange.paths[1][0](blocks[0])).relu())


@torch.inference_mode()
def test_object_attention_is_a_mixture_of_the_objects() -> None:
    torch.manual_seed(0)
    attention = ObjectAttention(6, 4).eval()
    pixels, objects = image(3, 5)[:, :1].repeat(1, 6, 1, 1) * 2, torch.randn(1, 6, 7, 1)
    query = attention.of_pixel(pixels)[0].reshape(4, 15)
    key, value = attention.of_object(objects)[0, :, :, 0], attention.down(objects)[0, :, :, 0]
    context = torch.zeros(4, 15)
    for pixel in range(15):
        alike = torch.stack([(query[:, pixel] * key[:, k]).sum() / 4**0.5 for k in range(7)])
        for k, share in enumerate(alike.exp() / alike.exp().sum()):
            context[:, pixel] += share * value[:, k]
    expected = attention.up(context.reshape(1, 4, 3, 5))
    torch.testing.assert_close(attention(pixels, objects), expected)


@torch.inference_mode()
def test_objects_are_means_over_their_soft_regions() -> None:
    torch.manual_seed(0)
    model = HRNetOCR(3, width=TINY).eval()
    seen: list[tuple[Tensor, ...]] = []
    model.attention.register_forward_hook(lambda _, inputs, __: seen.append(inputs))
    x = image(32, 32)
    model(x)
    pixels, objects = seen[0]
    scores = model.regions(model.trunk(x))
    assert pixels.abs().max() > 1
    for k in range(3):
        region = (scores[0, k].double() - scores[0, k].max()).exp()
        mean = (region * pixels[0]).sum((1, 2)) / region.sum()
        torch.testing.assert_close(objects[0, :, k, 0], mean.float(), rtol=1e-4, atol=1e-6)


def test_training_returns_the_answer_and_then_the_auxiliary_logits() -> None:
    torch.manual_seed(0)
    model = HRNetOCR(5, width=TINY).train()
    logits = model(image(64, 96, batch=2))
    assert isinstance(logits, OCRLogits)
    assert [tuple(branch.shape) for branch in logits] == [(2, 5, 16, 24)] * 2
    loss = cascade_label_guidance(logits, torch.randint(0, 5, (2, 64, 96)), (1.0, 0.4))
    loss.backward()  # type: ignore[no-untyped-call]
    dead = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not torch.isfinite(parameter.grad).all()
    ]
    assert dead == []


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(33, 33), (64, 96), (57, 73), (17, 40)], ids=str)
def test_any_size_runs(size: tuple[int, int], align_corners: bool) -> None:
    model = build("hrnet-ocr", 4, width=TINY, align_corners=align_corners).eval()
    with torch.inference_mode():
        logits = model(image(*size))
    assert logits.shape == (1, 4, -(-size[0] // 4), -(-size[1] // 4))
    assert torch.isfinite(logits).all()


def test_dropout_takes_whole_channels_in_training_alone() -> None:
    model = HRNetOCR(2, width=TINY)
    assert [part.p for part in model.modules() if isinstance(part, nn.Dropout2d)] == [0.05]


def test_widths_are_multiples_of_a_48th() -> None:
    assert [base_channels(width) for width in (1, 18 / 48, 1 / 16)] == [48, 18, 3]
    assert [fixed_channels(512, width) for width in (1, 18 / 48, 9 / 48)] == [512, 512, 256]
    with pytest.raises(ValueError, match=r"expected width a positive multiple of 1/48, got 0.3"):
        HRNetOCR(19, width=0.3)
    with pytest.raises(ValueError, match="expected num_classes >= 1, got num_classes = 0"):
        HRNetOCR(0)
