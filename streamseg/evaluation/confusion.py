"""One confusion matrix over a whole split, and the scores it holds."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamseg.labels import IGNORE


def check_label_maps(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], num_classes: int
) -> NDArray[np.bool_]:
    """Which pixels are scored (H x W): those that the truth labels.

    Raises:
        ValueError: shapes differ, or an id is no class.
    """
    if truth.shape != predicted.shape:
        raise ValueError(
            f"expected a prediction of {truth.shape} like the truth, got {predicted.shape}"
        )
    scored: NDArray[np.bool_] = truth != IGNORE
    for name, labels in (("truth", truth), ("prediction", predicted)):
        ids = labels[scored]
        if ids.size and ids.max() >= num_classes:
            raise ValueError(
                f"expected class ids below {num_classes} in the {name}, got {ids.max()}"
            )
    return scored


def check_num_classes(num_classes: int) -> None:
    """Classes fit into a byte beside `IGNORE`.

    Raises:
        ValueError: none, or too many.
    """
    if not 1 <= num_classes <= IGNORE:
        raise ValueError(f"expected 1 to {IGNORE} classes, got {num_classes}")


@dataclass(slots=True, eq=False)
class Confusion:
    """Counts of (true class, predicted class); unlabelled pixels are left out.

    `miou` divides totals over the whole split, as Cityscapes and CamVid are scored; it is not the
    mean of per-image scores.

    Attributes:
        num_classes: classes are 0..num_classes - 1.
        counts: num_classes x num_classes int64 pixels; row: true class, column: predicted class.
    """

    num_classes: int
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        check_num_classes(self.num_classes)
        self.counts = np.zeros((self.num_classes, self.num_classes), np.int64)

    def add(self, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
        """Count one label map.

        Args:
            truth: H x W uint8 class ids and `IGNORE`.
            predicted: H x W uint8 class ids; where `truth` is `IGNORE` it may be anything.

        Raises:
            ValueError: shapes differ, or an id is no class.
        """
        scored = check_label_maps(truth, predicted, self.num_classes)
        true_ids = truth[scored].astype(np.int64)
        predicted_ids = predicted[scored].astype(np.int64)
        pairs = np.bincount(
            true_ids * self.num_classes + predicted_ids, minlength=self.num_classes**2
        )
        self.counts += pairs.reshape(self.num_classes, self.num_classes)

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union per class, 0..1; nan for one neither present nor predicted."""
        intersection = np.diag(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - intersection
        iou = np.full(self.num_classes, np.nan)
        np.divide(intersection, union, out=iou, where=union > 0)
        return iou

    def miou(self) -> float:
        """Mean of `iou` over the classes that occur, 0..1; nan when nothing was counted."""
        iou = self.iou()
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")

    def pixel_accuracy(self) -> float:
        """Share of scored pixels labelled right, 0..1; nan when nothing was counted."""
        total = int(self.counts.sum())
        return float(np.trace(self.counts)) / total if total else float("nan")

    def class_accuracy(self) -> NDArray[np.float64]:
        """Share of each class's pixels labelled right (its recall), 0..1; nan for one that is not in the truth."""
        pixels = self.counts.sum(1)
        accuracy = np.full(self.num_classes, np.nan)
        np.divide(np.diag(self.counts), pixels, out=accuracy, where=pixels > 0)
        return accuracy

    def mean_class_accuracy(self) -> float:
        """Mean of `class_accuracy` over the classes of the truth, 0..1; nan when nothing was counted."""
        accuracy = self.class_accuracy()
        return float(np.nanmean(accuracy)) if np.isfinite(accuracy).any() else float("nan")
