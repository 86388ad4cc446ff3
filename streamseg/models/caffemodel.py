"""Released ICNet weights: reads the authors' `.caffemodel` files without Caffe or protobuf.

Comes in: a path. Goes out: a filled `ICNet`. Both published forms are read:

- merged (`icnet_cityscapes_train_30k.caffemodel`, `..._trainval_90k`): batch norm folded into each
  convolution, which then has a bias;
- original (`..._bnnomerge.caffemodel`): convolution without bias, and a layer `<convolution>/bn` of
  four blobs: slope, bias, running mean, running variance (not its inverse root); eps 1e-5.

The file is untrusted: every length is checked against the bytes that remain, every shape against
the number of values that came, and nothing is allocated on the file's word. The model is changed
only after all of it was checked.

Note "what the answer needs": a snapshot also holds layers that only training used. The file says
how its layers are wired, so a layer with weights that this table does not know is ignored when
the wiring shows that `conv6_cls` does not depend on it, and refused in every other case.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamseg.errors import ModelError
from streamseg.models.state import fill

if TYPE_CHECKING:
    import torch

    from streamseg.models.icnet import ICNet

MAX_FILE_BYTES = 1 << 28
"""The released files have 31 MB; at width 1 it would be about 110 MB."""
MAX_LAYERS = 4096
MAX_PARTS = 64
"""Blobs, bottoms or tops of one layer; ICNet's layers have five at most."""
MAX_AXES = 8
MAX_FIELDS = 1 << 23
"""In a file, which takes some seconds. A released one has thousands, written value by value 7 million."""
BATCH_NORM_EPS = 1e-5
"""Default of the authors' `BNParameter.eps`, and of `torch.nn.BatchNorm2d`."""

INPUT_SCALE = "data_sub1"
"""A `Scale` layer of one factor per input color, all 1 unless somebody trained it."""
ANSWER = "conv6_cls"


def _bottlenecks() -> Iterator[tuple[str, str]]:
    for stage, depth in ((2, 3), (3, 4), (4, 6), (5, 3)):
        for index in range(depth):
            block = f"conv{stage}.{index}"
            if stage == 3:
                block = "conv3_1" if index == 0 else f"conv3_rest.{index}"
            caffe = f"conv{stage}_{index + 1}"
            yield f"{block}.reduce", f"{caffe}_1x1_reduce"
            yield f"{block}.conv", f"{caffe}_3x3"
            yield f"{block}.increase", f"{caffe}_1x1_increase"
            if index == 0:
                yield f"{block}.proj", f"{caffe}_1x1_proj"


CONV_BN = {
    "stem.0": "conv1_1_3x3_s2",
    "stem.1": "conv1_2_3x3",
    "stem.2": "conv1_3_3x3",
    **dict(_bottlenecks()),
    "conv5_4": "conv5_4_k1",
    "fuse_sub24.conv": "conv_sub4",
    "fuse_sub24.proj": "conv3_1_sub2_proj",
    "high.0": "conv1_sub1",
    "high.1": "conv2_sub1",
    "high.2": "conv3_sub1",
    "fuse_sub12.conv": "conv_sub2",
    "fuse_sub12.proj": "conv3_sub1_proj",
}
"""`ConvBN` of ours -> Caffe convolution; its batch norm, if not merged, is `<name>/bn`."""

CLASSIFIERS = {"classify": ANSWER, "aux_sub4": "conv6_sub4", "aux_sub24": "conv6_sub2"}
"""1x1 convolutions with a bias. The two auxiliary ones may be missing from a file."""

IMAGE_CONVOLUTIONS = ("conv1_1_3x3_s2", "conv1_sub1")
"""What reads the (halved) image, and so takes in the factors of `INPUT_SCALE`."""

Array = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class CaffeLayer:
    """One layer that was read: its name, the tensors it is wired to, and its weights."""

    name: str = ""
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    blobs: list[Array] = field(default_factory=list)


