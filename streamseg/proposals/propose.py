"""`Proposer`: pictures in, boxes out, best first; and what a report should know of how they were found."""

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streamseg.labels import LabelSet
from streamseg.proposals.boxes import Box, usable, whole
from streamseg.proposals.choice import Proposals
from streamseg.proposals.edge_boxes import EdgeBoxes, has_edge_boxes
from streamseg.proposals.previous import PreviousRegions
from streamseg.proposals.windows import windows


def has_background(labels: LabelSet) -> bool:
    """Whether class 0 stands for what is no object, and hence for where nobody looked."""
    return labels.class_names[0] == "background"


def resolve(choice: Proposals) -> tuple[Proposals, str | None]:
    """What "auto" is on this machine, and a line for a report's fallbacks."""
    if choice.source != "auto":
        return choice, None
    if has_edge_boxes() or choice.edge_model is not None:
        return replace(choice, source="edges"), None
    reason = "cv2 has no ximgproc, which opencv-contrib-python brings in opencv-python's place"
    return replace(choice, source="windows"), f"proposals auto, windows used, {reason}"


class Proposer:
    """Follows one stream. Not thread-safe.

    Args:
        labels: where they have no background, the whole picture is the first proposal, so that every pixel is seen.

    Attributes:
        choice: with the source that is in use.
        follows: whether `answered` is to be called after every picture.

    Raises:
        BackendError, ModelError: see `EdgeBoxes`.
    """

    def __init__(self, choice: Proposals, labels: LabelSet) -> None:
        self.choice, note = resolve(choice)
        self._fixed_notes = (note,) if note else ()
        self._background = has_background(labels)
        self._left_out: Counter[str] = Counter()
        self._instead: Counter[str] = Counter()
        self._edges = EdgeBoxes(choice.edge_model) if self.choice.source == "edges" else None
        self._previous = PreviousRegions(background=self._background)
        self.follows = self.choice.source == "previous"

    def __call__(self, picture_HWC: NDArray[np.float32]) -> list[Box]:
        """1 to `choice.count` boxes inside the picture, best first.

        A picture of one color holds nothing to find: the whole of it is the one proposal. Streams warm up with such.

        Args:
            picture_HWC: R'G'B' in 0..255.
        """
        height, width = picture_HWC.shape[:2]
        size = (height, width)
        if (picture_HWC == picture_HWC[0, 0]).all():
            self._previous.forget()
            return [whole(size)]
        boxes = self._found(picture_HWC, size)
        if not self._background:
            boxes = [whole(size), *(box for box in boxes if box != whole(size))]
        return boxes[: self.choice.count]

    def answered(self, labels_HW: NDArray[np.uint8]) -> None:
        """What the last picture was labelled as."""
        self._previous.answered(labels_HW)

    @property
    def notes(self) -> tuple[str, ...]:
        """ "What was asked, what was used, why", of all pictures so far. From any thread."""
        instead = tuple(
            f"proposals {self.choice.source}, {reason} (pictures: {count})"
            for reason, count in list(self._instead.items())
        )
        bad = ", ".join(f"{count} {reason}" for reason, count in list(self._left_out.items()))
        return (
            *self._fixed_notes,
            *instead,
            *((f"proposals, the others used, left out were {bad}",) if bad else ()),
        )

    def _found(self, picture_HWC: NDArray[np.float32], size: tuple[int, int]) -> list[Box]:
        count = self.choice.count
        if self._edges is not None:
            boxes = usable(self._edges.candidates(picture_HWC), size, self._left_out)
            if not boxes:
                self._instead["the whole picture used, no box was found"] += 1
            return boxes or [whole(size)]
        if self.follows:
            candidates = self._previous.candidates(picture_HWC)
            if candidates is not None:
                return usable(candidates, size, self._left_out) or [whole(size)]
            self._instead["windows used, nothing before to go by: a first picture or a cut"] += 1
        return windows(size, count)
