"""`streamseg train` as a user calls it, with a network of a few channels."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from camvid_writer import street, write_camvid
from command_line import Outcome

from streamseg.datasets.augment import View
from streamseg.models.card import InputSpec
from streamseg.models.registry import ARCHITECTURES, Architecture
from streamseg.models.weights import read_card
from streamseg.sample import write_rendered
from streamseg.training import recipes
from streamseg.training.recipe import Recipe
from streamseg.training.stage import Stage

Call = Callable[..., Outcome]
pytestmark = [pytest.mark.usefixtures("one_thread", "tiny"), pytest.mark.slow]


def tiny_recipe() -> Recipe:
    stage = Stage(epochs=1, batch=4, view=View(crop=(33, 33)), learning_rate=0.01)
    return Recipe(
        name="tiny", architecture="tiny", input=InputSpec(size=(33, 65)), stages=(stage,),
        rendered_frames=2,
    )  # fmt: skip


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The recipe "tiny", and a folder to run in."""
    architecture = Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 0.125},
        summary="an eighth of its width",
    )
    monkeypatch.setitem(ARCHITECTURES, "tiny", architecture)
    monkeypatch.setitem(recipes.RECIPES, "tiny", tiny_recipe)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three drives of two images each to train on, two images to score."""
    root = tmp_path / "data"
    write_camvid(root, "train", [street(i) for i in range(6)], drives=("a", "b", "c"))
    write_camvid(root, "val", [street(i) for i in (7, 8)])
    return root


def test_a_run_is_scored_on_the_validation_split(call: Call, data: Path) -> None:
    outcome = call("train", "tiny", "--data", data, "--quiet")
    assert outcome.status == 0, outcome.err
    assert outcome.out == "runs/tiny/tiny.safetensors\n"
    notes = read_card("runs/tiny/tiny.safetensors").notes
    assert notes["trained_on"].startswith("camvid train, 6 images")
    assert notes["scored_on"] == "camvid val, 2 images"


def test_another_split_is_learnt_from(call: Call, data: Path) -> None:
    write_camvid(data, "more", [street(i) for i in range(4)])
    outcome = call("train", "tiny", "--data", data, "--split", "more", "--quiet")
    assert outcome.status == 0, outcome.err
    notes = read_card("runs/tiny/tiny.safetensors").notes
    assert notes["trained_on"].startswith("camvid more, 4 images")


def test_what_views_of_objects_cannot_have_is_one_line(call: Call, data: Path) -> None:
    line = call("train", "deconvnet-camvid", "--data", data, "--with", "paste").line()
    assert "expected a stage of objects without paste, mix, uniform, extra_share, got paste" in line


def test_a_drive_held_out_is_scored_on_and_not_trained_on(call: Call, data: Path) -> None:
    outcome = call("train", "tiny", "--data", data, "--hold-out", "b", "--quiet", "--json", "-")
    assert outcome.status == 0, outcome.err
    notes = read_card("runs/tiny-without-b/tiny.safetensors").notes
    assert notes["trained_on"].startswith("camvid train without b, 4 images")
    assert notes["scored_on"] == "camvid train b, 2 images"
    assert "caveat" not in notes


def test_an_unknown_drive_is_one_line(call: Call, data: Path) -> None:
    line = call("train", "tiny", "--data", data, "--hold-out", "x").line()
    assert "unknown drive 'x' in camvid train; known: c, b, a" in line


def test_a_run_of_all_drives_is_not_gone_on_with_for_fewer(call: Call, data: Path) -> None:
    assert call("train", "tiny", "--data", data, "--out", "r", "--quiet").status == 0
    line = call("train", "tiny", "--data", data, "--out", "r", "--hold-out", "a", "--quiet").line()
    assert "of other images: expected camvid train without a, 4 images, got camvid train, 6" in line


def test_changes_to_a_recipe_are_named(call: Call, data: Path) -> None:
    outcome = call("train", "tiny", "--data", data, "--with", "light+classmix", "--quiet")
    assert outcome.status == 0, outcome.err
    run = Path("runs/tiny+light+classmix")
    assert read_card(run / "tiny+light+classmix.safetensors").name == "tiny+light+classmix"
    assert "light=0.7" in json.loads((run / "log.json").read_text())["recipe"]
    line = call("train", "tiny", "--data", data, "--with", "lihgt").line()
    assert "unknown change 'lihgt' to a recipe; known, and joined by +: light" in line


def test_rendered_frames_are_made_once(
    call: Call, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", "tiny", "--data", data, "--with", "rendered", "--quiet")
    assert call(*words).status == 0
    made = Path("runs/tiny+rendered/rendered")
    assert len(list((made / "train").iterdir())) == 2
    before = made.stat().st_mtime_ns
    assert call(*words).status == 0
    assert made.stat().st_mtime_ns == before
    assert write_rendered(made, frames=2) == made


def test_a_teacher_is_a_weights_file(call: Call, data: Path) -> None:
    assert call("train", "tiny", "--data", data, "--out", "t", "--quiet").status == 0
    outcome = call("train", "tiny", "--data", data, "--teacher", "t/tiny.safetensors", "--quiet")
    assert outcome.status == 0, outcome.err
    assert read_card("runs/tiny/tiny.safetensors").notes["teacher"] == "tiny"
    missing = call("train", "tiny", "--data", data, "--teacher", "none.safetensors", "--out", "x")
    assert "none.safetensors" in missing.line()


def test_without_a_validation_split_a_run_is_not_scored(call: Call, tmp_path: Path) -> None:
    write_camvid(tmp_path / "d", "train", [street(i) for i in range(4)])
    outcome = call("train", "tiny", "--data", tmp_path / "d", "--quiet", "--json", "log.json")
    assert outcome.status == 0, outcome.err
    assert "note: no validation split" in outcome.err
    losses = [record["loss"] for record in json.loads(Path("log.json").read_text())["epochs"]]
    assert np.isfinite(losses).all()


def test_auto_labelled_frames_are_mixed_in(call: Call, data: Path) -> None:
    assert call("train", "tiny", "--data", data, "--out", "t", "--quiet").status == 0
    auto = ("--model", "t/tiny.safetensors", "--backend", "torch", "--precision", "fp32", "--quiet")
    for out, threshold in (("auto", 0), ("other", 0.1)):
        words = ("--threshold", threshold, "--out", out, "--limit", 4, *auto)
        assert call("autolabel", data / "train", *words).status == 0
    words = ("train", "tiny", "--data", data, "--hold-out", "b", "--out", "s", "--quiet")
    outcome = call(*words, "--also", "auto", "--also-share", 0.25)
    assert outcome.status == 0, outcome.err
    assert "in auto are of the drive b held out" in outcome.err
    assert read_card("s/tiny.safetensors").notes["trained_on"] == (
        "camvid train without b, 4 images, from random weights; "
        "4 auto-labelled frames by tiny at threshold 0 mixed in"
    )
    other = call(*words, "--also", "other", "--also-share", 0.25)
    assert other.status == 1
    assert "of other images: expected camvid train without b, 4 images; 4 auto-label" in other.err
    other = call(*words, "--also", "auto", "--also-share", 0.5)
    assert "of another recipe; expected 'extra_share=0.5" in other.err
    assert "of another recipe" in call(*words).line()


def test_shares_that_mix_in_nothing_or_everything_are_one_line(call: Call, data: Path) -> None:
    words = ("train", "tiny", "--data", data, "--also", data)
    assert "at least one image of a batch, got 0.0" in call(*words, "--also-share", 0).line()
    assert "leaves room for real images" in call(*words, "--also-share", 1).line()
    line = call(*words, "--with", "rendered").line()
    assert "expected a recipe without extra images, tiny+rendered renders its own" in line
    assert "there is none" in call("train", "tiny", "--data", data, "--also", "nowhere").line()


def test_a_run_goes_on_from_the_weights_of_another(call: Call, data: Path) -> None:
    assert call("train", "tiny", "--data", data, "--quiet").status == 0
    first = "runs/tiny/tiny.safetensors"
    outcome = call("train", "tiny", "--data", data, "--from", first, "--out", "more", "--quiet")
    assert outcome.status == 0, outcome.err
    assert (
        read_card("more/tiny.safetensors").notes["trained_on"]
        == "camvid train, 6 images, from tiny"
    )
    # Its checkpoint is of that beginning, and of no other.
    line = call("train", "tiny", "--data", data, "--out", "more", "--quiet").line()
    assert "of another recipe" in line
