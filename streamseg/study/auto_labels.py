"""Frames that a study's teacher labels. Comes in: `Unlabelled` and the teacher. Goes out: images to mix in, and how
much of them is labelled, and how much of that is right.

    sources ──autolabel──▶ OUT/auto ──▶ extra images of a training
                              └──beside the truth, where anybody knows it──▶ AutoLabelled
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.autolabel import Choice, autolabel, record_of
from streamseg.datasets import LabelledImages, open_dataset
from streamseg.errors import SinkError
from streamseg.evaluation.confusion import Confusion
from streamseg.labels import IGNORE
from streamseg.segmenter import load
from streamseg.study.records import Network
from streamseg.study.session import StudySession


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledClass:
    """A class in the teacher's labels.

    Attributes:
        predicted, kept: pixels before and after the threshold.
        coverage: share of the predicted that is kept, 0..1; null where none is predicted.
        precision: share of the kept that is right, where the truth is known; null where it is nowhere.
    """

    name: str
    predicted: int
    kept: int
    coverage: float | None
    precision: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoLabelled:
    """What a teacher's labels of the frames are worth.

    Attributes:
        sources: names of files; of the scored images, their split's.
        frames: labelled in all.
        scored: of these, images that are scored, or of the drive held out.
        damaged: left out.
        coverage, precision: of all classes together, see `LabelledClass`.
        checked: frames of which the truth is known.
    """

    teacher: str
    threshold: float
    every: int
    sources: tuple[str, ...]
    frames: int
    scored: int
    damaged: int
    coverage: float | None
    precision: float | None
    checked: int
    classes: tuple[LabelledClass, ...]


def label_frames(session: StudySession, teacher: Network) -> tuple[LabelledImages, AutoLabelled]:
    """Label them into OUT/auto, or go on there; then look at what came out.

    Raises:
        SourceError, ModelError: see `autolabel`.
        SinkError: OUT/auto holds other frames, or is of another teacher or threshold.
    """
    out = session.out / "auto"
    found = _label(session, teacher, out)
    asked = found["labelled"] + found["found"]
    if found["frames"] != asked:
        raise SinkError(
            f"expected the {asked} frames of this study alone in {out}, got {found['frames']}, of other sources or "
            f"another --every; choose another --out or delete it"
        )
    images = open_dataset(out, "train")
    checked = _Checked(images, session)
    unlabelled = session.unlabelled
    return images, AutoLabelled(
        teacher=teacher.trained.name,
        threshold=unlabelled.threshold,
        every=unlabelled.every,
        sources=tuple(Path(source).name for source in unlabelled.sources)
        or (f"{session.validation.name} {session.validation.split}",),
        frames=len(images),
        scored=checked.scored,
        damaged=found["corrupt_skipped"],
        coverage=found["coverage"],
        precision=checked.precision(),
        checked=checked.frames,
        classes=tuple(
            LabelledClass(name=name, **values, precision=checked.precision(index))
            for index, (name, values) in enumerate(found["classes"].items())
        ),
    )


def _label(session: StudySession, teacher: Network, out: Path) -> dict[str, Any]:
    """See `autolabel`."""
    unlabelled = session.unlabelled
    sources: Sequence[str | Path] = unlabelled.sources
    choice = Choice(every=unlabelled.every)
    if not sources:  # each image is a source of its own
        sources = [image for image, _ in session.validation.pairs[:: unlabelled.every]]
        choice = Choice()
    what = f"labelling by {teacher.trained.name}"
    with load(teacher.path, device=session.device) as segmenter:
        record = record_of(segmenter, teacher.path, unlabelled.threshold)
        return autolabel(
            segmenter, sources, out, record, choice=choice,
            progress=lambda done, total: session.progress(
                what, done, total or max(done, len(sources))
            ),
        )  # fmt: skip


class _Checked:
    """Auto-labels beside the truth of the frames that a data set has, too.

    Attributes:
        frames: of which the truth is known.
        scored: frames that are scored, or of the drive held out.
    """

    def __init__(self, images: LabelledImages, session: StudySession) -> None:
        self.frames = self.scored = 0
        self._confusion = Confusion(len(images.labels))
        known = {
            image.stem: (truth, index)
            for truth in (*session.unlabelled.truth, session.validation)  # the last one counts
            for index, (image, _) in enumerate(truth.pairs)
        }
        for index, (path, _) in enumerate(images.pairs):
            truth, place = known.get(path.stem, (None, 0))
            same = truth is not None and self._add(images, index, truth, place)
            of_drive = path.stem.partition("_")[0] == session.held_out
            self.scored += (same and truth is session.validation) or of_drive

    def _add(self, images: LabelledImages, index: int, truth: LabelledImages, place: int) -> bool:
        """Count a frame, unless it is another picture of that name."""
        picture, labels = images.load(index)
        true_picture, true_labels = truth.load(place)
        if not np.array_equal(picture, true_picture):
            return False
        self._confusion.add(np.where(labels == IGNORE, np.uint8(IGNORE), true_labels), labels)
        self.frames += 1
        return True

    def precision(self, class_id: int | None = None) -> float | None:
        """Of one class, or of all."""
        counts = self._confusion.counts
        kept = counts.sum() if class_id is None else counts[:, class_id].sum()
        right = counts.trace() if class_id is None else counts[class_id, class_id]
        return float(right / kept) if kept else None
