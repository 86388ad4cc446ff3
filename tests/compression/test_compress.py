"""`streamseg compress` on a tiny network and a small data set, as a user would call it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from camvid_writer import street, write_camvid
from safetensors.torch import load_file, save_file

from streamseg.cli import main
from streamseg.compression.compress import compress, make_steps
from streamseg.datasets import LabelledImages, open_dataset
from streamseg.datasets.augment import View
from streamseg.errors import BackendError, DataError, ModelError
from streamseg.labels import CAMVID, CITYSCAPES, LabelSet
from streamseg.models.card import InputSpec, ModelCard
from streamseg.models.find import find_model
from streamseg.models.registry import ARCHITECTURES, Architecture, build
from streamseg.models.weights import CARD_KEY, load_model, read_card, save_weights
from streamseg.training import curves
from streamseg.training.recipe import Recipe
from streamseg.training.recipes import RECIPES
from streamseg.training.stage import Stage
from streamseg.training.trainer import TrainingPaths

pytestmark = [pytest.mark.usefixtures("one_thread", "network"), pytest.mark.slow]

SPEC = InputSpec(size=(65, 97))


def tiny_tuning() -> Recipe:
    view = View(crop=(65, 65), aspect=1.1)
    stage = Stage(epochs=2, batch=2, view=view, learning_rate=3e-3, warmup_steps=1)
    other = InputSpec(size=(97, 97), mean=(0.0, 0.0, 0.0))
    return Recipe(
        name="tiny-tuning", architecture="icnet", input=other, stages=(stage,), ema_rises=True
    )


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Architecture(
        module="streamseg.models.icnet", constructor="ICNet", arguments={"width": 0.25}, summary=""
    )
    monkeypatch.setitem(ARCHITECTURES, "tiny-icnet", entry)
    monkeypatch.setitem(RECIPES, "tiny-tuning", tiny_tuning)


def write_weights(path: Path, labels: LabelSet = CAMVID, architecture: str = "tiny-icnet") -> Path:
    torch.manual_seed(5)
    arguments = {"width": 0.25} if architecture == "tiny-icnet" else {}
    network = build(architecture, len(labels), **arguments)
    card = ModelCard(
        name="a tiny one", architecture=architecture, labels=labels, input=SPEC, **arguments
    )
    save_weights(path, network.state_dict(), card)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "tiny.safetensors")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_camvid(tmp_path / "data", "train", [street(seed) for seed in range(4)])
    write_camvid(tmp_path / "data", "val", [street(seed) for seed in (20, 21)])
    return tmp_path / "data"


@pytest.fixture
def dataset(data: Path) -> LabelledImages:
    return open_dataset(data, "train")


@pytest.fixture
def validation(data: Path) -> LabelledImages:
    return open_dataset(data, "val")


def call(*words: object) -> int:
    return main(["compress", *map(str, words)])


def asked(weights: Path, data: Path, out: Path) -> list[object]:
    return [weights, "--recipe", "tiny-tuning", "--data", data, "--out", out]


def test_each_step_is_written_scored_and_loads_like_any_other(
    weights: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "a" / "out", tmp_path / "r.json"
    assert call(*asked(weights, data, out), "--keep", ".75,.5", "--json", file) == 0
    printed = capsys.readouterr()
    report = json.loads(file.read_text())
    assert report == json.loads((out / "compress.json").read_text())
    assert report["before"]["width"] == 0.25
    assert [step["width"] for step in report["steps"]] == [0.1875, 0.125]
    for part, width in ((report["before"], 0.25), (report["steps"][1], 0.125)):
        smaller = build("tiny-icnet", len(CAMVID), width=width)
        kept = [p.numel() for name, p in smaller.named_parameters() if not name.startswith("aux_")]
        assert part["parameters"] == sum(kept)
    assert report["steps"][1]["gmac"] < 0.3 * report["before"]["gmac"]
    assert report["size"] == [65, 97]
    for scores in (report["before"], *(report["steps"][0][key] for key in ("pruned", "tuned"))):
        assert 0 <= scores["miou"] <= 1
        assert set(scores["iou"]) == set(CAMVID.class_names)

    path = Path(report["steps"][1]["weights"])
    assert path == out / "keep-0.5" / "tiny-0.5.safetensors"
    assert printed.out.splitlines()[-1] == str(path)
    assert f"{report['steps'][1]['tuned']['miou']:.4f}" in printed.out
    card = read_card(path)
    assert (card.architecture, card.width, card.name) == ("tiny-icnet", 0.125, "tiny-0.5")
    assert card.input == SPEC
    assert card.notes["compressed_from"] == "a tiny one"
    assert card.notes["compression"] == [
        {"keep": keep, "recipe": "tiny-tuning", "epochs": 2} for keep in (0.75, 0.5)
    ]
    assert card.notes["weights"] == "moving average, decay rising to 0.999 per step"
    assert card.notes["trained_on"] == (
        "camvid train, 4 images, from tiny.safetensors, pruned to 0.75 and fine-tuned, "
        "pruned to 0.5 of its filters"
    )
    network: Any = load_model(find_model(path))
    assert network.classify.in_channels == 32
    # Compressed networks can be compressed again.
    again = tmp_path / "again"
    assert call(*asked(path, data, again), "--keep", ".5", "--epochs", 1, "--quiet") == 0
    assert read_card(again / "keep-0.5" / "tiny-0.5-0.5.safetensors").width == 0.0625


class Interrupted(Exception):
    """What a test's progress raises to end a run."""


