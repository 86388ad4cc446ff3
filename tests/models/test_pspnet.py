"""PSPNet50 against published counts, sizes and a literal pyramid."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.models.blocks import ConvBN
from streamseg.models.pspnet import PSPNet50, PSPNetLogits, PyramidPoolingConcat
from streamseg.models.registry import build
from streamseg.training.losses import cascade_label_guidance

TINY = 1 / 16


def meta_pspnet(num_classes: int = 19, **arguments: float) -> PSPNet50:
    with torch.device("meta"):
        return PSPNet50(num_classes, **arguments).eval()  # type: ignore[arg-type]


def image(height: int, width: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randn(batch, 3, height, width, generator=generator)


def giga_operations(model: nn.Module, height: int, width: int) -> float:
    """Two for each product, from the output of every convolution that ran."""
    counts = []

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        counts.append(2 * output.numel() * module.weight[0].numel())

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    model(torch.empty(1, 3, height, width, device="meta"))
    return sum(counts) / 1e9


def parameters(model: nn.Module, *, kernels: bool = False) -> int:
    """Without the auxiliary head."""
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if not name.startswith("aux_") and (parameter.ndim == 4 or not kernels)
    )


def test_parameters_are_those_published() -> None:
    """46.72 M for the authors' PyTorch code with 19 classes (StarLight's table).

    46.53 M (oandrienko's) is the convolutions' kernels of the same network with ResNet's plain stem: one 7x7 of 64
    channels in place of three 3x3, and 64 channels into conv2.
    """
    model = meta_pspnet(19)
    assert parameters(model) == 46_715_347
    deep_stem = sum(block[0].weight.numel() for block in model.stem)
    plain_stem = 64 * 3 * 7 * 7
    narrower_conv2 = 64 * (64 + 256)
    assert parameters(model, kernels=True) - deep_stem + plain_stem - narrower_conv2 == 46_533_312


def test_the_auxiliary_head_is_a_3x3_and_a_1x1_on_stage_4() -> None:
    head = dict(meta_pspnet(19).aux_conv4.named_parameters())
    assert [tuple(head[name].shape) for name in ("0.0.weight", "2.weight", "2.bias")] == [
        (256, 1024, 3, 3), (19, 256, 1, 1), (19,),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("size", "counted", "published", "within"),
    [
        # oandrienko, TensorFlow's profiler: a cheaper stem, and batch norm and interpolation counted.
        ((1025, 2049), 2972.4, 2942.6, 0.011),
        # StarLight: the authors' code, batch norm and activations counted.
        ((713, 713), 726.0, 728.84, 0.005),
    ],
)
def test_operations(size: tuple[int, int], counted: float, published: float, within: float) -> None:
    total = giga_operations(meta_pspnet(), *size)
    assert total == pytest.approx(counted, abs=0.05)
    assert total == pytest.approx(published, rel=within)


def test_features_downsampled_cost_less_with_the_same_weights() -> None:
    by_stride = {stride: meta_pspnet(feature_stride=stride) for stride in (8, 16, 32)}
    shapes = [
        {name: tensor.shape for name, tensor in model.state_dict().items()}
        for model in by_stride.values()
    ]
    assert shapes[0] == shapes[1] == shapes[2]
    costs = [giga_operations(model, 1025, 2049) for model in by_stride.values()]
    assert costs == pytest.approx([2972.4, 946.1, 524.0], abs=0.1)
    logits = [
        model(torch.empty(1, 3, 1025, 2049, device="meta")).shape[-2:]
        for model in by_stride.values()
    ]
    assert logits == [(129, 257), (65, 129), (33, 65)]


@pytest.mark.parametrize(
    ("feature_stride", "strides", "dilations"),
    [(8, (1, 1), (2, 4)), (16, (2, 1), (1, 2)), (32, (2, 2), (1, 1))],
)
def test_strides_and_dilations(
    feature_stride: int, strides: tuple[int, int], dilations: tuple[int, int]
) -> None:
    """Strides are on the first 1x1 of a stage and on its projection, as in Caffe's ResNet."""
    strided, dilated = {}, {}
    for name, module in meta_pspnet(feature_stride=feature_stride).named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.padding[0] == module.dilation[0] * (module.kernel_size[0] // 2)
            if module.stride != (1, 1):
                strided[name] = module.stride[0]
            if module.dilation != (1, 1):
                dilated[name] = module.dilation[0]
    stages = {"conv3": 2, "conv4": strides[0], "conv5": strides[1]}
    expected = {
        f"{stage}.0.{part}.0": by for stage, by in stages.items() for part in ("reduce", "proj")
    }
    assert strided == {
        "stem.0.0": 2, **{name: by for name, by in expected.items() if by > 1},
    }  # fmt: skip
    depths = {"conv4": (6, dilations[0]), "conv5": (3, dilations[1])}
    assert dilated == {
        f"{stage}.{index}.conv.0": by
        for stage, (depth, by) in depths.items()
        for index in range(depth)
        if by > 1
    }


def test_stages_have_the_published_depths_and_channels() -> None:
    model = meta_pspnet()
    seen: dict[str, tuple[int, ...]] = {}

    def hook_for(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(_: nn.Module, __: object, output: Tensor) -> None:
            seen[name] = tuple(output.shape[1:])

        return keep

    names = ("stem", "conv2", "conv3", "conv4", "conv5", "pyramid", "conv5_4")
    for name in names:
        model.get_submodule(name).register_forward_hook(hook_for(name))
    logits = model(torch.empty(1, 3, 713, 721, device="meta"))
    assert logits.shape == (1, 19, 90, 91)
    assert seen == {
        "stem": (128, 357, 361),
        "conv2": (256, 179, 181),
        "conv3": (512, 90, 91),
        "conv4": (1024, 90, 91),
        "conv5": (2048, 90, 91),
        "pyramid": (4096, 90, 91),
        "conv5_4": (512, 90, 91),
    }
    stages = (model.conv2, model.conv3, model.conv4, model.conv5)
    assert [len(stage) for stage in stages] == [3, 4, 6, 3]


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(33, 33), (64, 96), (57, 73), (63, 66), (17, 40)], ids=str)
def test_any_size_runs(size: tuple[int, int], align_corners: bool) -> None:
    for stride in (8, 16, 32):
        model = PSPNet50(4, width=TINY, align_corners=align_corners, feature_stride=stride).eval()
        with torch.inference_mode():
            logits = model(image(*size))
        pooled = [(side + 1) // 2 // 2 + 1 for side in size]  # Caffe's: rounded up
        expected = [-(-side // (stride // 4)) for side in pooled]
        assert list(logits.shape) == [1, 4, *expected]
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize("side", [33, 41, 89, 713, 1025])
def test_sizes_of_the_form_8k_plus_1_align(side: int) -> None:
    logits = meta_pspnet(2, width=TINY)(torch.empty(1, 3, side, side, device="meta"))
    assert logits.shape[-1] == (side - 1) // 8 + 1


def test_every_number_of_channels_scales_with_width() -> None:
    def channels(model: nn.Module) -> list[tuple[int, int]]:
        return [
            (module.in_channels, module.out_channels)
            for module in model.modules()
            if isinstance(module, nn.Conv2d)
        ]

    whole, half = channels(meta_pspnet(7)), channels(meta_pspnet(7, width=0.5))
    for (into, out), (into_half, out_half) in zip(whole, half, strict=True):
        assert into_half == (into if into == 3 else into / 2)
        assert out_half == (out if out == 7 else out / 2)


def test_training_returns_the_answer_and_then_the_auxiliary_logits() -> None:
    torch.manual_seed(0)
    model = PSPNet50(5, width=TINY).train()
    logits = model(image(65, 97, batch=2))
    assert isinstance(logits, PSPNetLogits)
    assert [tuple(branch.shape) for branch in logits] == [(2, 5, 9, 13)] * 2
    labels = torch.randint(0, 5, (2, 65, 97))
    loss = cascade_label_guidance(logits, labels, (1.0, 0.4))
    expected = [
        F.cross_entropy(branch, labels[:, ::8, ::8]) for branch in (logits.answer, logits.auxiliary)
    ]
    torch.testing.assert_close(loss, expected[0] + 0.4 * expected[1])


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    model = PSPNet50(5, width=TINY).train()
    sum(branch.square().mean() for branch in model(image(97, 129, batch=2))).backward()
    dead = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None
        or not torch.isfinite(parameter.grad).all()
        or not parameter.grad.abs().sum() > 0
    ]
    assert dead == []


def test_dropout_and_the_auxiliary_head_are_of_training_alone() -> None:
    torch.manual_seed(0)
    model = PSPNet50(5, width=TINY).eval()
    with torch.inference_mode():
        answer = model(image(33, 41))
        assert torch.equal(model(image(33, 41)), answer)
        without = copy.deepcopy(model)
        del without.aux_conv4
        assert torch.equal(without(image(33, 41)), answer)
    drops = [part.p for part in model.modules() if isinstance(part, nn.Dropout2d)]
    assert drops == [0.1, 0.1]


@torch.inference_mode()
@pytest.mark.parametrize("align_corners", [True, False])
def test_the_pyramid_stands_beside_its_input(align_corners: bool) -> None:
    torch.manual_seed(0)
    x = image(9, 13)[:, :2]
    pyramid = PyramidPoolingConcat(2, 3, align_corners).eval()
    expected = [x]
    for bins, conv in zip((1, 2, 3, 6), pyramid.convs, strict=True):
        assert isinstance(conv, ConvBN) and len(conv) == 3
        level = F.adaptive_avg_pool2d(x, bins)
        level = F.relu(F.conv2d(level, conv[0].weight) / (1 + 1e-5) ** 0.5)  # type: ignore[operator]
        expected.append(F.interpolate(level, (9, 13), mode="bilinear", align_corners=align_corners))
    torch.testing.assert_close(pyramid(x), torch.cat(expected, 1))


@pytest.mark.parametrize(
    ("name", "size"), [("pspnet50", 9), ("pspnet50-s16", 5), ("pspnet50-s32", 3)]
)
def test_entries_of_the_registry_differ_in_feature_stride(name: str, size: int) -> None:
    model = build(name, 2, width=TINY).eval()
    with torch.inference_mode():
        assert model(image(65, 65)).shape[-2:] == (size, size)


@pytest.mark.parametrize(("classes", "width"), [(0, 0.5), (19, 0.0), (19, -1.0), (19, 0.3)])
def test_impossible_arguments_are_refused(classes: int, width: float) -> None:
    with pytest.raises(ValueError, match=r"expected num_classes >= 1 and width .* got"):
        PSPNet50(classes, width=width)


def test_impossible_feature_strides_are_refused() -> None:
    with pytest.raises(ValueError, match="expected feature_stride 8, 16 or 32, got 4"):
        PSPNet50(19, feature_stride=4)


def test_a_single_picture_does_not_train() -> None:
    model = PSPNet50(2, width=TINY).train()
    with pytest.raises(ValueError, match="a batch of at least 2 pictures to train PSPNet50"):
        model(image(33, 33))
