"""The study of distillation for people: who gained what, class by class, and what the labels were worth."""

from collections.abc import Callable, Iterable
from pathlib import Path

from streamseg.benchmark.table import size_text
from streamseg.study.auto_labels import AutoLabelled, LabelledClass
from streamseg.study.distilled import ALONE, AUTO, BOTH, SOFT, STUDENTS, TEACHER, Distilled
from streamseg.study.plot import Line, Panel, draw_lines
from streamseg.study.records import Table
from streamseg.study.session import StudySession
from streamseg.training.losses import Distillation

PAPER = {AUTO: 1.1}
"""Points of mIoU on Cityscapes, by auto-labels of its coarsely labelled images."""

NAMED = 3
"""Classes that a sentence names."""


def tables(
    session: StudySession,
    rows: tuple[Distilled, ...],
    labelled: AutoLabelled,
    *,
    doubt: str = "",
) -> tuple[Table, ...]:
    """mIoU of all rows, then IoU of all classes beside what the teacher's labels of them were worth.

    Args:
        doubt: that the teacher has seen the drive that is scored, or may have (`held_out.warning`); may be empty.
    """
    if doubt:
        doubt += " **What it has seen it teaches: the gains of its students are in doubt, too.**"
    said = (
        _how(session, rows),
        doubt,
        _what_was_labelled(session, labelled),
        _verdict(rows, labelled),
    )
    head = ("", "mIoU", "gain", "steps", "auto-labelled frames", "kept (%)", "seconds")
    gains = Table(
        text="\n\n".join(filter(None, said)),
        head=(*head, "paper: gain"),
        rows=tuple(_cells(row) for row in rows),
    )
    return gains, _classes(rows, labelled)


def draw(path: Path, rows: tuple[Distilled, ...], labelled: AutoLabelled) -> None:
    """mIoU over the time of the training; what each class gained over how much of it the teacher was sure of."""
    times = tuple(
        Line(name=row.name, x=(row.seconds / 60,), y=(100 * row.score.miou,))
        for row in rows
        if row.seconds is not None
    )
    known = sorted(
        (one for one in labelled.classes if one.coverage is not None),
        key=lambda one: one.coverage or 0.0,
    )
    alone = _row(rows, ALONE)
    gains = tuple(
        Line(
            name=name,
            x=tuple(100 * (one.coverage or 0.0) for one in known),
            y=tuple(_points(_row(rows, name), alone, one.name) for one in known),
        )
        for name in (AUTO, SOFT, BOTH)
    )
    draw_lines(
        path,
        Panel(x_label="minutes of training", y_label="mIoU (%)", lines=times),
        Panel(
            x_label="kept of the class's auto-labels (%)",
            y_label="IoU above alone (points)",
            lines=gains,
            zero=True,
            joined=False,  # each point is a class
        ),
    )


def _how(session: StudySession, rows: tuple[Distilled, ...]) -> str:
    score, soft = rows[0].score, Distillation(teacher="")
    share = session.unlabelled.share
    return (
        f"**What a teacher brings at {size_text(score.network_size)}** ({score.backend} {score.precision}). Students "
        "begin alike and see the same views of the same labelled images in the same steps. Auto-labels: where the "
        f"teacher's probability is above {session.unlabelled.threshold:g} its labels of frames without labels count as "
        f"true ones; views of such frames stand beside the labelled ones of a step and make up {share:.0%} of it, so "
        "that a step takes longer. Soft labels: its logits for each view count beside the labels (temperature "
        f"{soft.temperature:g}, weight {soft.weight:g}), at labelled pixels alone. mIoU in %; gain: points above "
        "`alone`. Seconds: of the training, of the teacher its own. The paper's gain is on Cityscapes, by its own "
        "greater network, which taught itself by auto-labels of coarsely labelled images."
    )


