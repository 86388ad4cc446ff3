"""`--crf`: every command that loads a model takes it, and says that it did."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from camvid_writer import street as street_sample
from camvid_writer import write_camvid
from command_line import SMALL, Outcome

Call = Callable[..., Outcome]
FAST = SMALL.split()


def test_run_reports_it(call: Call, street: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    outcome = call(
        "run", street, "-o", tmp_path / "out.mp4", "--limit", 2, "--report", report, *FAST, "--crf"
    )
    assert outcome.status == 0, outcome.err
    assert json.loads(report.read_text())["model"] == "icnet-camvid + CRF"


def test_eval_reports_it_with_its_parameters(call: Call, tmp_path: Path) -> None:
    write_camvid(tmp_path, "val", [street_sample(0)])
    scores = tmp_path / "scores.json"
    outcome = call(
        "eval", "--data", tmp_path, "--json", scores, *FAST, "--crf", "pydensecrf,iterations=1"
    )
    assert outcome.status == 0, outcome.err
    found = json.loads(scores.read_text())
    assert found["model"] == "icnet-camvid + CRF gaussian=3:3,bilateral=80:13:10,iterations=1"


@pytest.mark.parametrize("words", ["bilateral=0:3:5", "yes"])
def test_parameters_that_make_no_sense_are_one_line(call: Call, street: Path, words: str) -> None:
    assert "expected" in call("run", street, f"--crf={words}").line()
