"""What the study of distillation says of its numbers."""

from dataclasses import replace
from pathlib import Path

import cv2

from streamseg.study.auto_labels import AutoLabelled, LabelledClass
from streamseg.study.distillation_table import draw, tables
from streamseg.study.distilled import ALONE, AUTO, BOTH, SOFT, TEACHER, Distilled
from streamseg.study.records import Score
from streamseg.study.session import StudySession

NAMES = ("road", "pole", "car")


def score(*iou: float | None) -> Score:
    known = [value for value in iou if value is not None]
    return Score(
        images=2, network_size=(65, 97), backend="torch", precision="fp32",
        miou=sum(known) / len(known), pixel_accuracy=0.9, iou=dict(zip(NAMES, iou, strict=True)),
    )  # fmt: skip


def row(name: str, gain: float | None, score: Score, **how: float | None) -> Distilled:
    values = {"steps": 10, "frames": 0, "kept": None, "seconds": 60.0, **how}
    return Distilled(name=name, network=name, score=score, gain=gain, **values)  # type: ignore[arg-type]


ROWS = (
    row(ALONE, None, score(0.9, 0.1, 0.5)),
    row(AUTO, 0.02, score(0.9, 0.08, 0.58), frames=5, kept=0.75),
    row(SOFT, 0.01, score(0.9, 0.1, 0.53)),
    row(BOTH, -0.004, score(0.9, 0.1, 0.488), frames=5, kept=0.75),
    row(TEACHER, 0.1, score(0.95, 0.3, 0.55), steps=None, seconds=None),
)

LABELLED = AutoLabelled(
    teacher="t", threshold=0.9, every=1, sources=("drive.mp4",), frames=5, scored=0, damaged=1,
    coverage=0.75, precision=0.97, checked=4,
    classes=(
        LabelledClass(name="road", predicted=900, kept=800, coverage=8 / 9, precision=0.99),
        LabelledClass(name="pole", predicted=50, kept=10, coverage=0.2, precision=0.4),
        LabelledClass(name="car", predicted=0, kept=0, coverage=None, precision=None),
    ),
)  # fmt: skip


def test_gains_stand_beside_the_papers(session: StudySession) -> None:
    gains, classes = tables(session, ROWS, LABELLED)
    assert gains.rows[0] == (ALONE, "50.0", "", "10", "", "", "60", "")
    assert gains.rows[1] == (AUTO, "52.0", "+2.0", "10", "5", "75.0", "60", "+1.1")
    assert gains.rows[4] == (TEACHER, "60.0", "+10.0", "", "", "", "", "")
    assert [cells[0] for cells in classes.rows] == ["car", "pole", "road"]
    assert classes.rows[0] == ("car", "50.0", "58.0", "53.0", "48.8", "55.0", "0", "", "")
    assert classes.rows[1][-3:] == ("10", "20.0", "40.0")


def test_the_text_says_what_helped_and_what_speaks_for_why(session: StudySession) -> None:
    text = tables(session, ROWS, LABELLED)[0].text
    assert "+ auto-labels +2.0, + soft labels +1.0, + both -0.4; the teacher +10.0." in text
    assert "did not help" not in text and "no better" not in text
    assert "least sure of pole 20 %, road 89 % (kept)" in text
    assert "least right for pole 40 %, road 99 % (of those kept)." in text
    assert "5 frames of drive.mp4, and was sure of 75 % of their pixels. 1 damaged" in text
    assert "Of 4 of them the truth is known: 97 % of the labels kept are right" in text
    assert "Transductive" not in text
    assert "No drive was held out" in text


def test_a_weak_teacher_and_labels_that_did_not_help_are_said(session: StudySession) -> None:
    rows = (ROWS[0], replace(ROWS[1], gain=-0.02), *ROWS[2:4], replace(ROWS[4], gain=0.0))
    session.held_out = "B"
    text = tables(session, rows, replace(LABELLED, scored=5, checked=0, precision=None))[0].text
    assert "**The teacher is no better than its student" in text
    assert "**Auto-labels did not help.**" in text
    assert "**Transductive: 5 of these frames" in text
    assert "truth is known" not in text and "No drive was held out" not in text
    assert "in doubt" not in text


def test_a_teacher_that_may_have_seen_the_drive_casts_doubt_on_all_gains(
    session: StudySession,
) -> None:
    text = tables(session, ROWS, LABELLED, doubt="**t may have seen the drive B.**")[0].text
    assert "**t may have seen the drive B.** **What it has seen it teaches" in text


def test_the_picture_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "new" / "distillation.png"
    missing = replace(ROWS[1], score=score(0.9, None, 0.58))
    draw(path, (ROWS[0], missing, *ROWS[2:]), LABELLED)
    assert cv2.imread(str(path)) is not None
