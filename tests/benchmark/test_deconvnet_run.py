import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from camvid_writer import street, write_camvid
from fakes import FakeEngine
from model_files import write_model

from streamseg.benchmark import deconvnet_run
from streamseg.benchmark.deconvnet_run import DeconvNetPlan, main, trained
from streamseg.benchmark.deconvnet_table import WAYS
from streamseg.datasets import LabelledImages
from streamseg.errors import ModelError
from streamseg.labels import CAMVID
from streamseg.models.find import find_model
from streamseg.segmenter import Segmenter
from streamseg.training.recipe import Recipe
from streamseg.training.recipes import find_recipe

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {
        name: write_model(folder / f"{name}.safetensors", name) for name in ("fcn8s", "deconvnet")
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split, count in (("train", 3), ("val", 2)):
        write_camvid(tmp_path / "data", split, [street(seed) for seed in range(count)])
    return tmp_path / "data"


@pytest.fixture
def loaded() -> list[tuple[str, dict[str, Any]]]:
    """What was asked of `streamseg.load`."""
    return []


@pytest.fixture
def run(
    data: Path,
    tmp_path: Path,
    weights: dict[str, Path],
    loaded: list[tuple[str, dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """The program with given weights and an engine that labels by brightness: status, stdout, stderr."""
    out = tmp_path / "out"
    out.mkdir()

    def load(model: Path, **how: Any) -> Segmenter:
        loaded.append((model.name, how))
        return Segmenter(FakeEngine(), CAMVID)  # type: ignore[arg-type]

    def run(*words: object) -> tuple[int, str, str]:
        files = ["--out", out, "--json", out / "a.json", "--markdown", out / "a.md", "--data", data]
        given = [word for name, path in weights.items() for word in (f"--{name}", path)]
        capsys.readouterr()
        status = main([str(word) for word in (*files, *given, *words)], load=load)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_each_row_is_asked_for_by_its_keywords(
    run: Run, weights: dict[str, Path], loaded: list[tuple[str, dict[str, Any]]]
) -> None:
    assert run("--proposals", "windows:7")[0] == 0
    by_proposals = {"device": "cpu", "proposals": "windows:7"}
    together = {**by_proposals, "ensemble": [weights["fcn8s"]], "ensemble_by": "mean"}
    assert loaded == [
        ("fcn8s.safetensors", {"device": "cpu"}),
        ("deconvnet.safetensors", by_proposals),
        ("deconvnet.safetensors", {**by_proposals, "crf": "deconvnet"}),
        ("deconvnet.safetensors", together),
        ("deconvnet.safetensors", {**together, "crf": "deconvnet"}),
    ]


def test_the_table_has_the_papers_numbers_beside_ours(run: Run, tmp_path: Path) -> None:
    status, printed, _ = run("--limit", 1)
    assert status == 0
    assert printed == (tmp_path / "out" / "a.md").read_text()
    found = json.loads((tmp_path / "out" / "a.json").read_text())
    command = (
        "scripts/deconvnet --fcn8s fcn8s.safetensors --deconvnet deconvnet.safetensors --limit 1"
    )
    assert found["command"] == command and f"`{command}`" in printed
    assert str(tmp_path) not in json.dumps(found) + printed
    assert found["scored_on"] == "camvid val, 1 images"
    rows = {row["way"]: row for row in found["rows"]}
    assert list(rows) == [way.name for way in WAYS]
    for way in WAYS:
        (line,) = [line for line in printed.splitlines() if line.startswith(f"| {way.title} |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1] == f"{100 * rows[way.name]['miou']:.1f}"
        assert cells[-1] == f"{way.paper:.1f}"
    assert [way.paper for way in WAYS] == [64.4, 69.6, 70.5, 71.5, 72.5]
    assert "- fallback: a, b, because" in printed
    assert "also in training" in printed


def test_rows_that_are_there_are_not_measured_again(
    run: Run, tmp_path: Path, loaded: list[tuple[str, dict[str, Any]]]
) -> None:
    first = run()
    loaded.clear()
    assert run()[1].split("\n\n")[2:] == first[1].split("\n\n")[2:]
    assert loaded == []
    assert run("--proposals", "edges:5")[0] == 0  # another plan for all but FCN-8s
    assert [model for model, _ in loaded] == ["deconvnet.safetensors"] * 4
    (tmp_path / "out" / "rows" / "fcn8s.json").write_text("{}")
    status, _, err = run()
    assert status == 1
    assert "expected a row of the table at" in err and "Delete it to measure it again" in err


def test_what_is_not_given_is_trained_by_its_recipe(
    data: Path, tmp_path: Path, weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int, int, int, str]] = []
    starts: list[str | None] = []

    def train(
        recipe: Recipe, dataset: LabelledImages, validation: LabelledImages, out: Path, **how: Any
    ) -> Path:
        how["report"]({"epoch": 0, "step": 1, "steps": 2, "loss": 1.0})
        asked.append((recipe.name, recipe.epochs, recipe.seed, len(dataset), out.name))
        starts.append(how["start"] and how["start"].origin)
        return weights[recipe.architecture]

    monkeypatch.setattr(deconvnet_run, "train", train)
    plan = DeconvNetPlan(epochs=4, seed=3)
    networks = trained(plan, {"fcn8s": weights["fcn8s"]}, data, tmp_path)
    assert (networks.fcn8s, networks.deconvnet) == (weights["fcn8s"], weights["deconvnet"])
    assert asked == [("deconvnet-camvid", 4, 3, 3, "deconvnet-camvid")]
    trained(plan, {}, data, tmp_path)
    assert [one[0] for one in asked[1:]] == ["fcn8s-camvid", "deconvnet-camvid"]
    assert starts == [None] * 3  # the given FCN-8s has another width than the recipe
    width = find_model(weights["fcn8s"]).card.width
    monkeypatch.setattr(deconvnet_run, "find_recipe", partial(find_recipe, width=width))
    trained(plan, {}, data, tmp_path)
    assert starts[3:] == [None, "from VGG16, fc6 and fc7 of tiny"]


def test_weights_of_another_network_are_refused(
    data: Path, tmp_path: Path, weights: dict[str, Path]
) -> None:
    with pytest.raises(ModelError, match=r"expected weights of deconvnet, .* has fcn8s's"):
        trained(DeconvNetPlan(), {"deconvnet": weights["fcn8s"]}, data, tmp_path)
