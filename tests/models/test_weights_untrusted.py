"""Weights and cards by somebody who means harm: every file is refused in one clear line, before room is made for
what it claims.
"""

import json
import os
import resource
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import caffe_writer
import pytest
import torch

from streamseg.errors import ModelError
from streamseg.labels import CAMVID
from streamseg.models import caffemodel, find
from streamseg.models.caffemodel import read_layers
from streamseg.models.card import MAX_AREA, MAX_CARD_BYTES, MAX_DEPTH, InputSpec, ModelCard
from streamseg.models.find import find_model
from streamseg.models.icnet import ICNet
from streamseg.models.weights import (
    CARD_KEY,
    MAX_HEADER_BYTES,
    load_model,
    load_weights,
    save_weights,
)

WIDTH = 1 / 16
MIB = 1 << 20

Header = dict[str, Any]
Change = Callable[[Header], None]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network's weights."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    card = ModelCard(
        name="tiny",
        architecture="icnet",
        labels=CAMVID,
        input=InputSpec(size=(65, 97)),
        width=WIDTH,
    )
    save_weights(path, ICNet(11, width=WIDTH).state_dict(), card)
    return path


@pytest.fixture
def changed(honest: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """`changed(change)`: the weights with another header; the tensors' bytes stay."""

    def make(change: Change) -> Path:
        data = honest.read_bytes()
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        path = tmp_path / "hostile.safetensors"
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        return path

    return make


def tensor(name: str, **values: Any) -> Change:
    """Describe a tensor otherwise."""
    return lambda header: header[name].update(values)


def card(**values: Any) -> Change:
    """Change keys of the card."""

    def change(header: Header) -> None:
        text = json.loads(header["__metadata__"][CARD_KEY])
        header["__metadata__"][CARD_KEY] = json.dumps({**text, **values})

    return change


def spec(**values: Any) -> Change:
    """Change keys of the card's input."""

    def change(header: Header) -> None:
        text = json.loads(header["__metadata__"][CARD_KEY])
        text["input"].update(values)
        header["__metadata__"][CARD_KEY] = json.dumps(text)

    return change


def nested(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


def refusal(call: Callable[[], object]) -> str:
    """The one line of the `ModelError` that `call` raises; it allocates next to nothing."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelError) as raised:
            call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    line = str(raised.value)
    assert line.isprintable()
    assert len(line) < 1000
    assert peak < 64 * MIB
    return line


class TestTensors:
    """What a header says of its tensors is compared with the architecture before either is allocated."""

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (tensor("classify.weight", shape=[1 << 20] * 4), "expected classify.weight of shape (11,"),
            (tensor("classify.weight", shape=[11, 16, 1]), "expected classify.weight of shape (11,"),
            (tensor("classify.weight", shape=[]), "expected classify.weight of shape (11,"),
            (tensor("classify.weight", shape=[-11, 16, 1, 1]), "got (-11, 16, 1, 1)"),
            (tensor("classify.weight", shape=[1] * 100_000), "expected classify.weight of shape"),
            (tensor("classify.weight", shape="11"), "expected a safetensors file"),
            (tensor("classify.weight", shape=[11.0, 16, 1, 1]), "expected a safetensors file"),
            (tensor("classify.weight", shape=None), "expected a safetensors file"),
            (tensor("classify.weight", dtype="I8"), "as one of F16, BF16, F32, F64"),
            (tensor("classify.weight", dtype="C64"), "as one of F16, BF16, F32, F64"),
            (tensor("classify.weight", dtype=["F16"]), "as one of F16, BF16, F32, F64"),
            (tensor("classify.weight", dtype="F64"), "cannot read the weights"),
            (tensor("classify.weight", data_offsets=[0, 1 << 40]), "cannot read the weights"),
            (tensor("classify.weight", data_offsets=[100, 0]), "cannot read the weights"),
            (tensor("classify.weight", data_offsets=[-2, 350]), "cannot read the weights"),
            (lambda header: header.pop("classify.weight"), "1 tensors missing, 0 unknown"),
            (lambda header: header.update({"a\nb": header.pop("classify.bias")}), "classify.bias is"),
            (lambda header: header.update({"a\nb" * 999: header["classify.bias"]}), "'a\\nba\\nb"),
            (lambda header: header.update({"x": 5}), "expected a safetensors file"),
        ],
    )  # fmt: skip
    def test_tensors_of_another_kind_are_refused(
        self, changed: Callable[[Change], Path], change: Change, words: str
    ) -> None:
        path = changed(change)
        assert words in refusal(lambda: load_model(find_model(path)))
        model = ICNet(11, width=WIDTH)
        assert words in refusal(lambda: load_weights(path, model))

    def test_network_for_a_small_file_is_no_larger_than_the_published_one(
        self, changed: Callable[[Change], Path]
    ) -> None:
        names = [f"class {index}" for index in range(255)]
        file = find_model(changed(card(width=1, classes=names, palette=None)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert "not of this architecture" in refusal(lambda: load_model(file))
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 160 << 10

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_weights_that_are_no_numbers_are_refused(
        self, honest: Path, tmp_path: Path, value: float
    ) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(honest)
        tensors["classify.bias"][3] = value
        path = tmp_path / "nan.safetensors"
        save_file(tensors, path)
        words = refusal(lambda: load_weights(path, ICNet(11, width=WIDTH)))
        assert "expected finite weights in" in words
        assert "classify.bias" in words

    def test_refused_weights_change_nothing(self, changed: Callable[[Change], Path]) -> None:
        model = ICNet(11, width=WIDTH)
        before = {name: values.clone() for name, values in model.state_dict().items()}
        path = changed(tensor("classify.weight", data_offsets=[0, 1 << 40]))
        refusal(lambda: load_weights(path, model))
        assert all(torch.equal(model.state_dict()[name], values) for name, values in before.items())

    def test_honest_weights_are_still_taken(self, honest: Path) -> None:
        assert not load_model(find_model(honest)).training


class TestHeader:
    """The header is bounded before it is read."""

    @pytest.mark.parametrize(
        "length", [0, 1, MAX_HEADER_BYTES + 1, 1 << 40, 1 << 63, (1 << 64) - 1]
    )
    def test_claimed_length_is_checked_against_limit_and_file(
        self, tmp_path: Path, length: int
    ) -> None:
        path = tmp_path / "long.safetensors"
        with path.open("wb") as file:
            file.write(struct.pack("<Q", length))
            file.truncate(MAX_HEADER_BYTES + 100)  # as a hole, which costs nothing
        assert "expected a safetensors file" in refusal(lambda: find_model(path))

    def test_length_beyond_the_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "short.safetensors"
        path.write_bytes(struct.pack("<Q", 1000) + b"{}")
        assert "expected a safetensors file" in refusal(lambda: find_model(path))

    @pytest.mark.parametrize(
        "text", [b"[" * MIB, b'{"a":' * MIB, b"\xff" * 100, b'"' * 3, b"1" * 9999]
    )
    def test_header_that_is_no_object_is_refused(self, tmp_path: Path, text: bytes) -> None:
        path = tmp_path / "odd.safetensors"
        path.write_bytes(struct.pack("<Q", len(text)) + text)
        assert "expected a safetensors file" in refusal(lambda: find_model(path))

    @pytest.mark.parametrize("name", ["large.safetensors", "large.caffemodel"])
    def test_file_larger_than_any_network_is_refused_unread(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr(find, "MAX_WEIGHTS_BYTES", 1 << 20)
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate((1 << 20) + 1)
        assert "expected weights of at most 1 MB at" in refusal(lambda: find_model(path))


class TestCard:
    """Numbers within reason, names that can be shown, nothing nested without end."""

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (spec(size=[8192, 8192]), f"expected size of at most {MAX_AREA} pixels"),
            (spec(size=[1 << 62, 1 << 62]), "expected size [height, width] from 1 to 8192"),
            (spec(size=[65] * 100_000), "expected size [height, width] from 1 to 8192"),
            (spec(size=[10**4000, 1]), "expected size [height, width] from 1 to 8192"),
            (spec(multiple=10**9), "expected multiple + offset up to 8192"),
            (spec(multiple=8192, offset=1), "expected multiple + offset up to 8192"),
            (spec(std=[1e-300, 1, 1]), "expected mean and std up to 1e+09"),
            (spec(mean=[1e38, 1, 1]), "expected mean and std up to 1e+09"),
            (spec(mean=list(range(100_000))), "expected three finite numbers as mean"),
            (spec(color="x" * 100_000), 'expected color "bgr" or "rgb"'),
            (spec(color={"a": 1}), 'expected color "bgr" or "rgb"'),
            (spec(align_corners="x" * 100_000), "expected align_corners of type bool"),
            (spec(**{f"key\n{k}": 1 for k in range(10_000)}), "unknown keys key\\n0, key\\n1"),
            (card(**{f"key\n{k}": 1 for k in range(10_000)}), "unknown keys key\\n0, key\\n1"),
            (card(name="two\nlines"), "expected name as 1 to 200 printable characters"),
            (card(name="\x1b[2J"), "expected name as 1 to 200 printable characters"),
            (card(name="\ud800"), "expected name as 1 to 200 printable characters"),
            (card(name="x" * 201), "expected name as 1 to 200 printable characters"),
            (card(name=["icnet"]), "expected name as 1 to 200 printable characters"),
            (card(architecture="x" * 100_000), "expected architecture as 1 to 200"),
            (card(architecture="onnx"), "unknown architecture 'onnx'"),
            (card(classes=["road\n"], palette=None), "expected a class as 1 to 200 printable"),
            (card(classes=["x" * 1000] * 255, palette=None), "expected a class as 1 to 200"),
            (card(classes=["x"] * 100_000, palette=None), "expected 1 to 255 classes, got 100000"),
            (card(classes={"road": 1}, palette=None), "expected a list of class names"),
            (card(classes="x" * 100_000), "unknown label set 'xxx"),
            (card(palette=[["9" * 4000, 0, 0]] * 11), "expected palette colors in 0..255"),
            (card(palette=[[0] * 10_000] * 11), "is unusable: too many values"),
            (card(width=1e-300), "is unusable: expected num_classes >= 1 and width"),
            (card(width=0.3), "is unusable: expected num_classes >= 1 and width"),
            (card(width=1e300), "expected a width factor above 0 and up to 1"),
            (card(notes={"a": nested(MAX_DEPTH)}), f"nested deeper than {MAX_DEPTH}"),
            (card(notes={"a": nested(500)}), f"nested deeper than {MAX_DEPTH}"),
            (card(notes={"a": "x" * MAX_CARD_BYTES}), "expected a model card below 1 MB"),
            (card(notes=[["a", 1]]), "expected notes as an object"),
        ],
    )
    def test_hostile_cards_are_refused(
        self, changed: Callable[[Change], Path], change: Change, words: str
    ) -> None:
        path = changed(change)
        assert words in refusal(lambda: load_model(find_model(path)))

    def test_deepest_notes_can_still_be_written(self, changed: Callable[[Change], Path]) -> None:
        """What is read must not break what writes it again: the name of a cached graph, `streamseg models`."""
        deepest = find_model(changed(card(notes={"a": nested(MAX_DEPTH - 1)}))).card
        assert json.loads(deepest.to_json())["notes"] == {"a": nested(MAX_DEPTH - 1)}

    def test_largest_step_still_gives_a_size(self) -> None:
        assert InputSpec(size=(64, 64), multiple=8192, offset=0).good_size(1, 10**6) == (8192, 8192)


class TestSidecar:
    """The card beside a stranger's file."""

    SPEC = {"size": [64, 64], "color": "rgb", "mean": [1, 2, 3], "std": [4, 5, 6]}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('{"input":' + "[" * 100_000, "expected a JSON object"),
            ('{"input":{}, "notes":' + "[" * 900 + "]" * 900 + "}", 'expected size, color, mean, std in'),
            (" " * (MAX_CARD_BYTES + 1), "expected a model card below 1 MB"),
            (json.dumps({"classes": ["a"], "input": SPEC, "notes": {"a": nested(300)}}), "nested deeper"),
            (json.dumps({"classes": ["a"], "input": {**SPEC, "size": [8192, 8192]}}), "at most"),
        ],
    )  # fmt: skip
    def test_hostile_sidecars_are_refused(self, tmp_path: Path, text: str, words: str) -> None:
        (tmp_path / "net.onnx").touch()
        (tmp_path / "net.json").write_text(text)
        assert words in refusal(lambda: find_model(tmp_path / "net.onnx"))

    @pytest.mark.parametrize("name", ["net.json", "net.onnx"])
    def test_pipe_in_place_of_a_file_is_not_waited_for(self, tmp_path: Path, name: str) -> None:
        for other in {"net.json", "net.onnx"} - {name}:
            (tmp_path / other).touch()
        os.mkfifo(tmp_path / name)
        assert "expected a model" in refusal(lambda: find_model(tmp_path / "net.onnx"))


