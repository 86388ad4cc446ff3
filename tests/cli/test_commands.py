"""The other commands, each called as a user would."""

import argparse
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from benchmark.results import RESULT
from command_line import SMALL, Outcome

import streamseg
from streamseg.benchmark.plan import QUICK, Plan
from streamseg.cli import COMMANDS, bench
from streamseg.evaluation.labelled_video import encode_images
from streamseg.page import Page
from streamseg.sample import write_sample
from streamseg.training.recipe import Recipe
from streamseg.training.recipes import find_recipe

Call = Callable[..., Outcome]
FAST = SMALL.split()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_every_command_has_an_example(call: Call, name: str) -> None:
    outcome = call(name, "--help")
    assert outcome.status == 0
    assert f"\n  streamseg {name}" in outcome.out


def test_help_names_every_command(call: Call) -> None:
    outcome = call("--help")
    assert outcome.status == 0
    assert all(f"\n  {name} " in outcome.out for name in COMMANDS)


def test_version(call: Call) -> None:
    assert call("--version").out == f"streamseg {streamseg.__version__}\n"


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from streamseg.cli import main; main(['run', '--help']);"
        "print(sorted({'torch', 'openvino', 'numba', 'cv2', 'av', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stderr.strip() == "[]"


def test_models_lists_and_shows_the_card(call: Call) -> None:
    assert "icnet-camvid" in call("models").out
    card = json.loads(call("models", "icnet-camvid").out)
    assert card["architecture"] == "icnet"
    assert card["notes"]["trained_on"].startswith("camvid train")
    assert "unknown model" in call("models", "nothing").line()


def test_doctor_says_what_auto_picks(call: Call) -> None:
    outcome = call("doctor", "--json", "-")
    findings = json.loads(outcome.out)
    assert findings["auto picks"].split()[0] in ("openvino", "torch")
    assert "h264" in findings["decoders"]
    assert findings["streamseg"] == streamseg.__version__
    assert "auto picks" in call("doctor").out


def test_sample_writes_clip_and_labels(call: Call, tmp_path: Path) -> None:
    out, labels = tmp_path / "s.mp4", tmp_path / "labels"
    outcome = call(
        "sample", out, "--seconds", "0.2", "--size", "96x128", "--fps", "10", "--labels", labels
    )
    assert outcome.status == 0, outcome.err
    assert "2 frames" in outcome.out
    assert len(list(labels.glob("*.png"))) == 2
    assert "expected --size" in call("sample", out, "--size", "0x0").line()
    assert "expected --fps" in call("sample", out, "--fps", "fast").line()


@pytest.fixture(scope="module")
def tiny_camvid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered frames in CamVid's layout: 6 to train on, 2 to score."""
    root = tmp_path_factory.mktemp("tiny_camvid")
    frames = list(streamseg.render_street(seconds=0.8, size=(96, 128), fps=10, seed=5))
    for split, chosen in (("train", frames[:6]), ("val", frames[6:])):
        (root / split).mkdir()
        (root / f"{split}annot").mkdir()
        for index, frame in enumerate(chosen):
            cv2.imwrite(str(root / split / f"{index}.png"), frame.image)
            cv2.imwrite(str(root / f"{split}annot" / f"{index}.png"), frame.labels)
    return root


def test_eval_writes_the_contracts_keys(call: Call, tiny_camvid: Path, tmp_path: Path) -> None:
    file = tmp_path / "e.json"
    outcome = call("eval", "--data", tiny_camvid, "--split", "val", "--json", file, *FAST)
    assert outcome.status == 0, outcome.err
    scores = json.loads(file.read_text())
    assert scores["dataset"] == "camvid"
    assert scores["split"] == "val"
    assert scores["frames"] == 2
    assert scores["size"] == [97, 129]
    assert 0 < scores["miou"] < 1
    assert scores["pixel_accuracy"] <= 1
    names = streamseg.load(size=(97, 129)).labels.class_names
    for scored in ("iou", "class_accuracy", "class_boundary_f1"):
        assert tuple(scores[scored]) == names
    assert 0 < scores["boundary_f1"] < 1
    accuracy = [value for value in scores["class_accuracy"].values() if value is not None]
    assert scores["mean_class_accuracy"] == pytest.approx(sum(accuracy) / len(accuracy))
    assert scores["boundary_tolerance"] == 0.0075
    assert f"boundary F1 {scores['boundary_f1']:.4f} within 0.75% of the diagonal" in outcome.out
    assert f"mIoU {scores['miou']:.4f}" in outcome.out


