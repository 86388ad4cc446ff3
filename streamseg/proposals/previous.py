"""Boxes around what was seen in the picture before. Comes in: pictures of a stream and the label maps they got. Goes
out: candidates, biggest regions first.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.motion.cells import contrast, squares
from streamseg.motion.cut import SceneCuts

EXTENDED = 1.2
"""How much larger than its region a box is: things move, and the paper's first training boxes are as much larger."""

LEAST_SHARE = 1e-3
"""Of the picture: smaller regions are noise more often than things."""

LUMA = (0.299, 0.587, 0.114)
"""BT.601's weights of R, G and B."""


class PreviousRegions:
    """Follows one stream, picture by picture: `candidates`, then `answered`. Not thread-safe.

    Args:
        background: class 0 is no thing; no box is put around it.
    """

    def __init__(self, *, background: bool) -> None:
        self._background = background
        self._cuts = SceneCuts()
        self._luma: NDArray[np.uint8] | None = None
        self._labels: NDArray[np.uint8] | None = None

    def candidates(self, picture_HWC: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """N x 4 (left, top, width, height), N >= 1, the whole picture before all: what is new is seen in it alone.

        Args:
            picture_HWC: R'G'B' in 0..255.

        Returns:
            None where there is nothing to go by: before the first answer, after a cut or a change of size, and after a
            picture without regions.
        """
        now = squares(np.rint(picture_HWC @ np.array(LUMA, np.float32)).astype(np.uint8))
        before, labels = self._luma, self._labels
        self._luma, self._labels = now, None
        height, width = picture_HWC.shape[:2]
        if before is None or labels is None or labels.shape != (height, width):
            return None
        residual = float(np.abs(now.astype(np.int16) - before).mean())
        if self._cuts.begins(residual, contrast(now)):
            return None
        found = regions(labels, background=self._background)
        if not len(found):
            return None
        return np.concatenate([[[0, 0, width, height]], extended(found)])

    def forget(self) -> None:
        """Begin anew with the next picture."""
        self._luma = self._labels = None

    def answered(self, labels_HW: NDArray[np.uint8]) -> None:
        """What became of the last picture."""
        self._labels = labels_HW


def regions(labels_HW: NDArray[np.uint8], *, background: bool) -> NDArray[np.float64]:
    """Boxes around connected regions of one class (8 neighbours), the largest region first.

    Args:
        labels_HW: uint8 class ids.
        background: leave class 0 out.

    Returns:
        N x 4 (left, top, width, height).
    """
    found = []
    for label in np.unique(labels_HW):
        if background and label == 0:
            continue
        mask = (labels_HW == label).astype(np.uint8)
        found.append(cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:])
    if not found:
        return np.empty((0, 4))
    rows = np.concatenate(found).astype(np.float64)
    rows = rows[rows[:, cv2.CC_STAT_AREA] >= LEAST_SHARE * labels_HW.size]
    order = np.argsort(-rows[:, cv2.CC_STAT_AREA], kind="stable")
    return rows[order, :4]


def extended(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (left, top, width, height) made larger by `EXTENDED` about their middles; they may stick out."""
    corner, sides = rows[:, :2], rows[:, 2:]
    return np.concatenate([corner - (EXTENDED - 1) / 2 * sides, EXTENDED * sides], axis=1)
