"""The caffemodel reader against the released network, written out here by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import caffe_writer
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from streamseg.errors import ModelError
from streamseg.labels import CITYSCAPES
from streamseg.models.caffemodel import CONV_BN, load_caffemodel, read_layers
from streamseg.models.find import find_model
from streamseg.models.icnet import ICNet
from streamseg.models.weights import load_model

Blobs = dict[str, list[NDArray[np.float32]]]

DEPTHS = {2: 3, 3: 4, 4: 6, 5: 3}
TINY = 1 / 16
CLASSES = 3


class Row(NamedTuple):
    """One layer of the prototxt; `kernel` (out, in, height, width) if it is a convolution."""

    name: str
    kind: str
    bottoms: list[str]
    tops: list[str]
    kernel: tuple[int, ...] = ()


def prototxt(width: float, classes: int, *, merged: bool, auxiliary: bool = True) -> list[Row]:
    """The released network's layers in order, wired as in hszhao/ICNet's two prototxt files."""
    base = int(64 * width)
    rows: list[Row] = []

    def conv(name: str, bottom: str, into: int, out: int, kernel: int, *, relu: bool = True) -> str:
        rows.append(Row(name, "Convolution", [bottom], [name], (out, into, kernel, kernel)))
        if not merged:
            rows.append(Row(f"{name}/bn", "BN", [name], [name]))
        if relu:
            rows.append(Row(f"{name}/relu", "ReLU", [name], [name]))
        return name

    def other(name: str, kind: str, *bottoms: str) -> str:
        rows.append(Row(name, kind, list(bottoms), [name]))
        return name

    other("data_sub1", "Scale", "data")
    other("data_sub2", "Interp", "data_sub1")
    x = conv("conv1_1_3x3_s2", "data_sub2", 3, base, 3)
    x = conv("conv1_2_3x3", x, base, base, 3)
    x = conv("conv1_3_3x3", x, base, 2 * base, 3)
    x = other("pool1_3x3_s2", "Pooling", x)
    channels = 2 * base
    for stage, depth in DEPTHS.items():
        mid, out = base * 2 ** (stage - 2), base * 2**stage
        for index in range(1, depth + 1):
            name = f"conv{stage}_{index}"
            shortcut = x
            if index == 1:
                shortcut = conv(f"{name}_1x1_proj", x, channels, out, 1, relu=False)
            y = conv(f"{name}_1x1_reduce", x, channels, mid, 1)
            y = conv(f"{name}_3x3", y, mid, mid, 3)
            y = conv(f"{name}_1x1_increase", y, mid, out, 1, relu=False)
            x = other(name, "Eltwise", shortcut, y)
            rows.append(Row(f"{name}/relu", "ReLU", [name], [name]))
            channels = out
            if name == "conv3_1":
                x = other("conv3_1_sub4", "Interp", x)
    pools = [other(f"conv5_3_pool{bins}", "Pooling", x) for bins in (1, 2, 3, 6)]
    x = other("conv5_3_sum", "Eltwise", x, *[other(f"{p}_interp", "Interp", p) for p in pools])
    x = conv("conv5_4_k1", x, 32 * base, 8 * base, 1)
    low = other("conv5_4_interp", "Interp", x)
    x = conv("conv_sub4", low, 8 * base, 4 * base, 3, relu=False)
    y = conv("conv3_1_sub2_proj", "conv3_1", 8 * base, 4 * base, 1, relu=False)
    x = other("sub24_sum", "Eltwise", y, x)
    middle = other("sub24_sum_interp", "Interp", x)
    x = conv("conv_sub2", middle, 4 * base, 4 * base, 3, relu=False)
    y = conv("conv1_sub1", "data_sub1", 3, base, 3)
    y = conv("conv2_sub1", y, base, base, 3)
    y = conv("conv3_sub1", y, base, 2 * base, 3)
    y = conv("conv3_sub1_proj", y, 2 * base, 4 * base, 1, relu=False)
    x = other("sub12_sum_interp", "Interp", other("sub12_sum", "Eltwise", y, x))
    heads = [("conv6_cls", x, 4 * base)]
    if auxiliary:
        heads += [("conv6_sub4", low, 8 * base), ("conv6_sub2", middle, 4 * base)]
    for name, bottom, into in heads:
        rows.append(Row(name, "Convolution", [bottom], [name], (classes, into, 1, 1)))
    return rows


def random_blobs(rows: list[Row], *, merged: bool, seed: int = 0) -> Blobs:
    rng = np.random.default_rng(seed)
    blobs: Blobs = {}
    for row in rows:
        if not row.kernel:
            continue
        out, fan_in = row.kernel[0], int(np.prod(row.kernel[1:]))
        blobs[row.name] = [rng.normal(0, (1.5 / fan_in) ** 0.5, row.kernel)]
        if merged or row.name.startswith("conv6"):
            blobs[row.name].append(rng.normal(0, 0.2, out))
        else:
            statistics = (
                rng.uniform(0.5, 1, out),
                rng.normal(0, 0.2, out),
                rng.normal(0, 0.2, out),
                rng.uniform(0.5, 1.5, out),
            )
            blobs[f"{row.name}/bn"] = [values.reshape(1, out, 1, 1) for values in statistics]
    return {name: [v.astype(np.float32) for v in values] for name, values in blobs.items()}


def write(
    path: Path, rows: list[Row], blobs: Blobs, form: str = "packed", *, wired: bool = True
) -> Path:
    v1 = form == "v1"
    encoded = [
        caffe_writer.layer(
            row.name,
            row.kind,
            row.bottoms if wired else (),
            row.tops if wired else (),
            [caffe_writer.blob(v, "legacy" if v1 else form) for v in blobs.get(row.name, [])],
            v1=v1,
        )
        for row in rows
    ]
    path.write_bytes(caffe_writer.net(encoded))
    return path


def reference_logits(blobs: Blobs, image: Tensor) -> Tensor:
    """The network of the table, from the file's blobs by layer name; no module of streamseg."""

    def conv(x: Tensor, name: str, stride: int = 1, dilation: int = 1, relu: bool = True) -> Tensor:
        weight, *bias = (torch.from_numpy(values) for values in blobs[name])
        padding = dilation if weight.shape[-1] == 3 else 0
        x = F.conv2d(x, weight, bias[0] if bias else None, stride, padding, dilation)
        if f"{name}/bn" in blobs:
            slope, shift, mean, variance = (
                torch.from_numpy(values).flatten() for values in blobs[f"{name}/bn"]
            )
            x = F.batch_norm(x, mean, variance, slope, shift, training=False, eps=1e-5)
        return F.relu(x) if relu else x

    def interp(x: Tensor, height: int, width: int) -> Tensor:
        return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=True)

    def shrink(x: Tensor) -> Tensor:
        return interp(x, (x.shape[2] - 1) // 2 + 1, (x.shape[3] - 1) // 2 + 1)

    def zoom(x: Tensor) -> Tensor:
        return interp(x, (x.shape[2] - 1) * 2 + 1, (x.shape[3] - 1) * 2 + 1)

    x = conv(shrink(image), "conv1_1_3x3_s2", 2)
    x = conv(conv(x, "conv1_2_3x3"), "conv1_3_3x3")
    x = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)
    middle = x
    for stage, depth in DEPTHS.items():
        dilation = {4: 2, 5: 4}.get(stage, 1)
        for index in range(1, depth + 1):
            name = f"conv{stage}_{index}"
            stride = 2 if name == "conv3_1" else 1
            y = conv(x, f"{name}_1x1_reduce", stride)
            y = conv(y, f"{name}_3x3", 1, dilation)
            y = conv(y, f"{name}_1x1_increase", relu=False)
            if index == 1:
                x = conv(x, f"{name}_1x1_proj", stride, relu=False)
            x = F.relu(x + y)
            if name == "conv3_1":
                middle, x = x, shrink(x)
    size = x.shape[2], x.shape[3]
    x = x + sum(interp(F.adaptive_avg_pool2d(x, bins), *size) for bins in (1, 2, 3, 6))
    x = conv(zoom(conv(x, "conv5_4_k1")), "conv_sub4", 1, 2, relu=False)
    x = F.relu(x + conv(middle, "conv3_1_sub2_proj", relu=False))
    x = conv(zoom(x), "conv_sub2", 1, 2, relu=False)
    y = conv(conv(conv(image, "conv1_sub1", 2), "conv2_sub1", 2), "conv3_sub1", 2)
    x = F.relu(x + conv(y, "conv3_sub1_proj", relu=False))
    return conv(zoom(x), "conv6_cls", relu=False)


