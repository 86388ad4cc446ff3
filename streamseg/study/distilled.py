"""`Distilled`: a row of the study of distillation."""

from dataclasses import dataclass

from streamseg.study.records import Score

ALONE, AUTO, SOFT, BOTH = STUDENTS = ("alone", "+ auto-labels", "+ soft labels", "+ both")
TEACHER = "the teacher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """A student, or the teacher itself.

    Attributes:
        name: one of `STUDENTS`, or `TEACHER`.
        gain: mIoU above the student alone, -1..1; null for itself.
        steps: of the optimizer; null for the teacher, whose are its own.
        frames: auto-labelled ones that were mixed in.
        kept: share of their pixels that is labelled, 0..1; null where there are none.
        seconds: of the training; null where its card does not say.
    """

    name: str
    network: str
    score: Score
    gain: float | None
    steps: int | None
    frames: int
    kept: float | None
    seconds: float | None