def load_caffemodel(path: str | Path, model: "ICNet") -> frozenset[str]:
    """Fill `model` from one of the authors' `.caffemodel` files.

    The released weights belong to `ICNet(19, width=0.5, align_corners=True, caffe_windows=True)`.

    Args:
        path: the file.
        model: of the file's width and number of classes. Its auxiliary heads are filled if the file
            has them and left alone if not.

    Returns:
        Names of the tensors that were filled.

    Raises:
        ModelError: unreadable, not a caffemodel, truncated or damaged; a layer is missing, has
            other blobs than expected, or carries weights that the network has no place for.
            `model` is then unchanged.
    """
    layers = read_layers(path)
    state = _convert(layers, model, str(path))
    fill(model, state, origin=str(path))
    return frozenset(state)


# From Caffe layers to our tensors -----------------------------------------------------------------


def _convert(layers: list[CaffeLayer], model: "ICNet", origin: str) -> "dict[str, torch.Tensor]":
    import torch

    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    weights = _Weights(layers, origin)
    state: dict[str, Array] = {}

    factors = np.ones(3, np.float32)
    if INPUT_SCALE in weights:
        (factors,) = weights.take(INPUT_SCALE, (3,))
    for ours, caffe in CONV_BN.items():
        kernel_shape = shapes[f"{ours}.0.weight"]
        channels = kernel_shape[:1]
        kernel, *bias = weights.take(caffe, kernel_shape, optional=(channels,))
        if f"{caffe}/bn" in weights:
            slope, shift, mean, variance = weights.take(f"{caffe}/bn", *[channels] * 4)
            if variance.min() < 0:
                raise ModelError(f"expected variances >= 0 in layer {caffe}/bn of {origin}")
            mean = mean - bias[0] if bias else mean
        elif bias:  # merged: a batch norm that only adds the bias
            shift = bias[0]
            slope, mean = np.ones_like(shift), np.zeros_like(shift)
            variance = np.full_like(shift, 1 - BATCH_NORM_EPS)
        else:
            raise ModelError(
                f"expected layer {caffe}/bn in {origin}, or a bias in {caffe} (batch norm merged); "
                f"got neither"
            )
        if caffe in IMAGE_CONVOLUTIONS:
            kernel = kernel * factors[:, None, None]
        state[f"{ours}.0.weight"] = kernel
        state[f"{ours}.1.weight"], state[f"{ours}.1.bias"] = slope, shift
        state[f"{ours}.1.running_mean"], state[f"{ours}.1.running_var"] = mean, variance

    for ours, caffe in CLASSIFIERS.items():
        if caffe in weights or caffe == ANSWER:
            kernel_shape = shapes[f"{ours}.weight"]
            kernel, shift = weights.take(caffe, kernel_shape, kernel_shape[:1])
            state[f"{ours}.weight"], state[f"{ours}.bias"] = kernel, shift

    weights.refuse_unused()
    return {name: torch.from_numpy(array.copy()) for name, array in state.items()}