def stop_at(what: str, done: float) -> Callable[[str, float, float], None]:
    def progress(doing: str, now: float, total: float) -> None:
        if doing.startswith(what) and now >= done:
            raise Interrupted("enough")

    return progress


def test_an_interrupted_run_goes_on_where_it_stopped(
    weights: Path, dataset: LabelledImages, validation: LabelledImages, tmp_path: Path
) -> None:
    steps = make_steps([0.75, 0.5], [tiny_tuning()] * 2)
    whole = compress(weights, steps, dataset, validation, tmp_path / "whole", bf16=False)
    stops = [("scoring 0.75", 1), ("fine-tuning 0.75", 1.5), ("fine-tuning 0.5", 2)]
    out = tmp_path / "parts"
    for what, done in stops:
        with pytest.raises(Interrupted, match="enough"):
            compress(
                weights, steps, dataset, validation, out,
                bf16=False, progress=stop_at(what, done),
            )  # fmt: skip
        torch.manual_seed(99)  # another process would start with another state
    seen: list[str] = []
    report = compress(
        weights, steps, dataset, validation, out,
        bf16=False, progress=lambda what, done, total: seen.append(what),
    )  # fmt: skip
    assert seen == []  # all had been done but for the last file
    for keep in (0.75, 0.5):
        name = f"keep-{keep}/checkpoint.safetensors"
        expected, got = load_file(tmp_path / "whole" / name), load_file(out / name)
        assert expected.keys() == got.keys()
        assert all(torch.equal(tensor, got[key]) for key, tensor in expected.items())
    for expected, got in zip(whole["steps"], report["steps"], strict=True):
        assert expected | {"weights": "", "seconds": 0} == got | {"weights": "", "seconds": 0}
    assert whole["before"] == report["before"]


def test_a_step_prunes_what_the_step_before_it_fine_tuned(
    weights: Path, dataset: LabelledImages, tmp_path: Path
) -> None:
    """At a rate of zero kernels stay as they are: those at the end are the first network's largest."""
    recipe = tiny_tuning()
    still = replace(
        recipe, stages=(replace(recipe.stages[0], learning_rate=0.0, epochs=1, warmup_steps=0),)
    )
    compress(weights, make_steps([0.75, 0.5], [still] * 2), dataset, None, tmp_path / "out")
    checkpoint = load_file(TrainingPaths(folder=tmp_path / "out" / "keep-0.5").checkpoint)
    stem = load_file(weights)["high.0.0.weight"].float()
    largest = stem.abs().sum((1, 2, 3)).sort(descending=True, stable=True).indices[:8]
    kept = checkpoint["average.high.0.0.weight"]
    assert torch.allclose(kept, stem[largest.sort().values], atol=1e-6)
    before = load_file(TrainingPaths(folder=tmp_path / "out" / "keep-0.75").checkpoint)
    heads = [state["average.aux_sub4.weight"].flatten(1) for state in (before, checkpoint)]
    assert [head.shape[1] for head in heads] == [96, 64]
    first, second = ({tuple(column.tolist()) for column in head.T} for head in heads)
    assert second < first


def test_without_a_validation_split_nothing_is_scored(
    weights: Path, dataset: LabelledImages, tmp_path: Path
) -> None:
    recipe = tiny_tuning()
    once = replace(recipe, stages=(replace(recipe.stages[0], epochs=1),))
    report = compress(weights, make_steps([0.5], [once]), dataset, None, tmp_path / "out")
    assert report["scored_on"] is None
    assert report["steps"][0]["tuned"] == {"miou": None, "pixel_accuracy": None, "iou": None}
    assert report["before"]["miou"] is None


