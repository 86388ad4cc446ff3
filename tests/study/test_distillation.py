"""The study of distillation: students differ by what the teacher adds, and by nothing else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
from camvid_writer import street, write_camvid
from model_files import write_model
from proposal_models import write_deconvnet

from streamseg.datasets import open_dataset
from streamseg.errors import ModelError
from streamseg.models.find import find_model
from streamseg.study import session as session_module
from streamseg.study.distillation import beside, run, steps
from streamseg.study.distilled import STUDENTS, TEACHER
from streamseg.study.held_out import hold_out
from streamseg.study.records import Network
from streamseg.study.session import StudySession
from streamseg.study.studies import run_study
from streamseg.study.unlabelled import Unlabelled
from streamseg.training.losses import Distillation
from streamseg.training.recipes import find_recipe


def test_extra_images_stand_beside_as_many_real_ones() -> None:
    recipe = find_recipe("icnet-camvid")
    for share, more in ((0.5, [12, 6, 6]), (0.25, [4, 2, 2]), (0.4, [8, 4, 4])):
        mixed = beside(recipe, share)
        assert [stage.num_extra for stage in mixed.stages] == more
        real = [stage.batch - stage.num_extra for stage in mixed.stages]
        assert real == [stage.batch for stage in recipe.stages]
        assert steps(mixed, 367) == steps(recipe, 367) == 74 * 30 + 47 * 61
    with pytest.raises(ValueError, match=r"at least one image beside a batch of 6, got 0\.05"):
        beside(recipe, 0.05)
    with pytest.raises(ModelError, match="expected a recipe without extra images"):
        beside(mixed, 0.5)


@pytest.fixture
def by_drive(session: StudySession, tmp_path: Path) -> StudySession:
    """Two images of drive A to train on, two of drive B to score; a teacher of random weights."""
    write_camvid(tmp_path / "drives", "train", [street(i) for i in range(4)], drives=("A", "B"))
    session.dataset, session.validation = hold_out(open_dataset(tmp_path / "drives", "train"), "B")
    session.held_out = "B"
    session.model = write_model(tmp_path / "teacher.safetensors")
    session.unlabelled = Unlabelled(threshold=0.3)
    return session


@pytest.mark.slow
def test_students_are_trained_alike_but_for_what_the_teacher_adds(
    by_drive: StudySession, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_study("distillation", by_drive, "streamseg study distillation")
    *rows, labelled = result.rows
    assert [row.name for row in rows] == [*STUDENTS, TEACHER]
    alone = rows[0]
    assert alone.gain is None and {row.score.images for row in rows} == {2}
    for row in rows[1:]:
        assert row.gain == pytest.approx(row.score.miou - alone.score.miou)
    assert [row.steps for row in rows] == [1, 1, 1, 1, None]
    assert [row.frames for row in rows] == [0, 2, 0, 2, 0]
    assert [row.kept for row in rows] == [None, labelled.coverage, None, labelled.coverage, None]
    assert (labelled.frames, labelled.scored, labelled.checked) == (2, 2, 2)

    teacher, *students = result.networks
    assert teacher.given and teacher.name == "tiny"
    plans = {one.name: one.recipe for one in students}
    assert list(plans) == ["icnet", "icnet-auto", "icnet-soft", "icnet-auto-soft"]
    assert ["extra=" in plan for plan in plans.values()] == [False, True, False, True]
    assert ["teacher='" in plan for plan in plans.values()] == [False, False, True, True]
    assert str(by_drive.model) not in "".join(plans.values())  # by its digest
    assert "2 auto-labelled frames by tiny at threshold 0.3 mixed in" in students[1].trained_on
    notes = [
        find_model(path).card.notes
        for path in sorted(by_drive.out.glob("networks/*/*.safetensors"))
    ]
    assert sum(note.get("teacher") == "tiny" for note in notes) == 2
    assert all("without B" in note["trained_on"] for note in notes)

    check_what_is_written(by_drive)
    monkeypatch.setattr(session_module, "train", None)
    assert run_study("distillation", by_drive, "again").rows == result.rows


def check_what_is_written(session: StudySession) -> None:
    text = (session.out / "distillation.md").read_text()
    assert "**tiny may have seen the drive B, which is scored here**" in text
    assert "**The teacher may have seen the drive B, which is scored here**" in text
    assert "What it has seen it teaches: the gains of its students are in doubt" in text
    assert "**Transductive: 2 of these frames are scored here" in text
    assert "No drive was held out" not in text
    assert "| paper: gain |" in text and "Tao" in text
    assert cv2.imread(str(session.out / "distillation.png")) is not None
    written = json.loads((session.out / "distillation.json").read_text())
    assert len(written["rows"]) == 6 and len(written["warnings"]) == 1
    assert {one["name"] for one in written["rows"][-1]["classes"]} >= {"pole", "car"}


@pytest.mark.slow
def test_another_teacher_at_the_same_place_is_another_plan(
    by_drive: StudySession, tmp_path: Path
) -> None:
    recipe = by_drive.recipe("icnet-camvid")
    taught = replace(recipe, distillation=Distillation(teacher=str(by_drive.model)))
    by_drive.network("icnet-soft", taught)
    write_model(Path(str(by_drive.model)), "icnet", auxiliary=True)
    with pytest.raises(ModelError, match=r"of another plan; expected .*teacher="):
        by_drive.network("icnet-soft", taught)


class Asked(Exception):
    """What `session.network` was asked for, in place of a training."""


def test_without_a_model_the_teacher_is_trained_on_the_same_images(
    session: StudySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def network(self: StudySession, name: str, recipe: Any, **how: Any) -> Network:
        raise Asked(name, recipe.architecture, recipe.width, how)

    monkeypatch.setattr(StudySession, "network", network)
    session.start = write_model(tmp_path / "start.safetensors")  # of students; it is no HRNet
    begun = {"from_start": False}
    with pytest.raises(Asked) as asked:
        run(session)
    assert asked.value.args == ("hrnet-ocr-ms-camvid", "hrnet-ocr-ms", 18 / 48, begun)
    session.schedule = replace(session.schedule, teacher_width=1 / 8)
    with pytest.raises(Asked) as asked:
        run(session)
    assert asked.value.args == ("hrnet-ocr-ms-camvid-0.125", "hrnet-ocr-ms", 1 / 8, begun)


def test_a_teacher_of_single_objects_is_refused(session: StudySession, tmp_path: Path) -> None:
    session.model = write_deconvnet(tmp_path / "deconvnet.safetensors")
    with pytest.raises(ModelError, match="a teacher that looks at whole pictures"):
        run(session)
