"""`streamseg autolabel` as a user calls it, with a network of a few channels."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from camvid_writer import street as street_sample
from camvid_writer import write_camvid
from command_line import Outcome
from model_files import write_model

import streamseg
from streamseg.datasets import open_dataset
from streamseg.labels import CAMVID, IGNORE

Call = Callable[..., Outcome]
FAST = ["--backend", "torch", "--precision", "fp32"]
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture
def label(call: Call, model: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Label `source` into `auto` by the tiny model."""

    def run(source: object, *words: object) -> Outcome:
        return call(
            "autolabel", source, "--model", model, "--out", tmp_path / "auto", *FAST, *words
        )

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def test_labels_are_those_of_run_where_they_are_kept(
    call: Call, label: Call, model: Path, street: Path, tmp_path: Path
) -> None:
    assert label(street).status == 0
    out = tmp_path / "run.mp4"
    words = ("-o", out, "--save", "labels", "--model", model, *FAST, "--quiet")
    assert call("run", street, *words).status == 0
    maps = list(streamseg.read_labels(tmp_path / "run_labels.mkv"))
    auto = tmp_path / "auto"
    dataset = open_dataset(auto, "train")
    assert len(dataset) == len(maps) == 12
    kept = 0
    for index, expected in enumerate(maps):
        found = dataset.load(index)[1]
        sure = found != IGNORE
        assert (found == expected)[sure].all()
        kept += sure.sum()
        probability = cv2.imread(str(auto / "trainprob" / dataset.pairs[index][0].name), -1)
        assert probability is not None
        assert (probability.dtype, probability.shape) == (np.uint8, found.shape)
        assert probability[sure].min() >= 230 >= probability[~sure].max(initial=0)  # 0.9
    assert 0 < kept < 12 * maps[0].size


def test_the_table_counts_what_is_in_the_files(label: Call, street: Path, tmp_path: Path) -> None:
    file = tmp_path / "auto.json"
    outcome = label(street, "--every", 5, "--threshold", 0.3, "--json", file)
    assert outcome.status == 0, outcome.err
    found = json.loads(file.read_text())
    dataset = open_dataset(tmp_path / "auto", "train")
    assert [image.name for image, _ in dataset.pairs] == [
        "street_00000000.png", "street_00000200.png", "street_00000400.png",
    ]  # fmt: skip
    kept = sum(np.bincount(dataset.load(i)[1].reshape(-1), minlength=256) for i in range(3))
    assert [values["kept"] for values in found["classes"].values()] == kept[:11].tolist()
    assert found["kept"] == kept[:11].sum()
    assert found["predicted"] == 3 * 96 * 128
    assert found["coverage"] == found["kept"] / found["predicted"]
    assert (found["frames"], found["labelled"], found["found"]) == (3, 3, 0)
    assert list(found["classes"]) == list(CAMVID.class_names)
    assert "3 frames by tiny at threshold 0.3 (3 labelled now, 0 before)" in outcome.out
    for name, values in found["classes"].items():
        line = next(line for line in outcome.out.splitlines() if line.split()[:1] == [name])
        assert line.split()[1:3] == [str(values["predicted"]), str(values["kept"])]


