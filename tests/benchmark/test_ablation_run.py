import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from camvid_writer import street, write_camvid

from streamseg.benchmark import ablation_run
from streamseg.benchmark.ablation_plan import HELD_OUT, VARIANTS, AblationPlan, reduced
from streamseg.models.card import InputSpec
from streamseg.models.registry import ARCHITECTURES, Architecture
from streamseg.training.changes import CHANGES, changed
from streamseg.training.recipe import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def test_every_listed_variant_is_one_and_all_changes_are_tried() -> None:
    assert len(set(VARIANTS)) == len(VARIANTS)
    recipes = {repr(replace(changed(reduced(4), variant), name="")) for variant in VARIANTS}
    assert len(recipes) == len(VARIANTS)
    assert set(CHANGES) <= {word for variant in VARIANTS for word in variant.split("+")}


def test_the_reduced_recipe_has_the_epochs_asked_for_and_fits_the_network() -> None:
    recipe = reduced(7)
    assert recipe.epochs == recipe.score_every == 7
    (stage,) = recipe.stages
    assert recipe.input.good_size(*stage.view.crop) == stage.view.crop
    assert AblationPlan().hold_out == (HELD_OUT,)


def tiny(epochs: int) -> Recipe:
    recipe = reduced(epochs)
    (stage,) = recipe.stages
    stage = replace(stage, batch=4, view=replace(stage.view, crop=(33, 33)))
    return replace(
        recipe, architecture="tiny", stages=(stage,), input=InputSpec(size=(33, 65)),
        rendered_frames=2,
    )  # fmt: skip