def same_state(left: ICNet, right: ICNet) -> bool:
    return all(
        torch.equal(a, b)
        for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    )


@pytest.fixture
def tiny() -> tuple[list[Row], Blobs, ICNet]:
    rows = prototxt(TINY, CLASSES, merged=False)
    return rows, random_blobs(rows, merged=False), ICNet(CLASSES, width=TINY)


@pytest.mark.parametrize("merged", [False, True], ids=["bnnomerge", "merged"])
def test_loaded_network_computes_what_the_file_says(tmp_path: Path, merged: bool) -> None:
    rows = prototxt(0.5, 19, merged=merged)
    blobs = random_blobs(rows, merged=merged)
    # Caffe's pooling windows are defined at the official size only; here both sides are adaptive.
    model = ICNet(19, width=0.5, align_corners=True).eval()
    load_caffemodel(write(tmp_path / "icnet.caffemodel", rows, blobs), model)

    image = 60 * torch.randn(1, 3, 193, 257, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted, got = reference_logits(blobs, image), model(image)
    assert got.shape == wanted.shape == (1, 19, 49, 65)
    assert (got - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert wanted.std() > 0.01 * wanted.abs().max()  # the comparison is not of constants

    for head, name in (("aux_sub4", "conv6_sub4"), ("aux_sub24", "conv6_sub2")):
        weight, bias = blobs[name]
        assert torch.equal(getattr(model, head).weight, torch.from_numpy(weight))
        assert torch.equal(getattr(model, head).bias, torch.from_numpy(bias))


def test_table_names_every_convolution_once() -> None:
    rows = prototxt(0.5, 19, merged=True, auxiliary=False)
    convolutions = [row.name for row in rows if row.kernel and row.name != "conv6_cls"]
    assert len(convolutions) == 63
    assert sorted(CONV_BN.values()) == sorted(convolutions)


@pytest.mark.parametrize("form", ["split", "unpacked", "double", "legacy", "v1"])
def test_every_encoding_of_blobs_is_read(
    tmp_path: Path, tiny: tuple[list[Row], Blobs, ICNet], form: str
) -> None:
    rows, blobs, model = tiny
    packed = ICNet(CLASSES, width=TINY)
    load_caffemodel(write(tmp_path / "packed.caffemodel", rows, blobs), packed)
    load_caffemodel(write(tmp_path / "other.caffemodel", rows, blobs, form), model)
    assert same_state(model, packed)


def test_blobs_are_views_of_the_file(tmp_path: Path, tiny: tuple[list[Row], Blobs, ICNet]) -> None:
    rows, blobs, _ = tiny
    for layer in read_layers(write(tmp_path / "icnet.caffemodel", rows, blobs)):
        assert all(not blob.flags.owndata for blob in layer.blobs)


def test_auxiliary_heads_are_left_alone_when_the_file_has_none(tmp_path: Path) -> None:
    rows = prototxt(TINY, CLASSES, merged=True, auxiliary=False)
    blobs = random_blobs(rows, merged=True)
    model = ICNet(CLASSES, width=TINY)
    before = model.aux_sub4.weight.clone()
    load_caffemodel(write(tmp_path / "icnet.caffemodel", rows, blobs), model)
    assert torch.equal(model.aux_sub4.weight, before)


def test_bias_before_batch_norm_is_taken_in(
    tmp_path: Path, tiny: tuple[list[Row], Blobs, ICNet]
) -> None:
    rows, blobs, model = tiny
    blobs["conv_sub2"].append(np.full(16, 0.5, np.float32))
    load_caffemodel(write(tmp_path / "icnet.caffemodel", rows, blobs), model)
    wanted = torch.from_numpy(blobs["conv_sub2/bn"][2].flatten() - 0.5)
    assert torch.equal(model.fuse_sub12.conv[1].running_mean, wanted)


def test_input_scale_is_folded_into_both_image_convolutions(
    tmp_path: Path, tiny: tuple[list[Row], Blobs, ICNet]
) -> None:
    rows, blobs, model = tiny
    blobs["data_sub1"] = [np.array([1, 2, 0.5], np.float32)]
    load_caffemodel(write(tmp_path / "icnet.caffemodel", rows, blobs), model.eval())
    image = torch.randn(1, 3, 65, 65, generator=torch.Generator().manual_seed(2))
    scaled = image * torch.tensor([1, 2, 0.5]).view(1, 3, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(
            model(image), reference_logits(blobs, scaled), rtol=1e-4, atol=1e-4
        )


def test_layers_of_training_that_the_answer_does_not_need_are_ignored(
    tmp_path: Path, tiny: tuple[list[Row], Blobs, ICNet]
) -> None:
    rows, blobs, model = tiny
    rows.append(Row("conv4_6_aux", "Convolution", ["conv4_6"], ["conv4_6_aux"]))
    blobs["conv4_6_aux"] = [np.ones((2, 2, 3, 3), np.float32)]
    path = write(tmp_path / "icnet.caffemodel", rows, blobs)
    load_caffemodel(path, model)
    with pytest.raises(
        ModelError, match=r"1 layers of .* no place for, the first is 'conv4_6_aux'"
    ):
        load_caffemodel(write(path, rows, blobs, wired=False), model)


def test_weights_on_the_way_to_the_answer_are_refused(
    tmp_path: Path, tiny: tuple[list[Row], Blobs, ICNet]
) -> None:
    rows, blobs, model = tiny
    at = next(index for index, row in enumerate(rows) if row.name == "conv_sub4")
    rows.insert(at, Row("conv5_4_scale", "Scale", ["conv5_4_interp"], ["conv5_4_interp"]))
    blobs["conv5_4_scale"] = [np.ones(32, np.float32)]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ModelError, match="no place for, the first is 'conv5_4_scale'"):
        load_caffemodel(write(tmp_path / "icnet.caffemodel", rows, blobs), model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def drop_bn(rows: list[Row], blobs: Blobs) -> None:
    del blobs["conv_sub4/bn"]


def drop_answer(rows: list[Row], blobs: Blobs) -> None:
    del blobs["conv6_cls"]


def three_bn_blobs(rows: list[Row], blobs: Blobs) -> None:
    blobs["conv2_1_3x3/bn"].pop()


def transposed_kernel(rows: list[Row], blobs: Blobs) -> None:
    blobs["conv5_4_k1"][0] = np.ascontiguousarray(blobs["conv5_4_k1"][0].swapaxes(0, 1))


def nan_kernel(rows: list[Row], blobs: Blobs) -> None:
    blobs["conv1_2_3x3"][0][0, 0, 0, 0] = np.nan


def negative_variance(rows: list[Row], blobs: Blobs) -> None:
    blobs["conv1_2_3x3/bn"][3][0] = -1


def twice(rows: list[Row], blobs: Blobs) -> None:
    rows.append(next(row for row in rows if row.name == "conv_sub4"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_bn, r"expected layer conv_sub4/bn in .*bias in conv_sub4 .*got neither"),
        (drop_answer, r"expected ICNet's layer conv6_cls in .*missing.*train_30k"),
        (three_bn_blobs, r"expected 4 blobs in layer conv2_1_3x3/bn of .*got 3"),
        (transposed_kernel, r"shape \(32, 128, 1, 1\) in layer conv5_4_k1 of .*\(128, 32, 1, 1\)"),
        (nan_kernel, "expected finite weights in layer conv1_2_3x3"),
        (negative_variance, "expected variances >= 0 in layer conv1_2_3x3/bn"),
        (twice, "expected one layer 'conv_sub4' with weights"),
    ],
)
def test_wrong_layers_are_named(
    tmp_path: Path,
    tiny: tuple[list[Row], Blobs, ICNet],
    change: Callable[[list[Row], Blobs], None],
    message: str,
) -> None:
    rows, blobs, model = tiny
    change(rows, blobs)
    with pytest.raises(ModelError, match=message):
        load_caffemodel(write(tmp_path / "icnet.caffemodel", rows, blobs), model)


def test_another_width_or_number_of_classes_is_refused(
    tmp_path: Path, tiny: tuple[list[Row], Blobs, ICNet]
) -> None:
    rows, blobs, _ = tiny
    path = write(tmp_path / "icnet.caffemodel", rows, blobs)
    with pytest.raises(
        ModelError, match=r"\(8, 3, 3, 3\) in layer conv1_1_3x3_s2 .*\(4, 3, 3, 3\)"
    ):
        load_caffemodel(path, ICNet(CLASSES, width=0.125))
    with pytest.raises(ModelError, match=r"\(4, 16, 1, 1\) in layer conv6_cls .*\(3, 16, 1, 1\)"):
        load_caffemodel(path, ICNet(4, width=TINY))


LAYER = caffe_writer.layer("first", "ReLU")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a caffemodel at .*no layers"),
        (b"<!DOCTYPE html><title>Google Drive", "expected a caffemodel at .*wire type 4"),
        (b"version https://git-lfs.github.com/spec/v1", "expected a caffemodel at .*wire type 6"),
        (b"\x80\x02}q\x00", "expected a caffemodel at"),
        (b"\0" * 64, "expected a caffemodel at .*number 0"),
        (b"\xff" * 64, "expected a caffemodel at .*more than 10 bytes"),
        (LAYER + LAYER[:-1], "truncated or damaged after layer 'first': .*download it again"),
        (LAYER + b"\xa2\x06\xff\xff\xff\xff\x7f", "after layer 'first': a field of 34359738367"),
        (LAYER + b"\xa2", "after layer 'first': an integer is cut off"),
        (LAYER * 4097, "more than 4096 layers"),
        (
            LAYER + caffe_writer.layer("wide", "ReLU", bottoms=["x"] * 65),
            "more than 64 blobs, bottoms or tops",
        ),
        (
            LAYER
            + caffe_writer.layer(
                "vast",
                "Convolution",
                blobs=[caffe_writer.chunk(7, caffe_writer.integer(1, 1 << 40))],
            ),
            r"a blob of shape \[1099511627776\] has 0 bytes",
        ),
        (
            LAYER
            + caffe_writer.layer(
                "deep",
                "Convolution",
                blobs=[caffe_writer.chunk(7, caffe_writer.chunk(1, b"\1" * 1000))],
            ),
            "more than 8 axes",
        ),
    ],
)
def test_something_else_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "some.caffemodel"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message):
        read_layers(path)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read the weights .*No such file"):
        read_layers(tmp_path / "absent.caffemodel")
    with pytest.raises(ModelError, match=r"cannot read the weights .*directory"):
        read_layers(tmp_path)