class _Weights:
    """The layers that carry weights, and which of them were taken."""

    def __init__(self, layers: list[CaffeLayer], origin: str) -> None:
        self._layers = layers
        self._origin = origin
        self._blobs: dict[str, list[Array]] = {}
        self._taken: set[str] = set()
        for layer in layers:
            if layer.blobs and layer.name in self._blobs:
                raise ModelError(
                    f"expected one layer {layer.name!r} with weights in {origin}, got two"
                )
            if layer.blobs:
                self._blobs[layer.name] = layer.blobs

    def __contains__(self, name: str) -> bool:
        return name in self._blobs

    def take(
        self, name: str, *shapes: tuple[int, ...], optional: tuple[tuple[int, ...], ...] = ()
    ) -> list[Array]:
        """The blobs of layer `name`, checked; `optional` ones may be missing at the end."""
        if name not in self._blobs:
            raise ModelError(
                f"expected ICNet's layer {name} in {self._origin}; it is missing. Released files "
                f"are icnet_cityscapes_{{train_30k,trainval_90k}}[_bnnomerge].caffemodel"
            )
        blobs = self._blobs[name]
        self._taken.add(name)
        if not len(shapes) <= len(blobs) <= len(shapes) + len(optional):
            counts = " or ".join(str(len(shapes) + extra) for extra in range(len(optional) + 1))
            raise ModelError(
                f"expected {counts} blobs in layer {name} of {self._origin}, got {len(blobs)}"
            )
        arrays = []
        for blob, shape in zip(blobs, shapes + optional, strict=False):
            if not _same_shape(blob.shape, shape):
                raise ModelError(
                    f"expected a blob of shape {shape} in layer {name} of {self._origin}, got "
                    f"{blob.shape}; released files belong to ICNet(19, width=0.5)"
                )
            if not np.isfinite(blob).all():
                raise ModelError(f"expected finite weights in layer {name} of {self._origin}")
            arrays.append(blob.reshape(shape))
        return arrays

    def refuse_unused(self) -> None:
        """See the note "what the answer needs" at the top of this file."""
        needed = _layers_behind(ANSWER, self._layers)
        wired = needed.issuperset(CONV_BN.values())
        unused = [name for name in self._blobs.keys() - self._taken if name in needed or not wired]
        if unused:
            first = next(layer.name for layer in self._layers if layer.name in unused)
            raise ModelError(
                f"{len(unused)} layers of {self._origin} carry weights that ICNet has no place "
                f"for, the first is {first!r}; expected the files that ICNet's authors released"
            )


