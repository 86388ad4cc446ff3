import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmark.conftest import SizedEngine
from camvid_writer import street, write_camvid

from streamseg.compression.compress import Step
from streamseg.datasets.augment import View
from streamseg.labels import CAMVID
from streamseg.models.card import InputSpec, ModelCard
from streamseg.models.registry import build
from streamseg.models.weights import read_card, save_weights
from streamseg.segmenter import Segmenter
from streamseg.study import compression as compression_run
from streamseg.study.compression_plan import QUICK, CompressionPlan
from streamseg.training.recipes import RECIPES, Recipe, Stage

TINY = CompressionPlan(
    recipe="tiny",
    tuning="tiny-tuning",
    width=0.25,
    epochs=1,
    tuning_epochs=1,
    steps=(0.75, 0.5),
    compared=(0.5,),
    images=2,
    scored=1,
)


def tiny(name: str) -> Recipe:
    stage = Stage(epochs=4, batch=2, view=View(crop=(65, 65)), learning_rate=1e-3)
    return Recipe(
        name=name, architecture="icnet", input=InputSpec(size=(65, 97)), stages=(stage,), ema_rises=True
    )  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> list[str]:
    """Tiny recipes; pictures are labelled by their brightness. The weights that were to be scored."""
    scored: list[str] = []

    def load_fake(path: Path, *, device: str, precision: str) -> Segmenter:
        scored.append(path.parent.parent.name + "/" + path.parent.name)
        engine = SizedEngine("auto")
        return Segmenter(engine, engine.card.labels)

    monkeypatch.setattr(compression_run, "QUICK", TINY)
    monkeypatch.setattr(compression_run, "load", load_fake)
    for name in ("tiny", "tiny-tuning"):
        monkeypatch.setitem(RECIPES, name, lambda name=name: tiny(name))
    return scored


def call(folder: Path, *words: object) -> int:
    files = ["--json", folder / "c.json", "--markdown", folder / "c.md"]
    return compression_run.main([str(word) for word in ("--quick", *words, *files)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        write_camvid(tmp_path / "data", split, [street(seed) for seed in range(3)])
    return tmp_path / "data"


@pytest.mark.slow
def test_all_ways_are_trained_and_compared(
    small: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call(tmp_path, "--data", data, "--out", out) == 0
    assert (tmp_path / "c.md").read_text() == capsys.readouterr().out
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["command"] == "scripts/compression --quick"
    assert (found["trained_on"], found["scored_on"]) == (
        "camvid train, 2 images", "camvid val, 1 images",
    )  # fmt: skip
    networks = [
        (network["way"], network["keep"], network["width"], network["epochs"])
        for network in found["networks"]
    ]
    assert networks == [
        ("uncompressed", 1.0, 0.25, 1),
        ("progressive", 0.75, 0.1875, 2),
        ("progressive", 0.5, 0.125, 3),
        ("one-shot", 0.5, 0.125, 3),
        ("from scratch", 0.5, 0.125, 3),
    ]
    assert small == [
        "out/full", "progressive/keep-0.75", "progressive/keep-0.5", "one-shot-0.5/keep-0.5",
        "out/scratch-0.5",
    ]  # fmt: skip
    sizes = [network["parameters"] for network in found["networks"]]
    assert sizes[0] > sizes[1] > sizes[2] == sizes[3] == sizes[4]
    # Equally many epochs in all.
    one_shot = read_card(out / "one-shot-0.5" / "keep-0.5" / "tiny-full-0.5.safetensors")
    scratch = read_card(out / "scratch-0.5" / "tiny-scratch-0.5.safetensors")
    assert (one_shot.notes["epochs"], scratch.notes["epochs"]) == (2, 3)
    assert "from random weights" in scratch.notes["trained_on"]


def test_a_given_network_is_not_trained(
    small: list[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training from scratch still has as many epochs as training and fine-tuning together."""
    model = tmp_path / "mine.safetensors"
    network = build("icnet", len(CAMVID), width=0.25)
    card = ModelCard(
        name="mine", architecture="icnet", labels=CAMVID, input=InputSpec(size=(65, 97)), width=0.25
    )
    save_weights(model, network.state_dict(), card)
    trained, pruned = [], []

    def train_nothing(recipe: Recipe, *rest: object, **options: object) -> Path:
        trained.append((recipe.name, recipe.width, recipe.epochs))
        return model

    def prune_nothing(path: Path, steps: Sequence[Step], *rest: object, **options: object) -> Any:
        pruned.append([(step.keep, step.recipe.epochs) for step in steps])
        scores = {"miou": 0.25}
        return {"steps": [{"keep": s.keep, "weights": str(path), "pruned": scores} for s in steps]}

    monkeypatch.setattr(compression_run, "train", train_nothing)
    monkeypatch.setattr(compression_run, "compress", prune_nothing)
    assert call(tmp_path, "--data", data, "--model", model, "--epochs", 10) == 0
    assert trained == [("tiny-scratch-0.5", 0.125, 12)]
    assert pruned == [[(0.75, 1), (0.5, 1)], [(0.5, 2)]]
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["command"] == "scripts/compression --model mine.safetensors --quick --epochs 10"
    assert [network["epochs"] for network in found["networks"]] == [0, 1, 2, 2, 12]
    assert [network["pruned_miou"] for network in found["networks"]] == [None, *[0.25] * 3, None]


def test_a_missing_data_set_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "--data", tmp_path / "no") == 1
    assert capsys.readouterr().err.startswith("error: expected a data set folder")
    assert not (tmp_path / "c.json").exists()


def asked(**changes: object) -> Namespace:
    plain = {
        "model": None, "quick": False, "epochs": None, "tuning_epochs": None, "seed": None,
        "device": "cpu", "precision": "bf16",
    }  # fmt: skip
    return Namespace(**{**plain, **changes})


def test_flags_change_the_plan() -> None:
    assert compression_run.plan_of(asked()) == CompressionPlan()
    assert compression_run.plan_of(asked(quick=True)) == QUICK
    assert compression_run.plan_of(asked(epochs=9, tuning_epochs=3, seed=0)) == replace(
        CompressionPlan(), epochs=9, tuning_epochs=3, seed=0
    )


def test_the_command_says_what_was_asked() -> None:
    assert compression_run.command_of(asked()) == "scripts/compression"
    words = asked(tuning_epochs=3, device="cuda", precision="fp32", model=Path("a/b.safetensors"))
    assert compression_run.command_of(words) == (
        "scripts/compression --model b.safetensors --tuning-epochs 3 --device cuda --precision fp32"
    )


def test_the_plan_compares_shares_that_it_prunes_to() -> None:
    for plan in (CompressionPlan(), QUICK, TINY):
        assert set(plan.compared) <= set(plan.steps)
        assert list(plan.steps) == sorted(plan.steps, reverse=True)
