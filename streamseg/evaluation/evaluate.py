"""Score a segmenter on labelled images, through the very engine and painter that users run."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.datasets import LabelledImages
from streamseg.errors import DataError
from streamseg.evaluation.boundaries import BoundaryF1
from streamseg.evaluation.confusion import Confusion
from streamseg.labels import LabelSet
from streamseg.segmenter import Segmenter


def evaluate(
    segmenter: Segmenter,
    dataset: LabelledImages,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Label every image of `dataset` and compare at the label maps' own size.

    Args:
        segmenter: its classes must be the data set's, in the same order.
        limit: only the first so many images.
        progress: called after each image with (done, total).

    Returns:
        The contract's `eval --json`: fractions in 0..1; "miou" from one confusion matrix over the split. Beside it
        what `scores` and `boundary_scores` say. "fps" counts labelling alone (no decoding, no scoring), after a
        first image that is not timed.

    Raises:
        DataError: the classes differ, or an image cannot be read.
        ValueError: a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"expected a limit of at least 1 image, got {limit}")
    check_classes(segmenter, dataset.labels, dataset.name)
    total = min(limit or len(dataset), len(dataset))
    confusion = Confusion(len(dataset.labels))
    boundary = BoundaryF1(len(dataset.labels))
    seconds = 0.0
    size = None
    for index in range(total):
        image, truth = dataset.load(index)
        if size is None:
            size = segmenter.network_size(truth.shape)
            segmenter(image)
        started = time.perf_counter()
        labels = segmenter(image).labels
        seconds += time.perf_counter() - started
        confusion.add(truth, labels)
        boundary.add(truth, labels)
        progress(index + 1, total)
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        **describe(segmenter),
        "size": list(size or ()),
        "frames": total,
        **scores(confusion, dataset.labels),
        **boundary_scores(boundary, dataset.labels),
        "fps": total / seconds,
        "fallbacks": list(segmenter.info.fallbacks),
    }


def check_classes(segmenter: Segmenter, labels: LabelSet, dataset: str) -> None:
    """Refuse to score a model on classes that are not its own.

    Raises:
        DataError: it has others, or in another order.
    """
    if segmenter.labels.class_names != labels.class_names:
        raise DataError(
            f"expected a model with the classes of {dataset} ({', '.join(labels.class_names)}), "
            f"{segmenter.card.name} has {', '.join(segmenter.labels.class_names)}"
        )


def describe(segmenter: Segmenter) -> dict[str, Any]:
    """What runs, as in the contract's `eval --json`."""
    return {
        "model": segmenter.card.name,
        "backend": segmenter.info.backend,
        "device": segmenter.info.device,
        "precision": segmenter.info.precision,
    }


def scores(confusion: Confusion, labels: LabelSet) -> dict[str, Any]:
    """How right it is, as in the contract's `eval --json`.

    "class_accuracy" is each class's recall, "mean_class_accuracy" its mean. None for the IoU of a class that does
    not occur, and for the accuracy of one that is not in the truth.
    """
    return {
        "miou": confusion.miou(),
        "pixel_accuracy": confusion.pixel_accuracy(),
        "mean_class_accuracy": _finite(confusion.mean_class_accuracy()),
        "iou": by_class(labels, confusion.iou()),
        "class_accuracy": by_class(labels, confusion.class_accuracy()),
    }


def boundary_scores(boundary: BoundaryF1, labels: LabelSet) -> dict[str, Any]:
    """How well outlines are met; None where there are none.

    "boundary_f1" is the mean over classes of each picture, then over pictures; "class_boundary_f1" each class's mean
    over the pictures that show it; "boundary_tolerance" the share of the diagonal within which a pixel counts as met.
    """
    return {
        "boundary_f1": _finite(boundary.mean()),
        "class_boundary_f1": by_class(labels, boundary.f1()),
        "boundary_tolerance": boundary.tolerance,
    }


def by_class(labels: LabelSet, values: NDArray[np.float64]) -> dict[str, float | None]:
    """Values by class name; None for nan, which JSON has not."""
    return dict(zip(labels.class_names, map(_finite, values.tolist()), strict=True))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