def test_the_command_without_a_validation_split_says_so(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_camvid(tmp_path / "data", "train", [street(0), street(1)])
    words = asked(weights, tmp_path / "data", tmp_path / "out")
    assert call(*words, "--keep", ".5", "--epochs", 1) == 0
    printed = capsys.readouterr()
    assert "note: no validation split; nothing is scored" in printed.err
    assert printed.out.splitlines()[2].split()[-2:] == ["none", "none"]


def test_heads_that_are_missing_are_told(
    weights: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*asked(weights, data, tmp_path / "out"), "--keep", ".5", "--epochs", 1) == 0
    line = "note: tiny.safetensors has no aux_sub24 and aux_sub4; fine-tuning begins with random"
    assert line in capsys.readouterr().err


def test_heads_in_the_file_are_fine_tuned_on(
    weights: Path, dataset: LabelledImages, tmp_path: Path
) -> None:
    """As they are there: at a rate of zero they stay, but for the inputs that were pruned."""
    torch.manual_seed(8)
    state = build("tiny-icnet", len(CAMVID)).state_dict()
    state = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    save_file(state, str(weights), metadata={CARD_KEY: read_card(weights).to_json()})
    notes: list[str] = []
    stage = replace(tiny_tuning().stages[0], learning_rate=0.0, epochs=1)
    steps = make_steps([0.5], [replace(tiny_tuning(), stages=(stage,))])
    compress(weights, steps, dataset, None, tmp_path / "out", note=notes.append)
    assert notes == []
    after = load_file(TrainingPaths(folder=tmp_path / "out" / "keep-0.5").checkpoint)
    for name in ("aux_sub4", "aux_sub24"):
        first, second = (
            {tuple(column.tolist()) for column in head.flatten(1).T}
            for head in (state[f"{name}.weight"], after[f"average.{name}.weight"])
        )
        assert second < first


def test_other_weights_do_not_go_on_in_the_same_folder(
    weights: Path, dataset: LabelledImages, tmp_path: Path
) -> None:
    steps = make_steps([0.5], [tiny_tuning()])
    compress(weights, steps, dataset, None, tmp_path / "out")
    network = build("tiny-icnet", len(CAMVID))
    save_weights(weights, network.state_dict(), read_card(weights))
    with pytest.raises(ModelError, match=r"of another recipe; expected .start="):
        compress(weights, steps, dataset, None, tmp_path / "out")


def test_missing_matplotlib_is_said_first(
    weights: Path, dataset: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match="expected matplotlib"):
        compress(weights, make_steps([0.5], [tiny_tuning()]), dataset, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_scores_are_refused(
    weights: Path, dataset: LabelledImages, validation: LabelledImages, tmp_path: Path
) -> None:
    (tmp_path / "scores.json").write_text("[")
    with pytest.raises(ModelError, match=r"expected scores of an earlier run at .*scores\.json"):
        compress(weights, make_steps([0.5], [tiny_tuning()]), dataset, validation, tmp_path)


def test_other_classes_are_refused(dataset: LabelledImages, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "town.safetensors", CITYSCAPES)
    with pytest.raises(DataError, match=r"expected a data set with the 19 classes of town\."):
        compress(weights, make_steps([0.5], [tiny_tuning()]), dataset, None, tmp_path / "out")


def test_a_network_without_a_width_is_refused(
    dataset: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(ARCHITECTURES["tiny-icnet"], arguments={})
    monkeypatch.setitem(ARCHITECTURES, "wide-icnet", entry)
    weights = write_weights(tmp_path / "wide.safetensors", architecture="wide-icnet")
    with pytest.raises(ModelError, match="expected an architecture with a width, got wide-icnet"):
        compress(weights, make_steps([0.5], [tiny_tuning()]), dataset, None, tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--keep", ".5,.75"], "expected shares to keep below 1 and above 0, each smaller than"),
        (["--keep", "1"], "got 1"),
        (["--keep", "0"], "got 0"),
        (["--keep", "half"], "expected --keep like .75,.5, got 'half'"),
        (["--keep", ".3"], "cannot build tiny-icnet as asked: expected num_classes >= 1 and width"),
        (["--epochs", "1,2,3"], "expected one --epochs, or one for each of 2 steps, got 3"),
        (["--epochs", "few"], "expected --epochs like 40 or 30,40, got 'few'"),
        (["--epochs", "0"], "expected epochs >= 1, got 0"),
        (["--recipe", "none"], "unknown recipe 'none'"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_gets_one_line_and_leaves_nothing(
    weights: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    line: str,
) -> None:
    assert call(*asked(weights, data, tmp_path / "out"), *words) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert line in errors[0]
    assert not (tmp_path / "out").exists()


def test_a_strangers_graph_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some.onnx").write_bytes(b"graph")
    spec = {"size": [65, 97], "color": "bgr", "mean": [0, 0, 0], "std": [1, 1, 1]}
    spec |= {"align_corners": True, "multiple": 32, "offset": 1}
    card = {"classes": "camvid", "input": spec}
    (tmp_path / "some.json").write_text(json.dumps(card))
    assert call(*asked(tmp_path / "some.onnx", data, tmp_path / "out")) == 1
    assert "expected streamseg's own weights to compress, got some.onnx" in capsys.readouterr().err