def test_what_is_written_is_not_labelled_again(
    label: Call, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert label(street, "--every", 4, "--limit", 2, "--quiet").status == 0
    auto = tmp_path / "auto"
    before = {path: path.stat().st_mtime_ns for path in (auto / "train").iterdir()}
    # As a run killed while it wrote leaves it: a file without its line, half a line.
    (auto / "trainannot" / "street_00000320.png").write_bytes(b"half")
    with (auto / "frames.jsonl").open("a") as journal:
        journal.write('{"name": "street_0000')
    again = label(street, "--every", 4)
    assert "3 frames by tiny at threshold 0.9 (1 labelled now, 2 before)" in again.out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    whole = contents(auto)
    shutil.rmtree(auto)
    assert label(street, "--every", 4, "--quiet").status == 0
    at_once = contents(auto)
    del whole["frames.jsonl"], at_once["frames.jsonl"]  # the one has half a line
    assert whole == at_once
    monkeypatch.setattr(streamseg.Segmenter, "logits", lambda *_: pytest.fail("labelled again"))
    assert "(0 labelled now, 3 before)" in label(street, "--every", 4).out


def test_another_threshold_or_model_in_the_folder_is_refused(
    call: Call, label: Call, model: Path, street: Path, tmp_path: Path
) -> None:
    assert label(street, "--limit", 1, "--quiet").status == 0
    before = contents(tmp_path / "auto")
    line = label(street, "--threshold", 0.5).line()
    assert (
        "was labelled otherwise: expected threshold 0.9 to go on, got 0.5; choose another" in line
    )
    other = write_model(tmp_path / "other.safetensors", auxiliary=True)
    words = ("--model", other, "--out", tmp_path / "auto", *FAST)
    assert "expected weights " in call("autolabel", street, *words).line()
    assert contents(tmp_path / "auto") == before


def test_images_keep_their_names_and_pixels(label: Call, tmp_path: Path) -> None:
    write_camvid(tmp_path, "val", [street_sample(i) for i in range(3)], drives=("a", "b"))
    assert label(tmp_path / "val", "--quiet").status == 0
    dataset = open_dataset(tmp_path / "auto", "train")
    assert dataset.drives == ("a", "b")
    for index, (image, _) in enumerate(dataset.pairs):
        expected = cv2.imread(str(tmp_path / "val" / image.name))
        assert expected is not None
        assert (dataset.load(index)[0] == expected).all()


def test_a_folder_of_videos_is_labelled_video_by_video(
    label: Call, street: Path, tmp_path: Path
) -> None:
    drives = tmp_path / "drives"
    drives.mkdir()
    for name in ("a_b.mp4", "c.mp4"):
        shutil.copy(street, drives / name)
    assert label(drives, "--limit", 1, "--start", 0.2, "--quiet").status == 0
    names = [image.name for image, _ in open_dataset(tmp_path / "auto", "train").pairs]
    assert names == ["a-b_00000200.png", "c_00000200.png"]
    (drives / "c.mkv").write_bytes((drives / "c.mp4").read_bytes() + b"\0")
    line = label(drives, "--limit", 1, "--start", 0.2, "--quiet").line()
    assert "expected different names, got frame c_00000200 of c.mp4 (" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threshold", "1"], "threshold from 0 to below 1, got 1.0"),
        (["--every", "0"], "every >= 1"),
        (["--limit", "0"], "limit of at least 1 frame"),
        (["--start", "3", "--end", "2"], "0 <= start < end"),
        (["--keyframe", "fixed:4"], "--keyframe off"),
    ],
)
def test_nonsense_is_one_line(
    label: Call, street: Path, words: list[str], said: str, tmp_path: Path
) -> None:
    assert said in label(street, *words).line()
    assert not (tmp_path / "auto" / "train").exists() or not list(
        (tmp_path / "auto" / "train").iterdir()
    )


def test_what_is_no_file_is_one_line(label: Call, tmp_path: Path) -> None:
    for source in ("-", "0", "rtsp://192.0.2.7/x"):
        assert f"a video file or a folder to label, got {source}" in label(source).line()
    assert "there is none" in label(tmp_path / "nowhere.mp4").line()
    (tmp_path / "empty").mkdir()
    assert "expected images" in label(tmp_path / "empty").line()


def test_a_folder_of_something_else_is_left_alone(
    label: Call, street: Path, tmp_path: Path
) -> None:
    (tmp_path / "auto").mkdir()
    (tmp_path / "auto" / "mine.txt").write_text("mine")
    assert "expected an empty folder or auto-labelled frames" in label(street).line()
    assert [path.name for path in (tmp_path / "auto").iterdir()] == ["mine.txt"]


def test_eval_draws_precision_and_coverage(call: Call, model: Path, tmp_path: Path) -> None:
    write_camvid(tmp_path, "val", [street_sample(i) for i in range(2)])
    files = ("--json", tmp_path / "c.json", "--plot", tmp_path / "c.png")
    words = ("eval", "--data", tmp_path, "--model", model, *FAST)
    outcome = call(*words, "--thresholds", *files)
    assert outcome.status == 0, outcome.err
    found = json.loads((tmp_path / "c.json").read_text())
    scores = tmp_path / "scores.json"
    assert call(*words, "--json", scores).status == 0
    # Kept without a threshold, all pixels: what is right of them is pixel accuracy.
    accuracy = json.loads(scores.read_text())["pixel_accuracy"]
    assert found["overall"]["coverage"][0] == 1
    assert found["overall"]["precision"][0] == pytest.approx(accuracy)
    assert (found["precision"], found["frames"], found["split"]) == ("fp32", 2, "val")
    assert cv2.imread(str(tmp_path / "c.png")) is not None
    assert "threshold  coverage  precision" in outcome.out
    assert "expected --thresholds with --plot" in call(*words, "--plot", "x.png").line()
    assert "--thresholds or --video" in call(*words, "--thresholds", "--video").line()