def test_mutated_files_raise_nothing_but_model_errors(
    tmp_path: Path, tiny: tuple[list[Row], Blobs, ICNet]
) -> None:
    rows, blobs, model = tiny
    path = write(tmp_path / "icnet.caffemodel", rows, blobs)
    whole = path.read_bytes()
    names = [at for at in range(len(whole)) if whole.startswith(b"conv", at)]
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        kind = rng.integers(4)
        if kind == 0:
            del data[rng.integers(len(data)) :]
        elif kind == 1:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        else:  # near a name, where lengths and keys are; the rest of the file is mostly floats
            for _ in range(kind):
                at = int(rng.choice(names)) + int(rng.integers(-12, 48))
                data[min(max(at, 0), len(data) - 1)] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            load_caffemodel(path, model)
        except ModelError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


def test_the_published_file_is_a_model_by_its_suffix(tmp_path: Path) -> None:
    """`--model icnet_cityscapes_train_30k.caffemodel`: Cityscapes' classes, the released pooling windows."""
    rows = prototxt(0.5, 19, merged=True)
    blobs = random_blobs(rows, merged=True)
    path = write(tmp_path / "icnet_cityscapes_train_30k.caffemodel", rows, blobs)
    file = find_model(path)
    assert file.is_torch
    assert file.card.labels is CITYSCAPES
    assert file.card.input.size == (1025, 2049)
    model = load_model(file)
    assert isinstance(model, ICNet)
    assert model.pyramid.caffe_windows
    weight = next(blob for name, (blob, *_) in blobs.items() if name == "conv6_cls")
    assert torch.equal(model.classify.weight, torch.from_numpy(weight))


@pytest.mark.parametrize("auxiliary", [True, False])
def test_a_published_file_can_stop_early_if_it_has_the_head(
    tmp_path: Path, auxiliary: bool
) -> None:
    rows = prototxt(0.5, 19, merged=True, auxiliary=auxiliary)
    blobs = random_blobs(rows, merged=True)
    path = write(tmp_path / "snapshot.caffemodel", rows, blobs)
    file = find_model(path, branch="sub4")
    if not auxiliary:
        with pytest.raises(ModelError, match=r"expected the auxiliary head aux_sub4 in .*snapshot"):
            load_model(file)
        return
    weight = load_model(file).state_dict()["network.aux_sub4.weight"]
    assert torch.equal(weight, torch.from_numpy(blobs["conv6_sub4"][0]))
