"""scripts/crf on two small streets."""

import json
from pathlib import Path

import pytest
from camvid_writer import street, write_camvid
from model_files import write_model

from streamseg.benchmark import crf_run


@pytest.mark.slow
def test_time_agreement_and_accuracy_are_measured_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_camvid(tmp_path / "data", "val", [street(seed) for seed in range(2)])
    model = write_model(tmp_path / "tiny.safetensors")
    words = ["--pictures", "1", "--rounds", "1", "--crops", "1", "--limit", "1"]
    words += ["--model", str(model), "--data", str(tmp_path / "data")]
    words += ["--json", str(tmp_path / "crf.json"), "--markdown", str(tmp_path / "crf.md")]
    assert crf_run.main(words) == 0
    found = json.loads((tmp_path / "crf.json").read_text())
    assert [one["parameters"] for one in found["times"]] == ["deconvnet", "pydensecrf"]
    assert found["times"][0]["size"] == [48, 64]
    assert found["times"][0]["seconds"] > 0
    assert {one["probabilities"] for one in found["agreements"]} == {"network", "scattered"}
    assert max(one["greatest"] for one in found["agreements"]) <= 0.02
    assert [one["parameters"] for one in found["accuracies"]] == ["off", "deconvnet", "pydensecrf"]
    text = (tmp_path / "crf.md").read_text()
    assert "scripts/crf" in text
    assert str(tmp_path) not in text


def test_no_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ["--json", str(tmp_path / "a"), "--markdown", str(tmp_path / "b")]
    assert crf_run.main(["--data", str(tmp_path / "none"), *paths]) == 1
    assert capsys.readouterr().err.count("\n") == 1
