"""Strangers' files: ONNX and OpenVINO IR with a card beside them, through the OpenVINO engine."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pictures import packed

from streamseg.engine import choose
from streamseg.engine.choose import open_engine
from streamseg.errors import ModelError
from streamseg.models.find import find_model
from streamseg.stream.paint import label_map

CLASSES = 5
SIZE = (32, 48)
MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)

_rng = np.random.default_rng(0)
WEIGHTS = _rng.normal(size=(CLASSES, 3, 1, 1)).astype(np.float32)
BIAS = _rng.normal(size=CLASSES).astype(np.float32)


@dataclass
class Answer:
    """What the file's last operations make of 1x1-convolved pixels."""

    stride: int = 1
    ids: int | None = None
    """Element type of class ids; None for logits."""
    keepdims: int = 0
    shape: tuple[int | str, ...] = (1, 3, *SIZE)
    classes: int = CLASSES
    element: int = TensorProto.FLOAT

    def build(self) -> onnx.ModelProto:
        dtype = helper.tensor_dtype_to_np_dtype(self.element)
        tensors = [
            numpy_helper.from_array(WEIGHTS[: self.classes].astype(dtype), "weights"),
            numpy_helper.from_array(BIAS[: self.classes].astype(dtype), "bias"),
        ]
        strides = [self.stride, self.stride]
        nodes = [helper.make_node("Conv", ["x", "weights", "bias"], ["logits"], strides=strides)]
        last, kind = "logits", self.element
        if self.ids is not None:
            nodes.append(
                helper.make_node("ArgMax", ["logits"], ["long"], axis=1, keepdims=self.keepdims)
            )
            nodes.append(helper.make_node("Cast", ["long"], ["ids"], to=self.ids))
            last, kind = "ids", self.ids
        graph = helper.make_graph(
            nodes,
            "stranger",
            [helper.make_tensor_value_info("x", self.element, self.shape)],
            [helper.make_tensor_value_info(last, kind, None)],
            tensors,
        )
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def card(**changes: object) -> dict[str, object]:
    spec = {"size": SIZE, "color": "rgb", "mean": MEAN, "std": STD, "multiple": 16}
    return {"classes": [f"c{k}" for k in range(CLASSES)], "input": {**spec, **changes}}


def write(folder: Path, model: onnx.ModelProto, kind: str = "onnx", **changes: object) -> Path:
    path = folder / "stranger.onnx"
    path.write_bytes(model.SerializeToString())
    path.with_suffix(".json").write_text(json.dumps(card(**changes)))
    if kind == "xml":
        graph = ov.Core().read_model(path)
        path = path.with_suffix(".xml")
        ov.save_model(graph, path, compress_to_fp16=False)
    return path


