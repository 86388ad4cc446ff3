"""From what a user names to a file and its card; and what is said when that cannot be."""

import json
import re
from pathlib import Path

import pytest

from streamseg.errors import ModelError
from streamseg.labels import CAMVID
from streamseg.models import find
from streamseg.models.card import InputSpec, ModelCard
from streamseg.models.find import MAX_CARD_BYTES, SIDECAR_EXAMPLE, find_model
from streamseg.models.registry import ARCHITECTURES, SHIPPED

SPEC = {"size": [64, 128], "color": "rgb", "mean": [1, 2, 3], "std": [4, 5, 6]}


def stranger(folder: Path, card: object, name: str = "net.onnx") -> Path:
    path = folder / name
    path.write_bytes(b"not looked into here")
    text = card if isinstance(card, str) else json.dumps(card)
    path.with_suffix(".json").write_text(text)
    return path


def own(path: Path) -> ModelCard:
    import torch

    from streamseg.models.weights import save_weights

    card = ModelCard(name="x", architecture="icnet", labels=CAMVID, input=InputSpec(size=(65, 97)))
    save_weights(path, {"some": torch.zeros(1)}, card)
    return card


def test_shipped_name_is_a_file_of_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "WEIGHTS_FOLDER", tmp_path)
    own(tmp_path / SHIPPED["icnet-camvid"])
    model = find_model("icnet-camvid")
    assert (model.kind, model.path) == ("safetensors", tmp_path / "icnet-camvid.safetensors")
    assert model.card.labels.class_names == CAMVID.class_names


def test_own_file_carries_its_card(tmp_path):
    path = tmp_path / "mine.safetensors"
    card = own(path)
    for name in (path, str(path)):
        model = find_model(name)
        assert (model.kind, model.path, model.card.input) == ("safetensors", path, card.input)


@pytest.mark.parametrize(
    ("name", "kind"), [("net.onnx", "onnx"), ("net.ONNX", "onnx"), ("net.v2.xml", "openvino")]
)
def test_strangers_card_has_defaults_from_its_file_and_its_time(tmp_path, name, kind):
    model = find_model(stranger(tmp_path, {"classes": ["a", "b"], "input": SPEC}, name))
    assert model.kind == kind
    assert (model.card.name, model.card.architecture) == (Path(name).stem, kind)
    assert model.card.labels.class_names == ("a", "b")
    assert model.card.input == InputSpec(
        size=(64, 128), color="rgb", mean=(1, 2, 3), std=(4, 5, 6), align_corners=False, multiple=32,
        offset=0, fixed=False,
    )  # fmt: skip


def test_strangers_card_overrides_every_default(tmp_path):
    spec = {**SPEC, "align_corners": True, "multiple": 8, "offset": 1, "fixed": True}
    card = {"name": "street", "architecture": "hrnet", "classes": "camvid", "input": spec}
    model = find_model(stranger(tmp_path, card))
    assert (model.card.name, model.card.architecture) == ("street", "hrnet")
    assert model.card.labels is CAMVID
    assert (model.card.input.align_corners, model.card.input.multiple) == (True, 8)
    assert (model.card.input.offset, model.card.input.fixed) == (1, True)


def test_example_of_a_card_is_one(tmp_path):
    card = SIDECAR_EXAMPLE.replace(", ...", "")
    assert find_model(stranger(tmp_path, card)).card.input.size == (512, 1024)


def test_written_card_is_read_back(tmp_path):
    card = own(tmp_path / "mine.safetensors")
    again = find_model(stranger(tmp_path, card.to_json())).card
    assert (again.input, again.labels.class_names) == (card.input, card.labels.class_names)


@pytest.mark.parametrize("name", ["pspnet", "", "net.pt", "net", "icnet-camvid.txt"])
def test_unknown_names_are_refused(name):
    line = f"unknown model {name!r}; known: icnet-camvid, or a path to a .safetensors, .caffemodel, .onnx"
    with pytest.raises(ModelError, match=re.escape(line)):
        find_model(name)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_architecture_alone_is_refused(name):
    line = f"{name} is an architecture without weights of its own; use icnet-camvid, or train one"
    with pytest.raises(ModelError, match=line):
        find_model(name)