@pytest.fixture
def ablate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The program with a network of a few channels, on three drives of two images: status, stdout, stderr."""
    architecture = Architecture(
        module="random_network", constructor="DropoutNetwork", arguments={"width": 1.0}, summary=""
    )
    monkeypatch.setitem(ARCHITECTURES, "tiny", architecture)
    monkeypatch.setattr(ablation_run, "reduced", tiny)
    data = tmp_path / "data"
    write_camvid(data, "train", [street(i) for i in range(6)], drives=("a", "b", HELD_OUT))
    out = tmp_path / "out"
    out.mkdir()
    files = ["--out", out, "--json", out / "a.json", "--markdown", out / "a.md", "--data", data]

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = ablation_run.main([str(word) for word in (*files, "--epochs", 2, *words)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_variants_are_trained_scored_and_compared(ablate: Any, tmp_path: Path) -> None:
    status, printed, _ = ablate("--variants", "baseline,light+paste,rendered")
    assert status == 0
    out = tmp_path / "out"
    found = json.loads((out / "a.json").read_text())
    assert (out / "a.md").read_text() == printed
    assert found["command"] == "scripts/ablate --variants baseline,light+paste,rendered --epochs 2"
    assert str(tmp_path) not in (out / "a.json").read_text() + printed
    runs = found["runs"]
    assert [run["variant"] for run in runs] == ["baseline", "light+paste", "rendered"]
    for run in runs:
        assert run["trained_on"] == f"camvid train without {HELD_OUT}, 4 images"
        assert run["scored_on"] == f"camvid train {HELD_OUT}, 2 images"
        assert 0 < run["miou"] < 1
        assert run["minutes"] > 0 < run["processor_minutes"]
    (rows,) = found["rows"].values()
    assert rows[0]["over_baseline"] is None
    assert rows[1]["over_baseline"] == pytest.approx(runs[1]["miou"] - runs[0]["miou"])
    folder = out / f"light+paste-without-{HELD_OUT}-seed0"
    assert {path.name for path in folder.iterdir()} == {
        "result.json", "log.json", "curves.png", "reduced+light+paste.safetensors",
    }  # fmt: skip
    assert (out / "rendered-seed0" / "train").is_dir()


def test_what_is_finished_is_not_run_again(
    ablate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ablate("--variants", "baseline")[0] == 0
    trained = []
    train = ablation_run.train
    monkeypatch.setattr(
        ablation_run,
        "train",
        lambda recipe, *a, **k: (trained.append(recipe.name), train(recipe, *a, **k)),
    )
    assert ablate("--variants", "baseline,smooth")[0] == 0
    assert trained == ["reduced+smooth"]
    rows = json.loads((tmp_path / "out" / "a.json").read_text())["rows"][HELD_OUT]
    assert [row["variant"] for row in rows] == ["baseline", "smooth"]


def test_an_interrupted_run_goes_on_and_ends_the_same(
    ablate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ablate("--variants", "baseline", "--seed", 5)[0] == 0
    folder = tmp_path / "out" / f"baseline-without-{HELD_OUT}-seed5"
    whole = json.loads((folder / "result.json").read_text())
    for path in folder.iterdir():
        path.unlink()

    watched = ablation_run._watched

    def stopped(*args: Any) -> None:
        task, out, device, _, done = args

        class Bar:
            def set_postfix_str(self, text: str, refresh: bool) -> None:
                if self.n > 1.4:
                    raise KeyboardInterrupt

            n = 0.0

        watched(task, out, device, Bar(), done)

    with monkeypatch.context() as patch:
        patch.setattr(ablation_run, "_watched", stopped)
        status, _, err = ablate("--variants", "baseline", "--seed", 5)
    assert status == 130
    assert "the same command goes on from here" in err
    assert (folder / "checkpoint.safetensors").exists()
    assert not (folder / "result.json").exists()
    assert ablate("--variants", "baseline", "--seed", 5)[0] == 0
    again = json.loads((folder / "result.json").read_text())
    for key in ("minutes", "processor_minutes"):
        del whole[key], again[key]
    assert again == whole


def test_drives_and_seeds_may_be_several(ablate: Any, tmp_path: Path) -> None:
    words = ("--hold-out", "a", "--hold-out", "b", "--seed", 0, "--seed", 1)
    status, printed, _ = ablate("--variants", "baseline,smooth", *words)
    assert status == 0
    found = json.loads((tmp_path / "out" / "a.json").read_text())
    # One seed is through with all drives and variants before there is another.
    assert [(run["seed"], run["hold_out"]) for run in found["runs"]] == [
        (0, "a"), (0, "a"), (0, "b"), (0, "b"), (1, "a"), (1, "a"), (1, "b"), (1, "b"),
    ]  # fmt: skip
    assert list(found["rows"]) == ["a", "b", "all"]
    assert [row["runs"] for row in found["rows"]["all"]] == [4, 4]
    assert all(row["scatter"] is not None for row in found["rows"]["a"])
    assert "**All 2 drives**" in printed


def test_a_limit_takes_the_first_of_each_drive(ablate: Any, tmp_path: Path) -> None:
    assert ablate("--variants", "baseline", "--limit", 1)[0] == 0
    (run,) = json.loads((tmp_path / "out" / "a.json").read_text())["runs"]
    assert run["trained_on"].endswith(", 2 images")
    assert run["scored_on"].endswith(", 1 images")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--variants", "baseline,bright"), "error: unknown change 'bright' to a recipe"),
        (("--hold-out", "z"), f"error: unknown drive 'z' in camvid train; known: {HELD_OUT}, b, a"),
        (("--data", "nowhere"), "error: expected a data set folder at nowhere"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    ablate: Any, words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    status, out, err = ablate(*words)
    assert (status, out) == (1, "")
    assert err.startswith(message)
    assert list((tmp_path / "out").iterdir()) == []


def test_results_of_other_recipes_are_not_mixed_in(ablate: Any, tmp_path: Path) -> None:
    assert ablate("--variants", "baseline")[0] == 0
    status, _, err = ablate("--variants", "baseline", "--limit", 1)
    assert status == 1
    assert "holds a run of another recipe or other images (2 epochs on camvid train without" in err
    (tmp_path / "out" / f"baseline-without-{HELD_OUT}-seed0" / "result.json").write_text("{}")
    status, _, err = ablate("--variants", "baseline")
    assert status == 1
    assert "expected the result of a run at" in err


def test_the_list_names_all_changes(ablate: Any) -> None:
    status, printed, _ = ablate("--list")
    assert status == 0
    assert [line.split()[0] for line in printed.splitlines()] == list(CHANGES)
