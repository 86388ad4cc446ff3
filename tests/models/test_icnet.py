"""ICNet against the released prototxt: sizes, parameters, multiply-adds, pooling windows."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.models.blocks import PyramidPoolingSum
from streamseg.models.icnet import CascadeLogits, ICNet

PARTS = {
    "half-res trunk": ("stem", "conv2", "conv3_1"),
    "quarter-res trunk": ("conv3_rest", "conv4", "conv5", "conv5_4"),
    "fusion": ("fuse_sub24", "fuse_sub12.conv"),
    "high-res": ("high", "fuse_sub12.proj"),
    "head": ("classify",),
}


def part_of(name: str) -> str:
    return next(
        part
        for part, roots in PARTS.items()
        if any(f"{name}.".startswith(f"{root}.") for root in roots)
    )


def parameters(model: nn.Module) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        if not name.startswith("aux_"):
            counts[part_of(name)] += parameter.numel()
    return counts


def giga_multiply_adds(model: ICNet, height: int, width: int) -> Counter[str]:
    """Counted from the output of every convolution that ran, per part."""
    counts: Counter[str] = Counter()

    def hook_for(part: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
            assert isinstance(module, nn.Conv2d)
            counts[part] += output.numel() * module.weight[0].numel()

        return count

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and not name.startswith("aux_"):
            module.register_forward_hook(hook_for(part_of(name)))
    model.eval()(torch.empty(1, 3, height, width, device="meta"))
    return Counter({part: round(count / 1e9, 4) for part, count in counts.items()})


def meta_icnet(num_classes: int = 19, **arguments: float) -> ICNet:
    with torch.device("meta"):
        return ICNet(num_classes, **arguments)


@pytest.fixture(scope="module")
def small() -> ICNet:
    """A narrow network with batch statistics that are not the identity."""
    torch.manual_seed(0)
    model = ICNet(5, width=1 / 16)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def image(height: int, width: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randn(batch, 3, height, width, generator=generator)


def test_released_width_has_the_prototxt_s_parameters() -> None:
    counts = parameters(meta_icnet())
    assert counts.total() == 6_699_987
    millions = {part: round(count / 1e6, 3) for part, count in counts.items()}
    assert millions["quarter-res trunk"] == pytest.approx(5.98, rel=0.01)
    assert millions["half-res trunk"] == pytest.approx(0.18, rel=0.03)
    assert millions["fusion"] == pytest.approx(0.475, rel=0.01)
    assert millions["high-res"] == pytest.approx(0.037, rel=0.01)


def test_full_width_doubles_every_layer() -> None:
    assert parameters(meta_icnet(width=1.0)).total() == pytest.approx(26.73e6, abs=0.01e6)
    # Batch norm folded and 12 classes: Open Model Zoo's icnet-camvid-ava-0001, 26.7043 M.
    model = meta_icnet(12, width=1.0)
    folded = sum(
        module.weight.numel() + module.weight.shape[0]
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and not name.startswith("aux_")
    )
    assert folded == 26_704_140


@pytest.mark.parametrize(
    ("width", "size", "giga", "within"),
    [
        (0.5, (1025, 2049), 29.81, 0.005),
        (1.0, (1025, 2049), 117.5, 0.05),
        # Not of the form 32k + 1: Caffe's zoom gives 45 rows where the companion map has 46, and
        # the sum would fail there; ours interpolates to 46.
        (0.5, (721, 961), 9.84, 0.1),
        (0.5, (361, 481), 2.56, 0.03),
        (1.0, (721, 961), 38.9, 0.4),
    ],
)
def test_multiply_adds(width: float, size: tuple[int, int], giga: float, within: float) -> None:
    total = giga_multiply_adds(meta_icnet(width=width), *size).total()
    assert total == pytest.approx(giga, abs=within)


def test_multiply_adds_by_part() -> None:
    counts = giga_multiply_adds(meta_icnet(), 1025, 2049)
    expected = {
        "half-res trunk": 6.48,
        "quarter-res trunk": 12.82,
        "fusion": 7.64,
        "high-res": 2.55,
        "head": 0.32,
    }
    assert counts == pytest.approx(expected, abs=0.0051)


def test_official_size_has_the_prototxt_s_feature_sizes() -> None:
    model = meta_icnet().eval()
    sizes: dict[str, tuple[int, ...]] = {}

    def hook_for(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(_: nn.Module, __: object, output: Tensor) -> None:
            sizes[name] = tuple(output.shape[1:])

        return keep

    names = ("stem", "conv2", "conv3_1", "conv3_rest", "conv4", "conv5", "pyramid", "conv5_4")
    for name in (*names, "fuse_sub24.conv", "high", "fuse_sub12.proj"):
        model.get_submodule(name).register_forward_hook(hook_for(name))
    logits = model(torch.empty(1, 3, 1025, 2049, device="meta"))
    assert logits.shape == (1, 19, 257, 513)
    assert sizes == {
        "stem": (64, 257, 513),
        "conv2": (128, 129, 257),
        "conv3_1": (256, 65, 129),
        "conv3_rest": (256, 33, 65),
        "conv4": (512, 33, 65),
        "conv5": (1024, 33, 65),
        "pyramid": (1024, 33, 65),
        "conv5_4": (256, 33, 65),
        "fuse_sub24.conv": (128, 65, 129),
        "high": (64, 129, 257),
        "fuse_sub12.proj": (128, 129, 257),
    }


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    "size", [(33, 33), (64, 96), (360, 480), (97, 161), (63, 65), (17, 40)], ids=str
)
def test_any_size_runs(size: tuple[int, int], align_corners: bool) -> None:
    model = ICNet(4, width=1 / 16, align_corners=align_corners).eval()
    with torch.inference_mode():
        logits = model(image(*size))
    high = [-(-side // 8) for side in size]
    expected = [2 * side - 1 if align_corners else 2 * side for side in high]
    assert list(logits.shape) == [1, 4, *expected]
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("side", [33, 65, 97, 129, 225, 1025])
def test_sizes_of_the_form_32k_plus_1_align(side: int) -> None:
    logits = meta_icnet(2, width=1 / 16).eval()(torch.empty(1, 3, side, side, device="meta"))
    assert logits.shape[-1] == (side - 1) // 4 + 1


def test_training_returns_three_branches() -> None:
    model = ICNet(5, width=1 / 16).train()
    logits = model(image(129, 193, batch=2))
    assert isinstance(logits, CascadeLogits)
    assert [tuple(branch.shape) for branch in logits] == [
        (2, 5, 33, 49),
        (2, 5, 17, 25),
        (2, 5, 9, 13),
    ]


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    model = ICNet(5, width=1 / 16).train()
    sum(branch.square().mean() for branch in model(image(97, 129, batch=2))).backward()
    dead = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None
        or not torch.isfinite(parameter.grad).all()
        or not parameter.grad.abs().sum() > 0
    ]
    assert dead == []


@pytest.mark.parametrize("align_corners", [True, False])
def test_refine_after_context_is_forward(small: ICNet, align_corners: bool) -> None:
    small.align_corners, kept = align_corners, small.align_corners
    try:
        with torch.inference_mode():
            frame = image(120, 160)
            features = small.context(frame)
            assert features.shape[1] == 16
            assert torch.equal(small.refine(frame, features), small(frame))
            newer = small.refine(image(121, 159), features)  # a keyframe's features, another frame
            assert newer.shape[:2] == (1, 5)
    finally:
        small.align_corners = kept


def test_branches_share_computation_up_to_conv3_1(small: ICNet) -> None:
    calls: Counter[str] = Counter()

    def hooked(model: nn.Module) -> Iterator[torch.utils.hooks.RemovableHandle]:
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                yield module.register_forward_hook(lambda *_, name=name: calls.update([name]))

    handles = list(hooked(small))
    with torch.inference_mode():
        small(image(97, 129))
    for handle in handles:
        handle.remove()
    inference = [name for name, _ in small.named_modules() if name in calls]
    assert len(inference) == 64  # 63 with batch norm, and the classifier; no auxiliary head
    assert set(calls.values()) == {1}
    shared = [name for name in calls if name.startswith(("stem.", "conv2.", "conv3_1."))]
    assert len(shared) == 17


def test_strides_and_dilations() -> None:
    strided, dilated = {}, {}
    for name, module in meta_icnet().named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.padding[0] == module.dilation[0] * (module.kernel_size[0] // 2)
            if module.stride != (1, 1):
                strided[name] = module.stride[0], module.kernel_size[0]
            if module.dilation != (1, 1):
                dilated[name] = module.dilation[0]
    assert strided == {
        "stem.0.0": (2, 3),
        "conv3_1.reduce.0": (2, 1),  # not on the 3x3, as in Caffe's ResNet
        "conv3_1.proj.0": (2, 1),
        "high.0.0": (2, 3),
        "high.1.0": (2, 3),
        "high.2.0": (2, 3),
    }
    assert dilated == {
        **{f"conv4.{index}.conv.0": 2 for index in range(6)},
        **{f"conv5.{index}.conv.0": 4 for index in range(3)},
        "fuse_sub24.conv.0": 2,
        "fuse_sub12.conv.0": 2,
    }


# Kernel and stride of conv5_3_pool{1,2,3,6} in the released prototxt, for a 33x65 map.
WINDOWS = {
    1: ((33, 65), (33, 65)),
    2: ((17, 33), (16, 32)),
    3: ((13, 25), (10, 20)),
    6: ((8, 15), (5, 10)),
}


def pooled_sum(x: Tensor, pools: Iterable[Tensor]) -> Tensor:
    size = x.shape[2], x.shape[3]
    return x + sum(F.interpolate(p, size, mode="bilinear", align_corners=True) for p in pools)


@pytest.mark.parametrize(
    "bins",
    [1, 2, 3, 6],
)
def test_caffe_windows_are_the_prototxt_s(bins: int) -> None:
    x = image(33, 65)
    kernel, stride = WINDOWS[bins]
    got = PyramidPoolingSum(True, bins=[bins], caffe_windows=True)(x)
    torch.testing.assert_close(got, pooled_sum(x, [F.avg_pool2d(x, kernel, stride)]))


@pytest.mark.parametrize("bins", [1, 2])
def test_caffe_windows_of_one_and_two_bins_are_adaptive(bins: int) -> None:
    x = image(33, 65)
    kernel, stride = WINDOWS[bins]
    torch.testing.assert_close(F.avg_pool2d(x, kernel, stride), F.adaptive_avg_pool2d(x, bins))
    torch.testing.assert_close(
        PyramidPoolingSum(True, bins=[bins], caffe_windows=True)(x),
        PyramidPoolingSum(True, bins=[bins])(x),
    )


def test_pyramid_sums_all_bins() -> None:
    x = image(9, 13)
    pools = [F.adaptive_avg_pool2d(x, bins) for bins in (1, 2, 3, 6)]
    torch.testing.assert_close(PyramidPoolingSum(True)(x), pooled_sum(x, pools))


@pytest.mark.parametrize(("classes", "width"), [(0, 0.5), (19, 0.0), (19, -1.0), (19, 0.3)])
def test_impossible_arguments_are_refused(classes: int, width: float) -> None:
    with pytest.raises(ValueError, match=r"expected num_classes >= 1 and width .* got"):
        ICNet(classes, width=width)