def test_eval_of_a_missing_split_or_folder_is_one_line(call: Call, tiny_camvid: Path) -> None:
    assert "test" in call("eval", "--data", tiny_camvid, "--split", "test", *FAST).line()
    assert "there is none" in call("eval", "--data", tiny_camvid / "nowhere", *FAST).line()


def test_eval_of_a_video_scores_every_distance(
    call: Call, tiny_camvid: Path, tmp_path: Path
) -> None:
    file = tmp_path / "e.json"
    asked = ["--data", tiny_camvid, "--video", "--keyframe", "fixed:2", "--motion", "flow"]
    outcome = call("eval", *asked, "--json", file, *FAST)
    assert outcome.status == 0, outcome.err
    scores = json.loads(file.read_text())
    assert scores["video"] == {
        "frames": 2, "scored": 1, "runs": 2, "recipe": "camera", "rate": 15.0,
    }  # fmt: skip
    assert (scores["keyframe"], scores["motion"]) == ("fixed:2", "flow")
    assert list(scores["miou_by_distance"]) == ["0", "1"]
    assert f"mIoU at distance 1      {scores['miou_by_distance']['1']:.4f}" in outcome.out
    assert f"minimum {scores['miou_minimum']:.4f}" in outcome.out
    assert "50.0% segmentation keyframes, temporal consistency none, VC8 none" in outcome.out


def test_eval_of_a_given_video_takes_the_splits_truth(
    call: Call, tiny_camvid: Path, street: Path, tmp_path: Path
) -> None:
    file = tmp_path / "val.mp4"
    images = [cv2.imread(str(path)) for path in sorted((tiny_camvid / "val").glob("*.png"))]
    encode_images(images, file, recipe="default")
    asked = ["eval", "--data", tiny_camvid, "--video"]
    scores = json.loads(call(*asked, file, "--json", "-", "--quiet", *FAST).out)
    assert scores["frames"] == 2
    assert scores["video"]["recipe"] is None
    assert scores["keyframe_share"] == 1
    assert "expected 2 frames in street.mp4" in call(*asked, street, *FAST).line()
    assert "expected a video file" in call(*asked, tmp_path / "no.mp4", *FAST).line()


def test_eval_of_images_has_no_features_to_reuse(call: Call, tiny_camvid: Path) -> None:
    outcome = call("eval", "--data", tiny_camvid, "--keyframe", "fixed:4", *FAST)
    assert "expected --video with --keyframe fixed:4" in outcome.line()


