"""FCN and DeconvNet from the command line, and from Python."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from camvid_writer import street as street_sample
from camvid_writer import write_camvid
from command_line import Outcome
from model_files import write_model

import streamseg
from streamseg.benchmark import plan

Call = Callable[..., Outcome]


@pytest.fixture(scope="module")
def fcn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("fcn") / "mine.safetensors", "fcn8s")


def test_they_are_listed(call: Call) -> None:
    listed = {line.split()[0]: line for line in call("models").out.splitlines() if line[:2] == "  "}
    assert {"deconvnet", "fcn8s", "fcn16s", "fcn32s"} <= set(listed)
    assert "251.8 M" in listed["deconvnet"] and "134.4 M" in listed["fcn8s"]


def test_fcn_is_scored(call: Call, fcn: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_camvid(data, "val", [street_sample(seed, 96, 128) for seed in (1, 2)])
    asked = [
        "eval",
        "--data",
        data,
        "--model",
        fcn,
        "--json",
        "-",
        "--quiet",
        "--precision",
        "fp32",
    ]
    scores = [json.loads(call(*asked, "--backend", name).out) for name in ("openvino", "torch")]
    assert [one["size"] for one in scores] == [[96, 128]] * 2
    assert [one["fallbacks"] for one in scores] == [[]] * 2
    assert scores[0]["pixel_accuracy"] == pytest.approx(scores[1]["pixel_accuracy"], abs=1e-3)
    line = call(*asked, "--size", "97x129").line()
    assert line == (
        "streamseg: error: expected a network input whose sides are multiples of 32, got 97x129"
    )


def test_fcn_is_timed(call: Call, fcn: Path, street: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ceiling = plan.Convolutions(channels=8, size=(8, 8), layers=2)
    quickest = replace(plan.QUICK, ceiling=ceiling, network_sizes=("native",), timing_seconds=0.0)
    monkeypatch.setattr(plan, "QUICK", quickest)
    asked = ["--only", "network", "--sizes", "96x128", "--quick", "--json", "-"]
    outcome = call("bench", street, "--model", fcn, *asked)
    assert outcome.status == 0, outcome.err
    assert '"openvino fp32"' in outcome.out and '"torch fp32"' in outcome.out


def test_deconvnet_labels_a_picture_whole(tmp_path: Path) -> None:
    path = write_model(tmp_path / "mine.safetensors", "deconvnet")
    segmenter = streamseg.load(path, backend="torch", device="cpu", precision="fp32")
    picture = street_sample(1, 96, 128)[0]
    result = segmenter(picture)
    assert segmenter.network_size((96, 128)) == (224, 224)
    assert result.labels.shape == (96, 128)
    assert len(np.unique(result.labels)) > 1
    with pytest.raises(ValueError, match="runs at 224x224 only, got --size 256x256"):
        streamseg.load(path, size=(256, 256))