@pytest.mark.parametrize("suffix", ["safetensors", "onnx", "xml"])
def test_missing_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"gone.{suffix}"
    with pytest.raises(
        ModelError, match=f"expected a model file at .*gone.{suffix}; there is none"
    ):
        find_model(path)
    path.mkdir()
    with pytest.raises(ModelError, match="there is none"):
        find_model(path)


def test_missing_shipped_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(ModelError, match=r"cannot read the weights .*icnet-camvid\.safetensors"):
        find_model("icnet-camvid")


@pytest.mark.parametrize("name", ["net.onnx", "net.xml"])
def test_missing_card_is_refused_with_an_example(tmp_path, name):
    path = stranger(tmp_path, {}, name)
    path.with_suffix(".json").unlink()
    with pytest.raises(
        ModelError, match=rf'expected a model card at .*net.json beside {name}, .*"classes"'
    ):
        find_model(path)


@pytest.mark.parametrize(
    ("card", "line"),
    [
        (
            "nonsense",
            'expected a JSON object with "classes" and "input" in .*net.json, for example',
        ),
        ("", "expected a JSON object"),
        ("[" * 100_000, "expected a JSON object"),
        ([1, 2], "expected a JSON object"),
        ({"classes": ["a"]}, "expected a JSON object"),
        ({"classes": ["a"], "input": 5}, "expected a JSON object"),
        (
            {"classes": ["a"], "input": {}},
            'expected size, color, mean, std in "input" of .*net.json',
        ),
        (
            {"classes": ["a"], "input": {"size": [64, 64], "color": "rgb"}},
            'expected mean, std in "input" of .*net.json',
        ),
        ({"input": SPEC}, "expected 'classes' in the model card of .*net.json; it is missing"),
        ({"classes": ["a"], "input": SPEC, "colour": 1}, "unknown keys colour in the model card"),
        ({"classes": ["a"], "input": {**SPEC, "sise": 1}}, "unknown keys sise in the model card"),
        (
            {"classes": ["a"], "input": {**SPEC, "size": [0, 64]}},
            r"size \[height, width\] from 1 to 8192",
        ),
        ({"classes": ["a"], "input": {**SPEC, "size": "big"}}, "is unusable"),
        ({"classes": ["a"], "input": {**SPEC, "std": [0, 1, 1]}}, "expected positive std"),
        ({"classes": ["a"], "input": {**SPEC, "color": "yuv"}}, 'expected color "bgr" or "rgb"'),
        ({"classes": [], "input": SPEC}, "expected 1 to 255 classes, got 0"),
        ({"classes": "cats", "input": SPEC}, "unknown label set 'cats'"),
    ],
)
def test_nonsense_of_a_card_is_refused(tmp_path, card, line):
    with pytest.raises(ModelError, match=line):
        find_model(stranger(tmp_path, card))


def test_card_that_is_no_text_is_refused(tmp_path):
    path = stranger(tmp_path, {})
    path.with_suffix(".json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match=r"expected a model card at .*net\.json beside net\.onnx"):
        find_model(path)


def test_huge_card_is_refused_unread(tmp_path):
    path = stranger(tmp_path, " " * (MAX_CARD_BYTES + 1))
    with pytest.raises(ModelError, match=r"expected a model card below 1 MB at .*net\.json"):
        find_model(path)


@pytest.mark.parametrize("name", ["mine.safetensors", "net.onnx"])
def test_finding_loads_nothing_heavy(tmp_path, name):
    import subprocess
    import sys

    own(tmp_path / "mine.safetensors")
    stranger(tmp_path, {"classes": ["a"], "input": SPEC})
    script = (
        "import sys; from streamseg.models.find import find_model; find_model(sys.argv[1]); "
        "print({'torch', 'openvino', 'numba'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / name)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
