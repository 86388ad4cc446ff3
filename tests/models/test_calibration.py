"""The file of activation ranges: what is written is read, and what is something else is refused in one line."""

import json
import re
from pathlib import Path

import pytest

from streamseg.errors import ModelError
from streamseg.models import calibration as module
from streamseg.models.calibration import Calibration, calibration_path, read_calibration
from streamseg.models.find import WEIGHTS_FOLDER
from streamseg.models.registry import SHIPPED

GOOD = {"maxima": {"a": 1.5, "b.c": 2}, "weights": "12ab", "data": "some, 3 images"}
SCORED = {**GOOD, "miou": {"fp32": 0.7, "int8": 0.6951, "data": "val, 5 images"}}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"


def write(weights: Path, values: object) -> None:
    calibration_path(weights).write_text(json.dumps(values))


@pytest.mark.parametrize("values", [GOOD, SCORED])
def test_what_is_written_is_read(weights, values):
    Calibration(**values).write(calibration_path(weights))
    assert calibration_path(weights).name == "net.int8.json"
    read = read_calibration(weights)
    assert read is not None
    assert {"maxima": read.maxima, "weights": read.weights, "data": read.data} == GOOD
    assert read.miou == values.get("miou", {})


def test_none_is_none(weights):
    assert read_calibration(weights) is None


@pytest.mark.parametrize(
    ("miou", "good"),
    [
        ({}, ()),
        ({"fp32": 0.7, "int8": 0.6951}, (8,)),
        ({"fp32": 0.7, "int8": 0.6949}, ()),
        ({"fp32": 0.7, "int8": 0.72}, (8,)),
        ({"fp32": 0.7, "int8_7": 0.6951}, (8, 7)),
        ({"fp32": 0.7, "int8_7": 0.6949}, ()),
        ({"fp32": 0.7, "int8": 0.6951, "int8_7": 0.69}, (8,)),
        ({"fp32": 0.7, "int8": 0.69, "int8_7": 0.6951}, (7,)),
    ],
)
def test_good_is_scored_and_within_the_loss(miou, good):
    calibration = Calibration(**GOOD, miou=miou)
    assert tuple(bits for bits in (8, 7) if calibration.good(bits)) == good


@pytest.mark.parametrize(
    "changes",
    [
        {"maxima": {"a": 0}}, {"maxima": {"a": -1.0}}, {"maxima": {"a": "1"}}, {"maxima": {"a": True}},
        {"maxima": {"a": float("nan")}}, {"maxima": {"a": float("inf")}}, {"maxima": {"a": 1e10}},
        {"maxima": [1.0]}, {"maxima": None}, {"weights": 5}, {"data": None}, {"miou": {"fp32": 0.5}},
        {"miou": {"fp32": "0.5", "int8": 0.5}}, {"miou": [1]}, {"other": 1},
        {"miou": {"int8": 0.5, "int8_7": 0.5}}, {"miou": {"fp32": 0.5, "int8": 0.5, "int8_7": None}},
    ],
)  # fmt: skip
def test_other_values_are_refused(weights, changes):
    write(weights, {"streamseg_int8": module.VERSION, **GOOD, **changes})
    with pytest.raises(ModelError, match=r"positive maxima .* in .*net\.int8\.json") as caught:
        read_calibration(weights)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"5", b"\xff\xfe", b'{"maxima": {}}', b'{"streamseg_int8": 2}', b"[" * 100_000,
     b" " * (module.MAX_BYTES + 1)],
    ids=["empty", "cut", "list", "number", "bytes", "no version", "other version", "deep", "large"],
)  # fmt: skip
def test_other_files_are_refused(weights, content):
    calibration_path(weights).write_bytes(content)
    line = f"expected a calibration (version 1) at {calibration_path(weights)}"
    with pytest.raises(ModelError, match=re.escape(line)):
        read_calibration(weights)


def test_a_folder_is_refused(weights):
    calibration_path(weights).mkdir()
    with pytest.raises(ModelError, match="cannot read"):
        read_calibration(weights)


def test_the_shipped_calibration_is_of_the_shipped_weights_and_good():
    from streamseg.engine.graph_cache import file_digest

    path = WEIGHTS_FOLDER / SHIPPED["icnet-camvid"]
    calibration = read_calibration(path)
    assert calibration is not None
    assert calibration.good(8)
    assert calibration.good(7)
    assert calibration.weights == file_digest(path)
