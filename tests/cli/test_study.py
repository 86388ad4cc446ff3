"""`streamseg study` as a user calls it, with studies that measure nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from camvid_writer import street, write_camvid
from command_line import Outcome
from model_files import write_model

from streamseg.study import cascade, distillation
from streamseg.study.records import Findings, Table
from streamseg.study.schedule import FULL, QUICK
from streamseg.study.session import StudySession
from streamseg.training.precision import in_bf16

Call = Callable[..., Outcome]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[StudySession]:
    """The sessions that cascade was run with, in a folder of its own."""
    sessions: list[StudySession] = []

    def run(session: StudySession) -> Findings:
        sessions.append(session)
        session.progress("training nothing", 0.5, 1)
        if session.model is not None:
            session.icnet()
        table = Table(text="**Nothing.**", head=("", "mIoU"), rows=(("a", "1"),))
        return Findings(tables=(table,), networks=(), rows=())

    monkeypatch.setattr(cascade, "run", run)
    monkeypatch.chdir(tmp_path)
    return sessions


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    write_camvid(root, "train", [street(i) for i in range(2)])
    write_camvid(root, "val", [street(7)])
    return root


def test_a_study_prints_its_table_and_writes_its_files(
    call: Call, seen: list[StudySession], data: Path
) -> None:
    outcome = call("study", "cascade", "--data", data, "--json", "copy.json")
    assert outcome.status == 0, outcome.err
    assert outcome.out == Path("runs/study/cascade.md").read_text()
    assert json.loads(Path("copy.json").read_text())["command"] == "streamseg study cascade"
    assert Path("copy.json").read_text() == Path("runs/study/cascade.json").read_text()
    assert (seen[0].schedule, seen[0].seed, seen[0].bf16) == (FULL, 0, in_bf16("auto", "cpu"))


def test_flags_reach_the_study(call: Call, seen: list[StudySession], data: Path) -> None:
    words = ("--quick", "--epochs", 5, "--seed", 3, "--precision", "fp32", "--quiet")
    outcome = call("study", "cascade", "--data", data, "--out", "x", *words)
    assert (outcome.status, outcome.out) == (0, "")
    session = seen[0]
    assert (session.schedule, session.epochs, session.seed, session.bf16) == (QUICK, 5, 3, False)
    command = json.loads(Path("x/cascade.json").read_text())["command"]
    assert command == "streamseg study cascade --quick --epochs 5 --seed 3 --precision fp32"


def test_the_reduced_schedule_has_a_folder_of_its_own(
    call: Call, seen: list[StudySession], data: Path
) -> None:
    assert call("study", "cascade", "--data", data, "--quick").status == 0
    assert Path("runs/study-quick/cascade.md").exists()


def test_a_drive_held_out_is_scored_and_not_trained_on(
    call: Call, seen: list[StudySession], tmp_path: Path
) -> None:
    write_camvid(tmp_path / "drives", "train", [street(i) for i in range(4)], drives=("A", "B"))
    model = write_model(tmp_path / "heads.safetensors", auxiliary=True)
    words = ("--data", "drives", "--hold-out", "B")  # which has no validation split
    outcome = call("study", "cascade", *words, "--model", model)
    assert outcome.status == 0, outcome.err
    (session,) = seen
    assert (session.dataset.drives, session.validation.drives) == (("A",), ("B",))
    assert session.held_out == "B"
    result = json.loads(Path("runs/study-without-B/cascade.json").read_text())
    assert result["command"].endswith("--model heads.safetensors --hold-out B")
    assert result["warnings"] == []  # the study's own findings name no network
    assert "unknown drive 'C'" in call("study", "cascade", *words[:2], "--hold-out", "C").line()


def test_flags_of_unlabelled_frames_reach_distillation(
    call: Call, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[StudySession] = []

    def run(session: StudySession) -> Findings:
        seen.append(session)
        return Findings(tables=(), networks=(), rows=())

    monkeypatch.setattr(distillation, "run", run)
    monkeypatch.chdir(tmp_path)
    folder = data / "val"
    flags = ("--threshold", 0.8, "--every", 2, "--also-share", 0.25, "--recipe", "icnet-ms-camvid")
    outcome = call("study", "distillation", "--data", data, "--also", folder, *flags)
    assert outcome.status == 0, outcome.err
    asked = seen[0].unlabelled
    assert (asked.sources, asked.threshold, asked.every, asked.share) == (
        (str(folder),),
        0.8,
        2,
        0.25,
    )
    assert [(one.split, len(one)) for one in asked.truth] == [("train", 2), ("val", 1)]
    assert seen[0].recipe_name == "icnet-ms-camvid"
    command = json.loads(Path("runs/study/distillation.json").read_text())["command"]
    assert command == (
        "streamseg study distillation --recipe icnet-ms-camvid --also val --also-share 0.25 "
        "--threshold 0.8 --every 2"
    )
    assert call("study", "distillation", "--data", data).status == 0
    default = seen[1].unlabelled
    assert (default.sources, default.threshold, default.every, default.share) == ((), 0.9, 1, 0.5)
    wrong = call("study", "distillation", "--data", data, "--also-share", 1).line()
    assert "expected a share of each batch between 0 and 1, got 1.0" in wrong


def test_help_lists_every_study(call: Call) -> None:
    text = call("study", "--help").out
    for name in (
        "cascade",
        "region-size",
        "diff-maps",
        "compression",
        "downsampling",
        "distillation",
    ):
        assert f"\n    {name} " in text
    assert "streamseg study cascade --quick" in text


def test_an_unknown_study_is_usage(call: Call) -> None:
    outcome = call("study", "nothing")
    assert outcome.status == 2
    assert "choose from" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--epochs", 0), "expected --epochs of at least 1, got 0"),
        (("--width", 0.5), "--width is of the study downsampling, got it with cascade"),
        (("--tuning-epochs", 2), "--tuning-epochs is of the study compression"),
        (("--recipe", "x"), "--recipe is of the studies attention and distillation, got it with"),
        (("--every", 2), "--every is of the study distillation, got it with cascade; drop it"),
        (("--data", "no"), "expected a data set folder at no"),
        (("--device", "tpu"), "unknown device 'tpu'"),
        (("--model", "no.safetensors"), "expected a model file at no.safetensors"),
    ],
)
def test_what_has_no_meaning_is_one_line(
    call: Call, seen: list[StudySession], data: Path, words: tuple[object, ...], said: str
) -> None:
    assert said in call("study", "cascade", "--data", data, *words).line()


def test_weights_without_heads_are_one_line(
    call: Call, seen: list[StudySession], data: Path, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "tiny.safetensors")
    line = call("study", "cascade", "--data", data, "--model", model).line()
    assert "expected the auxiliary head aux_sub4" in line