def scores_of(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """h x w x classes, in numpy."""
    x = (pixels[..., ::-1].astype(np.float64) - MEAN) / STD
    return x @ WEIGHTS[:, :, 0, 0].astype(np.float64).T + BIAS


def run(path: Path, picture, **options):
    engine = open_engine(find_model(path), precision="fp32", **options)
    return engine, engine.infer(engine.prepare(picture))


DYNAMIC = [(1, 3, "h", "w"), ("n", 3, "h", "w"), ("n", "c", "h", "w")]


@pytest.mark.parametrize("kind", ["onnx", "xml"])
@pytest.mark.parametrize("shape", [(1, 3, *SIZE), *DYNAMIC])
@pytest.mark.parametrize("stride", [1, 4])
def test_logits(tmp_path, kind, shape, stride):
    picture = packed(*SIZE)
    path = write(tmp_path, Answer(stride=stride, shape=shape).build(), kind)
    _, logits = run(path, picture)
    expected = scores_of(picture.pixels)[::stride, ::stride]
    assert not logits.align_corners
    np.testing.assert_allclose(logits.scores, expected, rtol=0, atol=1e-4)
    if stride == 1:
        assert (label_map(logits, SIZE) == expected.argmax(-1)).mean() >= 0.999


@pytest.mark.parametrize("kind", ["onnx", "xml"])
@pytest.mark.parametrize(
    ("ids", "keepdims"),
    [
        (TensorProto.INT64, 0), (TensorProto.INT64, 1), (TensorProto.INT32, 0), (TensorProto.INT32, 1),
        (TensorProto.FLOAT, 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(1, 3, *SIZE), DYNAMIC[1]])
def test_class_ids(tmp_path, kind, ids, keepdims, shape):
    picture = packed(*SIZE)
    path = write(tmp_path, Answer(ids=ids, keepdims=keepdims, shape=shape).build(), kind)
    _, logits = run(path, picture)
    assert logits.scores.shape == (*SIZE, CLASSES)
    expected = scores_of(picture.pixels).argmax(-1)
    assert len(np.unique(expected)) == CLASSES
    assert (label_map(logits, SIZE) == expected).mean() >= 0.999


def test_half_precision_input(tmp_path):
    picture = packed(*SIZE)
    path = write(tmp_path, Answer(element=TensorProto.FLOAT16).build())
    _, logits = run(path, picture)
    np.testing.assert_allclose(logits.scores, scores_of(picture.pixels), rtol=0, atol=0.05)


def test_dynamic_file_follows_the_picture(tmp_path):
    path = write(tmp_path, Answer(shape=DYNAMIC[0]).build())
    engine, logits = run(path, packed(64, 48), size="native")
    assert not engine.card.input.fixed
    assert logits.scores.shape == (64, 48, CLASSES)
    tall = engine.infer(engine.prepare(packed(96, 64)))
    assert tall.scores.shape == (96, 64, CLASSES)


def test_fixed_file_runs_at_its_own_size_whatever_its_card_says(tmp_path):
    path = write(tmp_path, Answer().build(), size=(512, 1024))
    engine, logits = run(path, packed(50, 70))
    assert (engine.card.input.size, engine.card.input.fixed) == (SIZE, True)
    assert engine.network_size((50, 70)) == SIZE
    assert logits.scores.shape == (*SIZE, CLASSES)


def test_fixed_file_refuses_another_size(tmp_path):
    path = write(tmp_path, Answer().build())
    with pytest.raises(ValueError, match="runs at 32x48 only, got --size 64x64"):
        run(path, packed(50, 70), size=(64, 64))


def test_card_can_fix_the_size_of_a_dynamic_file(tmp_path):
    path = write(tmp_path, Answer(shape=DYNAMIC[0]).build(), fixed=True)
    with pytest.raises(ValueError, match="runs at 32x48 only, got --size 64x64"):
        run(path, packed(50, 70), size=(64, 64))


def test_ids_without_a_class_become_class_0(tmp_path):
    path = write(tmp_path, Answer(ids=TensorProto.INT64).build())
    sidecar = path.with_suffix(".json")
    sidecar.write_text(json.dumps({**card(), "classes": ["a", "b"]}))
    picture = packed(*SIZE)
    _, logits = run(path, picture)
    expected = scores_of(picture.pixels).argmax(-1)
    expected[expected > 1] = 0
    assert (label_map(logits, SIZE) == expected).mean() >= 0.999


def two_inputs() -> onnx.ModelProto:
    model = Answer().build()
    model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))
    model.graph.node.append(helper.make_node("Add", ["logits", "y"], ["sum"]))
    model.graph.output[0].name = "sum"
    return model


def reshaping() -> onnx.ModelProto:
    """A dynamic input, and inside a reshape that fits one size only."""
    model = Answer(shape=DYNAMIC[0]).build()
    shape = numpy_helper.from_array(np.array([1, CLASSES, 7, 11]), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("Reshape", ["logits", "shape"], ["reshaped"]))
    model.graph.output[0].name = "reshaped"
    return model


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (
            Answer(classes=3).build(),
            r"answer with 1 x 5 x h x w scores .* got shape \[1, 3, 32, 48\]",
        ),
        (
            Answer(ids=TensorProto.FLOAT).build(),
            r"answer with 1 x 5 x h x w scores .* got shape \[1, 32, 48\]",
        ),
        (two_inputs(), "expected one input in .*, got 2"),
        (Answer(shape=(1, 32, 48, 3)).build(), r"cannot read|to take 1 x 3 x height x width"),
        (
            Answer(shape=(2, 3, *SIZE)).build(),
            r"to take 1 x 3 x height x width .* got f32 \[2,3,32,48\]",
        ),
        (reshaping(), r"OpenVINO cannot run .*stranger.onnx at 32x48: "),
    ],
    ids=["classes", "float ids", "two inputs", "channels last", "batch of two", "inner reshape"],
)
def test_unusable_files_are_refused_when_opened(tmp_path, model, line):
    path = write(tmp_path, model)
    with pytest.raises(ModelError, match=line) as caught:
        open_engine(find_model(path), precision="fp32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"<net"])
def test_garbage_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"some{suffix}"
    path.write_bytes(content)
    path.with_suffix(".json").write_text(json.dumps(card()))
    with pytest.raises(
        ModelError, match=f"OpenVINO cannot read .*some{re.escape(suffix)}: "
    ) as caught:
        open_engine(find_model(path), precision="fp32")
    assert "\n" not in str(caught.value)


def test_weights_missing_beside_an_xml_are_refused(tmp_path):
    path = write(tmp_path, Answer().build(), "xml")
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelError, match=r"OpenVINO cannot read .*stranger\.xml: "):
        open_engine(find_model(path), precision="fp32")


def test_a_gpu_left_unused_is_reported(tmp_path, monkeypatch):
    path = write(tmp_path, Answer().build())
    monkeypatch.setattr(choose, "num_cuda_devices", lambda: 1)
    engine = open_engine(find_model(path), precision="fp32")
    assert engine.info.device == "cpu"
    assert engine.info.fallbacks == ("device auto, cpu used, .onnx files run on OpenVINO only",)
    asked_for = open_engine(find_model(path), precision="fp32", device="cpu")
    assert asked_for.info.fallbacks == ()