class TestCaffemodel:
    """Every length is checked against the bytes that are left."""

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"\xff" * 100_000, "an integer has more than 10 bytes"),
            (b"\xa2\x06" + caffe_writer.varint(1 << 60), f"a field of {1 << 60} bytes has 0 left"),
            (b"\xa2\x06" + caffe_writer.varint((1 << 63) - 1) + b"x", "bytes has 1 left"),
            (caffe_writer.chunk(100, b"") * 5000, "more than 4096 layers"),
            (caffe_writer.chunk(100, caffe_writer.chunk(3, b"x") * 100), "blobs, bottoms or tops"),
            (
                caffe_writer.chunk(100, caffe_writer.chunk(1, b"a\nb\x1b[2J" * 50)) + b"\xff",
                "after layer 'a\\nb\\x1b[2Ja",
            ),
            (
                caffe_writer.chunk(
                    100,
                    caffe_writer.chunk(7, caffe_writer.chunk(7, caffe_writer.integer(1, 1 << 60))),
                ),
                "has 0 bytes of values",
            ),
            (
                caffe_writer.chunk(
                    100,
                    caffe_writer.chunk(7, caffe_writer.chunk(7, caffe_writer.integer(1, 1) * 99)),
                ),
                "more than 8 axes",
            ),
        ],
    )
    def test_hostile_files_are_refused(self, tmp_path: Path, data: bytes, words: str) -> None:
        path = tmp_path / "hostile.caffemodel"
        path.write_bytes(data)
        with pytest.raises(ModelError) as raised:
            read_layers(path)
        assert words in str(raised.value)
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 1000

    def test_fields_are_counted_over_all_messages(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each takes half a microsecond: a file of nothing else would take minutes."""
        monkeypatch.setattr(caffemodel, "MAX_FIELDS", 1000)
        path = tmp_path / "many.caffemodel"
        path.write_bytes(caffe_writer.chunk(100, b"\x50\x01" * 500) * 2)
        with pytest.raises(ModelError, match="more than 1000 fields"):
            read_layers(path)

    def test_suffix_in_capitals_is_the_same_kind(self, tmp_path: Path) -> None:
        path = tmp_path / "NET.CAFFEMODEL"
        path.write_bytes(b"\xff" * 99)
        assert "expected a caffemodel" in refusal(lambda: load_model(find_model(path)))
