"""`streamseg calibrate` on the shipped weights and a small data set, as a user would call it."""

import json
import shutil
from pathlib import Path

import pytest
from camvid_writer import street, write_camvid

import streamseg
from streamseg.cli import main
from streamseg.engine.processor import weight_bits
from streamseg.models.calibration import calibration_path, read_calibration
from streamseg.models.find import WEIGHTS_FOLDER
from streamseg.models.registry import SHIPPED


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A copy of the shipped weights, without their calibration."""
    return Path(shutil.copy(WEIGHTS_FOLDER / SHIPPED["icnet-camvid"], tmp_path / "net.safetensors"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_camvid(tmp_path / "data", "train", [street(seed) for seed in range(4)])
    write_camvid(tmp_path / "data", "val", [street(seed) for seed in range(9, 12)])
    return tmp_path / "data"


@pytest.mark.slow
def test_calibration_is_written_scored_and_used(weights, data, tmp_path, capsys):
    out = tmp_path / "int8.json"
    words = ["--model", weights, "--data", data, "--images", 3, "--limit", 2, "--json", out]
    assert main(["calibrate", *map(str, words)]) == 0
    result = json.loads(out.read_text())
    calibration = read_calibration(weights)
    assert calibration is not None
    assert result["calibration"] == str(calibration_path(weights))
    assert len(calibration.maxima) == result["activations"] == 57
    assert calibration.data == result["images"] == "camvid train, 3 images"
    assert calibration.miou["data"] == "camvid val, 2 images"
    scored = {"fp32", "int8_7"} | ({"int8"} if weight_bits() == 8 else set())
    assert set(calibration.miou) == {*scored, "data"}
    for name in scored:
        assert result[name]["precision"] == name.partition("_")[0]
        assert calibration.miou[name] == pytest.approx(result[name]["miou"], abs=1e-5)
    assert "57 activations on camvid train, 3 images" in capsys.readouterr().out
    with streamseg.load(weights, precision="int8", device="cpu") as segmenter:
        assert segmenter.info.precision == "int8"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--images", "0"], "expected at least one image to calibrate with, got 0"),
        (["--split", "nowhere"], "nowhere"),
        (["--model", "some.onnx"], "expected a model file at some.onnx"),
    ],
)
def test_wrong_input_gets_one_line_and_leaves_nothing(weights, data, capsys, words, line):
    assert main(["calibrate", "--model", str(weights), "--data", str(data), *words]) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert line in errors[0]
    assert not calibration_path(weights).exists()