def _same_shape(got: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Vectors also come as 1 x C x 1 x 1 (batch norm) or 1 x 1 x 1 x C (old biases)."""
    if len(wanted) > 1:
        return got == wanted
    return math.prod(got) == wanted[0] and max(got, default=1) == wanted[0]


def _layers_behind(name: str, layers: list[CaffeLayer]) -> set[str]:
    """Layers that layer `name` depends on, and itself. Caffe stores layers in running order."""
    found: set[str] = set()
    needed: set[str] = set()
    for layer in reversed(layers):
        if layer.name == name or not needed.isdisjoint(layer.tops):
            found.add(layer.name)
            needed.update(layer.bottoms)
    return found


# Protobuf wire format -----------------------------------------------------------------------------


class _DamagedError(Exception):
    """The bytes are no message of this kind; becomes a `ModelError` in `read_layers`."""


def read_layers(path: str | Path) -> list[CaffeLayer]:
    """The layers of a `.caffemodel` (Caffe's `NetParameter`); blobs are views of the file's bytes.

    Raises:
        ModelError: unreadable, not a caffemodel, truncated or damaged.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(
                f"expected a caffemodel of at most {MAX_FILE_BYTES >> 20} MB at {path}"
            )
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read the weights {path}: {error.strerror}") from error

    layers: list[CaffeLayer] = []
    try:
        budget = iter(range(MAX_FIELDS))
        for number, value in _fields(data, budget):
            if number in _LAYER_NUMBERS and isinstance(value, memoryview):
                if len(layers) == MAX_LAYERS:
                    raise _DamagedError(f"it has more than {MAX_LAYERS} layers")
                layers.append(_read_layer(value, budget, *_LAYER_NUMBERS[number]))
    except _DamagedError as error:
        if layers:
            raise ModelError(
                f"the caffemodel {path} is truncated or damaged after layer "
                f"{layers[-1].name!r}: {error}; download it again"
            ) from error
        raise ModelError(f"expected a caffemodel at {path}, got something else: {error}") from error
    if not layers:
        raise ModelError(f"expected a caffemodel at {path}, got something else: it has no layers")
    return layers


_LAYER_NUMBERS = {100: (1, 3, 4, 7), 2: (4, 2, 3, 6)}
"""NetParameter's `layer`, and `layers` of before 2014 -> their fields name, bottom, top, blobs."""


def _read_layer(
    data: memoryview, budget: Iterator[int], name: int, bottom: int, top: int, blobs: int
) -> CaffeLayer:
    layer = CaffeLayer()
    for number, value in _fields(data, budget):
        if not isinstance(value, memoryview):
            continue
        if number == name:
            layer.name = _text(value)
        elif number == bottom:
            layer.bottoms.append(_text(value))
        elif number == top:
            layer.tops.append(_text(value))
        elif number == blobs:
            layer.blobs.append(_read_blob(value, budget))
        if max(len(layer.bottoms), len(layer.tops), len(layer.blobs)) > MAX_PARTS:
            raise _DamagedError(f"a layer has more than {MAX_PARTS} blobs, bottoms or tops")
    return layer


def _read_blob(data: memoryview, budget: Iterator[int]) -> Array:
    """BlobProto: shape = 7 (or num, channels, height, width = 1..4), data = 5, double_data = 8."""
    shape: list[int] | None = None
    legacy_shape = dict.fromkeys((1, 2, 3, 4), 0)
    floats: memoryview | bytearray = memoryview(b"")
    doubles: memoryview | bytearray = memoryview(b"")
    for number, value in _fields(data, budget):
        if isinstance(value, int):
            if number in legacy_shape:
                legacy_shape[number] = value
        elif number == 5:
            floats = _joined(floats, value)
        elif number == 8:
            doubles = _joined(doubles, value)
        elif number == 7:
            shape = _read_shape(value, budget)
    if shape is None and any(legacy_shape.values()):
        shape = list(legacy_shape.values())
    shape = shape or []
    # Nothing was allocated for `shape` yet: the values that came must match it first.
    raw, value_bytes = (doubles, 8) if doubles else (floats, 4)
    if min(shape, default=1) < 1 or len(raw) != value_bytes * math.prod(shape):
        raise _DamagedError(f"a blob of shape {shape} has {len(raw)} bytes of values")
    with np.errstate(over="ignore"):
        return np.frombuffer(raw, f"<f{value_bytes}").astype(np.float32, copy=False).reshape(shape)


def _read_shape(data: memoryview, budget: Iterator[int]) -> list[int]:
    """BlobShape: dim = 1, packed or one by one."""
    shape: list[int] = []
    for number, value in _fields(data, budget):
        if number == 1 and isinstance(value, int):
            shape.append(value)
        elif number == 1 and isinstance(value, memoryview):
            position = 0
            while position < len(value) and len(shape) <= MAX_AXES:
                axis, position = _varint(value, position)
                shape.append(axis)
        if len(shape) > MAX_AXES:
            raise _DamagedError(f"a blob has more than {MAX_AXES} axes")
    return shape


def _joined(values: memoryview | bytearray, more: memoryview) -> memoryview | bytearray:
    """Packed values come as one piece (kept as a view), unpacked ones value by value."""
    if not values:
        return more
    joined = values if isinstance(values, bytearray) else bytearray(values)
    joined += more
    return joined


def _text(data: memoryview) -> str:
    return bytes(data[:256]).decode("utf-8", errors="replace")


def _fields(data: memoryview, budget: Iterator[int]) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of one message: varints as int, everything else as a view.

    Each field takes one from `budget`, which all messages of a file share.
    """
    position = 0
    while position < len(data):
        if next(budget, None) is None:
            raise _DamagedError(f"it has more than {MAX_FIELDS} fields")
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise _DamagedError("a field has number 0")
        if wire_type == 0:
            integer, position = _varint(data, position)
            yield number, integer
            continue
        if wire_type == 2:
            length, position = _varint(data, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise _DamagedError(f"a field has wire type {wire_type}")
        if length > len(data) - position:
            raise _DamagedError(f"a field of {length} bytes has {len(data) - position} left")
        yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise _DamagedError("an integer is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _DamagedError("an integer has more than 10 bytes")


__all__ = ["CONV_BN", "CaffeLayer", "load_caffemodel", "read_layers"]
