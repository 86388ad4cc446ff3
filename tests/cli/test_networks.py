"""Other networks than the shipped one: PSPNet50, HRNet, ICNet with deconvolutions or stopped early."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from camvid_writer import street as street_sample
from camvid_writer import write_camvid
from command_line import SMALL, Outcome
from model_files import write_model

import streamseg
from streamseg.cli import bench

Call = Callable[..., Outcome]
FAST = SMALL.split()


@pytest.fixture(scope="module")
def icnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With its auxiliary heads."""
    return write_model(tmp_path_factory.mktemp("icnet") / "mine.safetensors", auxiliary=True)


@pytest.fixture(scope="module")
def headless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("headless") / "tiny.safetensors")


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_a_video_is_segmented_by_pspnet50(
    call: Call, street: Path, tmp_path: Path, backend: str
) -> None:
    model = write_model(tmp_path / "psp.safetensors", "pspnet50", auxiliary=True)
    out, report = tmp_path / "out.mp4", tmp_path / "report.json"
    asked = ["--model", model, "--backend", backend, "--save", "overlay,labels", *FAST]
    outcome = call("run", street, "-o", out, "--report", report, *asked)
    assert outcome.status == 0, outcome.err
    written = json.loads(report.read_text())
    assert (written["frames"]["written"], written["backend"]) == (12, backend)
    assert written["size"] == [97, 129]
    labels = list(streamseg.read_labels(tmp_path / "out_labels.mkv"))
    assert [label.shape for label in labels] == [(96, 128)] * 12
    keyframes = call("run", street, "-o", out, "-y", "--keyframe", "fixed:2", *asked).line()
    assert "needs a network in two parts" in keyframes


def test_a_video_is_segmented_and_reused_by_icnet_with_deconvolutions(
    call: Call, street: Path, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "deconv.safetensors", "icnet-deconv5", auxiliary=True)
    for number, keyframe in enumerate(("off", "fixed:2")):
        report = tmp_path / f"{number}.json"
        asked = [
            "-o",
            tmp_path / f"{number}.mp4",
            "--keyframe",
            keyframe,
            "--report",
            report,
            *FAST,
        ]
        outcome = call("run", street, "--model", model, *asked)
        assert outcome.status == 0, outcome.err
        written = json.loads(report.read_text())
        assert written["frames"]["written"] == 12
        assert written["segmentation_keyframes"] == (12, 6)[number]
    data = tmp_path / "data"
    write_camvid(data, "val", [street_sample(1, 96, 128)])
    asked = ["--data", data, "--model", model, "--branch", "sub24", "--json", "-", "--quiet", *FAST]
    assert json.loads(call("eval", *asked).out)["model"] == "tiny-sub24"
    assert "icnet-deconv5" in call("models").out


def test_a_video_is_segmented_at_several_scales(call: Call, street: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "teacher.safetensors", "hrnet-ocr-ms", auxiliary=True)
    out, report = tmp_path / "out.mp4", tmp_path / "report.json"
    asked = ["--model", model, "--backend", "torch", "--save", "overlay,labels", *FAST]
    outcome = call("run", street, "-o", out, "--report", report, "--limit", 3, *asked)
    assert outcome.status == 0, outcome.err
    written = json.loads(report.read_text())
    assert (written["frames"]["written"], written["fallbacks"]) == (3, [])
    first = list(streamseg.read_labels(tmp_path / "out_labels.mkv"))
    assert [label.shape for label in first] == [(96, 128)] * 3
    again = ["run", street, "-o", out, "-y", "--report", report, "--limit", 3, *asked]
    assert call(*again, "--scales", "0.5,1,2,flip").status == 0
    assert json.loads(report.read_text())["model"] == "tiny at attention:0.5,1,2,flip"
    second = list(streamseg.read_labels(tmp_path / "out_labels.mkv"))
    assert any((one != other).any() for one, other in zip(first, second, strict=True))
    assert "expected up to 8 different scales" in call(*again, "--scales", "0.5,2").line()


def test_scales_are_scored_apart(call: Call, tmp_path: Path) -> None:
    model = write_model(tmp_path / "mine.safetensors", "icnet-ms", auxiliary=True)
    data, rng = tmp_path / "data", np.random.default_rng(0)
    # Labels of all classes: what random weights choose is right now and then.
    pictures = [street_sample(seed, 96, 128)[0] for seed in (1, 2)]
    labels = [rng.integers(0, 11, (96, 128)).astype(np.uint8) for _ in pictures]
    write_camvid(data, "val", list(zip(pictures, labels, strict=True)))
    asked = ["eval", "--data", data, "--model", model, "--json", "-", "--quiet", *FAST]
    scores = {
        scales: json.loads(call(*asked, "--backend", "torch", "--scales", scales).out)
        for scales in ("1", "0.5,1", "average:0.5,1")
    }
    assert scores["1"]["model"] == "tiny at attention:1"
    assert len({one["pixel_accuracy"] for one in scores.values()}) == 3


@pytest.mark.parametrize("branch", ["sub4", "sub24", "sub124"])
def test_a_video_is_segmented_by_a_branch(
    call: Call, street: Path, icnet: Path, tmp_path: Path, branch: str
) -> None:
    out, report = tmp_path / "out.mp4", tmp_path / "report.json"
    asked = ["--model", icnet, "--branch", branch, *FAST]
    outcome = call("run", street, "-o", out, "--report", report, *asked)
    assert outcome.status == 0, outcome.err
    written = json.loads(report.read_text())
    assert written["frames"]["written"] == 12
    assert written["model"] == ("tiny" if branch == "sub124" else f"tiny-{branch}")


def test_branches_of_one_file_are_scored_apart(call: Call, icnet: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_camvid(data, "val", [street_sample(seed, 96, 128) for seed in (1, 2)])
    asked = ["eval", "--data", data, "--model", icnet, "--json", "-", "--quiet", *FAST]
    scores = {
        branch: json.loads(call(*asked, "--branch", branch).out)
        for branch in ("sub4", "sub24", "sub124")
    }
    assert [one["model"] for one in scores.values()] == ["tiny-sub4", "tiny-sub24", "tiny"]
    assert len({one["pixel_accuracy"] for one in scores.values()}) == 3
    assert scores["sub124"]["miou"] == json.loads(call(*asked).out)["miou"]


def test_a_branch_that_cannot_be_is_one_line_and_no_file(
    call: Call, street: Path, icnet: Path, headless: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    asked = ["run", street, "-o", out, *FAST, "--branch"]
    missing = call(*asked, "sub4", "--model", headless).line()
    assert "expected the auxiliary head aux_sub4 in" in missing
    assert "known: sub4, sub24, sub124" in call(*asked, "sub1", "--model", icnet).line()
    keyframe = call(*asked, "sub24", "--model", icnet, "--keyframe", "fixed:2").line()
    assert "tiny-sub24 runs as a whole" in keyframe
    assert not out.exists()


def test_bench_names_its_branch_in_its_command(call: Call, street: Path, headless: Path) -> None:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    words = ["a.mp4", "--model", "x/mine.safetensors", "--branch", "sub4", "--only", "paint"]
    command = bench.command_of(parser.parse_args(words))
    assert command == "streamseg bench a.mp4 --model mine.safetensors --branch sub4 --only paint"
    # Were it not refused, painting alone would be over in seconds; everything takes minutes.
    asked = ["bench", street, "--model", headless, "--branch", "sub24", "--only", "paint"]
    assert "auxiliary head aux_sub24" in call(*asked).line()
