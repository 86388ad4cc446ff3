"""Networks that run by proposals, and ensembles, as a user calls them."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from camvid_writer import street as street_sample
from camvid_writer import write_camvid
from command_line import Outcome
from model_files import write_model
from proposal_models import OBJECTS, write_deconvnet

import streamseg
from streamseg.cli import run as run_module

Call = Callable[..., Outcome]


@pytest.fixture(scope="module")
def deconvnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_deconvnet(tmp_path_factory.mktemp("deconvnet") / "deconvnet.safetensors")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "street.png"
    assert cv2.imwrite(str(path), street_sample(1, 48, 64)[0])
    return path


@pytest.mark.slow
def test_an_image_is_segmented_by_proposals(
    call: Call, image: Path, deconvnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []

    class Bar:
        def __init__(self, *, quiet: bool) -> None:
            assert not quiet

        def __enter__(self) -> Callable[[int, int], None]:
            return lambda done, total: told.append((done, total))

        def __exit__(self, *exception: object) -> None:
            told.append((-1, -1))

    monkeypatch.setattr(run_module, "PictureBar", Bar)
    out, report = tmp_path / "out.mkv", tmp_path / "report.json"
    outcome = call(
        "run", image, "-o", out, "--model", deconvnet, "--proposals", "windows:10", "--save",
        "overlay,labels", "--report", report, "--precision", "fp32",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    written = json.loads(report.read_text())
    assert (written["frames"]["written"], written["backend"]) == (1, "torch")
    assert (written["model"], written["size"]) == ("deconvnet", [224, 224])
    assert not [line for line in written["fallbacks"] if "proposals" in line]
    warmed_up, picture = told[:2], told[2:]
    assert warmed_up == [(0, 1), (1, 1)]  # of gray, the whole of which is one proposal
    assert picture == [(0, 10), (8, 10), (10, 10), (-1, -1)]
    (labels,) = streamseg.read_labels(tmp_path / "out_labels.mkv")
    assert (labels.shape, len(np.unique(labels)) > 1) == ((48, 64), True)
    with streamseg.load(deconvnet, proposals="windows:10", precision="fp32") as segmenter:
        (result,) = segmenter.stream(image)
    np.testing.assert_array_equal(labels, result.labels)


@pytest.mark.slow
def test_proposals_change_the_answer_and_are_scored(
    call: Call, deconvnet: Path, tmp_path: Path
) -> None:
    data, rng = tmp_path / "data", np.random.default_rng(0)
    picture = street_sample(1, 48, 64)[0]
    write_camvid(data, "val", [(picture, rng.integers(0, 11, (48, 64)).astype(np.uint8))])
    asked = ["eval", "--data", data, "--model", deconvnet, "--json", "-", "--quiet"]
    scores = {
        words: json.loads(call(*asked, *words.split()).out)
        for words in (
            "--proposals windows:1",
            "--proposals windows:5",
            "--proposals windows:5 --aggregate sum",
        )
    }
    assert len({one["pixel_accuracy"] for one in scores.values()}) == 3
    assert all(one["size"] == [224, 224] for one in scores.values())


@pytest.mark.slow
def test_an_ensemble_is_named_in_the_scores(call: Call, deconvnet: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_camvid(data, "val", [street_sample(1, 48, 64)])
    other = write_model(tmp_path / "icnet.safetensors")
    asked = [
        "eval",
        "--data",
        data,
        "--model",
        other,
        "--json",
        "-",
        "--quiet",
        "--backend",
        "torch",
    ]
    asked += ["--ensemble", f"{deconvnet},{other}", "--proposals", "windows:2"]
    for words, by in (([], "mean"), (["--ensemble-by", "product"], "product")):
        outcome = call(*asked, "--size", "97x129", *words)
        assert outcome.status == 0, outcome.err
        scores = json.loads(outcome.out)
        assert scores["model"] == f"tiny + deconvnet + tiny by {by}"
        assert scores["size"] == [97, 129]


def test_auto_says_what_it_took(
    call: Call, image: Path, deconvnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(cv2, "ximgproc", raising=False)
    asked = ["run", image, "-o", tmp_path / "out.mkv", "--model", deconvnet]
    outcome = call(*asked, "--proposals", "auto:2")
    assert outcome.status == 0, outcome.err
    assert "note: proposals auto, windows used, cv2 has no ximgproc" in outcome.err
    line = call(*asked, "-y", "--proposals", "edges").line()
    assert "edge boxes need cv2.ximgproc" in line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--proposals windows:5", "proposals are of networks that look at one object at a time"),
        ("--aggregate sum", "drop --proposals, --aggregate and --edge-model"),
        ("--edge-model model.yml.gz", "drop --proposals, --aggregate and --edge-model"),
        ("--proposals boxes", "unknown source of proposals 'boxes'"),
        ("--ensemble-by mean", "expected --ensemble with --ensemble-by mean"),
        ("--ensemble none.safetensors", "expected a model file at none.safetensors"),
    ],
)
def test_what_cannot_be_is_one_line_and_no_file(
    call: Call, image: Path, tmp_path: Path, words: str, line: str
) -> None:
    out = tmp_path / "out.mkv"
    assert line in call("run", image, "-o", out, *words.split()).line()
    assert not out.exists()


def test_other_classes_and_keyframes_are_refused(
    call: Call, image: Path, deconvnet: Path, tmp_path: Path
) -> None:
    objects = write_deconvnet(tmp_path / "objects.safetensors", OBJECTS)
    asked = ["run", image, "-o", tmp_path / "out.mkv", "--model", deconvnet]
    assert "with the same classes" in call(*asked, "--ensemble", objects).line()
    keyframe = call(*asked, "--proposals", "windows:1", "--keyframe", "fixed:2").line()
    assert "deconvnet runs as a whole (keyframe off)" in keyframe


def test_python_users_name_one_more_network_or_several(deconvnet: Path) -> None:
    for ensemble in (deconvnet, str(deconvnet), [deconvnet]):
        with streamseg.load(deconvnet, ensemble=ensemble, proposals="windows:1") as segmenter:
            assert segmenter.card.name == "deconvnet + deconvnet by mean"


def test_python_users_are_told_of_progress(deconvnet: Path) -> None:
    told: list[tuple[int, int]] = []
    picture = street_sample(1, 48, 64)[0]
    with streamseg.load(
        deconvnet, proposals="windows:9", aggregate="sum",
        progress=lambda done, total: told.append((done, total)),
    ) as segmenter:  # fmt: skip
        assert segmenter(picture).labels.shape == (48, 64)
    assert told == [(0, 9), (8, 9), (9, 9)]
