"""scripts/crf: what its numbers mean, its tables, and the command that it writes into them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from streamseg.benchmark import crf_run
from streamseg.benchmark.crf_records import (
    CRFAccuracy,
    CRFAgreement,
    CRFResult,
    CRFTime,
    markdown,
)
from streamseg.benchmark.crf_run import Picture, command_of, compare, time_crf

RESULT = CRFResult(
    streamseg="1",
    date="2026-11-26",
    command="scripts/crf",
    python="3.11",
    load_average=0.5,
    machine={"processor": "P", "cores": 2, "bf16": [], "packages": {"av": "18"}, "system": "S"},
    model="icnet-camvid",
    times=(
        CRFTime(
            parameters="deconvnet", size=(360, 480), classes=11, pictures=8, rounds=3, seconds=1.25,
            least=1.0, greatest=1.5, processor_seconds=2.25,
        ),
    ),
    agreements=(
        CRFAgreement(
            parameters="deconvnet", probabilities="network", size=(32, 32), crops=4,
            greatest=0.0075, mean_greatest=0.005, labels=0.998,
        ),
    ),
    accuracies=(
        CRFAccuracy(
            parameters="off", dataset="camvid", split="val", images=101, miou=0.5,
            pixel_accuracy=0.9, boundary_f1=0.6, iou={"sky": 0.9, "sign": None},
        ),
    ),
)  # fmt: skip


@pytest.fixture
def pictures() -> list[Picture]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 20, (40, 48, 3), np.uint8)
    drawn = rng.random((40, 48, 3)).astype(np.float32)
    return [(image, drawn / drawn.sum(2, keepdims=True))]


def test_tables_hold_every_number() -> None:
    text = markdown(RESULT)
    assert "| deconvnet | 360x480x11 | 1.25 (1.00..1.50) | 2.25 | 8 x 3 |" in text
    assert "| deconvnet | network | 4 of 32x32 | 0.0075 | 0.0050 | 99.800 % |" in text
    assert "| off | 0.5000 | 0.9000 | 0.6000 | 0.900 |  |" in text
    assert "2 cores" in text and "load 0.5 at the start" in text
    without = replace(RESULT.accuracies[0], boundary_f1=None)
    assert "| 0.9000 |  | 0.900 |" in markdown(replace(RESULT, accuracies=(without,)))


def test_all_of_it_is_json() -> None:
    values = json.loads(json.dumps(RESULT.to_json()))
    assert values["times"][0]["size"] == [360, 480]


def test_crops_are_compared_with_the_definition(
    pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compare("deconvnet", "network", pictures, crops=1, progress=lambda text: None)
    assert 0 < found.greatest < 0.02
    assert found.mean_greatest == found.greatest
    monkeypatch.setattr(crf_run, "refined", lambda probabilities, image, crf: probabilities)
    other = compare("deconvnet", "scattered", pictures, crops=1, progress=lambda text: None)
    assert other.greatest > 0.05
    assert other.labels < 1


def test_times_are_of_every_picture_in_every_round(pictures: list[Picture]) -> None:
    told: list[str] = []
    found = time_crf("pydensecrf", pictures * 2, rounds=2, progress=told.append)
    assert told == ["time, pydensecrf (1/2)"] * 2 + ["time, pydensecrf (2/2)"] * 2
    assert (found.size, found.classes, found.pictures, found.rounds) == ((40, 48), 3, 2, 2)
    assert 0 < found.least <= found.seconds <= found.greatest


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("", "scripts/crf"),
        ("--rounds 5 --crops 64", "scripts/crf --rounds 5"),
        ("--limit 3 --model /a/mine.safetensors", "scripts/crf --model mine.safetensors --limit 3"),
    ],
)
def test_the_command_that_measures_it_again(asked: str, written: str) -> None:
    words = [*asked.split(), "--json", "a", "--markdown", "b"]
    assert command_of(crf_run._parser().parse_args(words)) == written