def _what_was_labelled(session: StudySession, labelled: AutoLabelled) -> str:
    text = (
        f"The teacher labelled {labelled.frames} frames of {', '.join(labelled.sources)}, and was sure of "
        f"{_percent(labelled.coverage)} of their pixels."
    )
    if labelled.damaged:
        text += f" {labelled.damaged} damaged ones were left out."
    if labelled.scored:
        text += (
            f" **Transductive: {labelled.scored} of these frames are scored here, or of the drive that is; their true "
            "labels were not looked at in training.**"
        )
    if labelled.checked:
        text += (
            f" Of {labelled.checked} of them the truth is known: {_percent(labelled.precision)} of the labels kept are "
            "right."
        )
    if session.held_out is None:
        text += (
            " **No drive was held out (`--hold-out`): the frames that are scored may be of a drive that all learnt "
            "from.**"
        )
    return text


def _verdict(rows: tuple[Distilled, ...], labelled: AutoLabelled) -> str:
    """What helped and what did not, and what speaks for why."""
    gains = {row.name: 100 * row.gain for row in rows if row.gain is not None}
    told = ", ".join(f"{name} {gains[name]:+.1f}" for name in (AUTO, SOFT, BOTH))
    text = f"Against `alone`, in points: {told}; the teacher {gains[TEACHER]:+.1f}."
    if gains[TEACHER] <= 0:
        text += " **The teacher is no better than its student: it has little to teach.**"
    if gains[AUTO] <= 0:
        text += " **Auto-labels did not help.**"
    hardly = _least(labelled.classes, lambda one: one.coverage)
    text += f" The teacher is least sure of {hardly} (kept)" if hardly else ""
    wrong = _least(labelled.classes, lambda one: one.precision)
    text += f", and its labels are least right for {wrong} (of those kept)" if wrong else ""
    return f"{text}." if hardly else text


def _least(classes: Iterable[LabelledClass], value: Callable[[LabelledClass], float | None]) -> str:
    """The classes of the least value, where it is known: "pole 12 %, sign 30 %"."""
    known = [(found, one.name) for one in classes if (found := value(one)) is not None]
    return ", ".join(f"{name} {_percent(found)}" for found, name in sorted(known)[:NAMED])


def _cells(row: Distilled) -> tuple[str, ...]:
    return (
        row.name,
        f"{100 * row.score.miou:.1f}",
        "" if row.gain is None else f"{100 * row.gain:+.1f}",
        "" if row.steps is None else str(row.steps),
        str(row.frames) if row.frames else "",
        "" if row.kept is None else f"{100 * row.kept:.1f}",
        "" if row.seconds is None else f"{row.seconds:.0f}",
        f"{PAPER[row.name]:+.1f}" if row.name in PAPER else "",
    )


def _classes(rows: tuple[Distilled, ...], labelled: AutoLabelled) -> Table:
    """The rarest class among the kept labels first."""
    names = (*STUDENTS, TEACHER)
    return Table(
        text=(
            "**Class by class**, the one with the fewest auto-labels first: IoU in %; pixels of auto-labels kept, "
            "their share of those predicted, and how many of them are right where the truth is known, in %."
        ),
        head=("class", *names, "pixels kept", "kept (%)", "right (%)"),
        rows=tuple(
            (
                one.name,
                *(_iou(_row(rows, name), one.name) for name in names),
                str(one.kept),
                "" if one.coverage is None else f"{100 * one.coverage:.1f}",
                "" if one.precision is None else f"{100 * one.precision:.1f}",
            )
            for one in sorted(labelled.classes, key=lambda one: one.kept)
        ),
    )


def _row(rows: tuple[Distilled, ...], name: str) -> Distilled:
    return next(row for row in rows if row.name == name)


def _iou(row: Distilled, name: str) -> str:
    value = row.score.iou[name]
    return "" if value is None else f"{100 * value:.1f}"


def _points(row: Distilled, alone: Distilled, name: str) -> float | None:
    """IoU of a class above the student alone; None where it has no value."""
    value, before = row.score.iou[name], alone.score.iou[name]
    return None if value is None or before is None else 100 * (value - before)


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.0f} %"