def test_train_takes_a_width(
    call: Call, tiny_camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes: list[Recipe] = []
    monkeypatch.setattr(
        "streamseg.training.trainer.train", lambda recipe, *rest, **options: recipes.append(recipe)
    )
    asked = ["train", "icnet-camvid", "--data", tiny_camvid, "--out", tmp_path, "--epochs", 9]
    assert call(*asked).status == 0
    assert call(*asked, "--width", "0.25").status == 0
    assert recipes == [
        find_recipe("icnet-camvid", epochs=9),
        find_recipe("icnet-camvid", epochs=9, width=0.25),
    ]


@pytest.mark.slow
def test_bench_measures_whole_videos_side_by_side(call: Call, street: Path, tmp_path: Path) -> None:
    file, table, chart = (tmp_path / name for name in ("b.json", "b.md", "b.png"))
    asked = ["--only", "end_to_end,paint", "--sizes", "64x96", "--frames", "3", "--quick"]
    outcome = call("bench", street, *asked, "--json", file, "--markdown", table, "--chart", chart)
    assert outcome.status == 0, outcome.err
    result = json.loads(file.read_text())
    assert result["command"] == f"streamseg bench street.mp4 {' '.join(asked)}"
    (found,) = result["end_to_end"]
    sizes = [program["network_size"] for program in found["programs"] if program["kind"] == "loop"]
    assert sizes[0] == [64, 96]
    assert all(program["frames_per_second"] > 0 for program in found["programs"])
    assert "| 64x96 | streamseg run --size native | 65x97 |" in outcome.out
    assert table.read_text() == outcome.out
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert result["paint"]["size"] == [64, 96]
    assert result["network"] == []


def test_bench_without_matplotlib_says_so(
    call: Call, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamseg.benchmark.run.benchmark", lambda *asked, **rest: RESULT)
    monkeypatch.setattr("streamseg.cli.bench.find_spec", lambda name: None)
    chart = tmp_path / "c.png"
    outcome = call("bench", street, "--chart", chart, "--json", "-")
    assert outcome.status == 0
    assert not chart.exists()
    assert json.loads(outcome.out)["skipped"][-1]["what"] == "chart"
    assert "note: skipped chart: the package matplotlib is not installed" in outcome.err


def test_bench_is_asked_by_flags() -> None:
    def plan(words: str) -> Plan:
        parser = argparse.ArgumentParser()
        bench.add_arguments(parser)
        return bench.plan_of(parser.parse_args(words.split()))

    assert plan("") == Plan()
    assert plan("--quick --rounds 3") == replace(QUICK, rounds=3)
    assert plan("--sizes 64x96,128x64 --only paint,latest --frames 7 --baseline-frames 3") == Plan(
        sizes=((64, 96), (128, 64)), sections=("paint", "latest"), frames=7, baseline_frames=3
    )


def test_bench_and_eval_of_nonsense_are_one_line(
    call: Call, tiny_camvid: Path, tmp_path: Path
) -> None:
    missing = call("bench", tmp_path / "no.mp4")
    assert missing.status == 1
    assert "expected a video file" in missing.err.splitlines()[-1]
    assert "frames of at least 2" in call("bench", "no.mp4", "--frames", "0").line()
    assert "expected sections from" in call("bench", "no.mp4", "--only", "speed").line()
    assert "expected --sizes HxW" in call("bench", "no.mp4", "--sizes", "big").line()
    assert "cannot write" in call("bench", "no.mp4", "--chart", tmp_path / "no" / "c.png").line()
    only = call("bench", "no.mp4", "--only", "paint", "--chart", tmp_path / "c.png")
    assert "expected end_to_end in --only" in only.line()
    assert "at least 1 image" in call("eval", "--data", tiny_camvid, "--limit", "-1", *FAST).line()


def test_batch_segments_a_folder_and_skips_finished_videos(
    call: Call, street: Path, tmp_path: Path
) -> None:
    drives, out = tmp_path / "drives", tmp_path / "out"
    drives.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (drives / name).write_bytes(street.read_bytes())
    (drives / "notes.txt").write_text("not a video")
    (drives / "broken.mp4").write_text("not a video either")
    first = call("batch", drives, "--out", out, *FAST)
    assert first.status == 1
    assert "broken.mp4" in first.err
    assert "1 of 3 videos failed" in first.err
    assert json.loads((out / "a.json").read_text())["frames"]["written"] == 12
    assert (out / "b_overlay.mp4").exists()
    assert (out / "b_labels.mkv").exists()
    before = (out / "a_overlay.mp4").stat().st_mtime_ns
    (drives / "broken.mp4").unlink()
    second = call("batch", drives, "--out", out, *FAST)
    assert second.status == 0
    assert second.out.count("finished before, skipped") == 2
    assert (out / "a_overlay.mp4").stat().st_mtime_ns == before


def test_loop_prints_age_and_shares_and_never_waits_past_its_timeout(
    call: Call, street: Path, tmp_path: Path
) -> None:
    report = tmp_path / "r.json"
    started = time.monotonic()
    outcome = call("loop", street, "--rate", "100", "--timeout-ms", "2", "--report", report, *FAST)
    assert outcome.status == 0, outcome.err
    assert "ms old" in outcome.out
    assert " %" in outcome.out
    assert time.monotonic() - started < 60
    assert json.loads(report.read_text())["frames"]["decoded"] == 12


def test_live_of_a_missing_file_is_one_line(call: Call, tmp_path: Path) -> None:
    assert "expected a video file" in call("live", tmp_path / "no.mp4", "--page", *FAST).line()


def test_live_page_shows_a_file_played_in_real_time(tmp_path: Path) -> None:
    """The page, its pictures and its numbers, fetched as a browser does; SIGINT ends it."""
    clip = tmp_path / "long.mp4"
    write_sample(clip, seconds=30, size=(64, 96), fps=10, seed=0)
    command = [sys.executable, "-m", "streamseg", "live", str(clip), "--page", "--port", "0"]
    child = subprocess.Popen(
        [*command, *FAST], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stderr is not None
        words = child.stderr.readline().split()
        assert words[:1] == ["open"], words
        url = words[1]
        assert url.startswith("http://127.0.0.1:")
        assert b"stream.mjpg" in urllib.request.urlopen(url).read()
        with urllib.request.urlopen(url + "stream.mjpg") as stream:
            head = stream.read(200)
        assert b"Content-Type: image/jpeg" in head
        assert b"\xff\xd8" in head
        report = json.load(urllib.request.urlopen(url + "report.json"))
        assert report["frames"]["written"] > 0
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url + "secret")
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 130, err


def test_page_on_a_taken_port_says_so() -> None:
    with (
        Page(dict, port=0) as first,
        pytest.raises(streamseg.SinkError, match=r"cannot listen on 127\.0\.0\.1"),
    ):
        Page(dict, port=int(first.url.rsplit(":", 1)[1].rstrip("/")))
