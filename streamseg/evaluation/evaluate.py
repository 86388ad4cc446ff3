"""Score a segmenter on labelled images, through the very engine and painter that users run."""

import time
from collections.abc import Callable
from typing import Any

from streamseg.datasets import LabelledImages
from streamseg.errors import DataError
from streamseg.evaluation.confusion import Confusion
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
        The contract's `eval --json`: fractions in 0..1; "miou" from one confusion matrix over the split. "fps"
        counts labelling alone (no decoding), after a first image that is not timed.

    Raises:
        DataError: the classes differ, or an image cannot be read.
        ValueError: a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"expected a limit of at least 1 image, got {limit}")
    if segmenter.labels.class_names != dataset.labels.class_names:
        raise DataError(
            f"expected a model with the classes of {dataset.name} ({', '.join(dataset.labels.class_names)}), "
            f"{segmenter.card.name} has {', '.join(segmenter.labels.class_names)}"
        )
    total = min(limit or len(dataset), len(dataset))
    confusion = Confusion(len(dataset.labels))
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
        progress(index + 1, total)
    iou = zip(dataset.labels.class_names, confusion.iou().tolist(), strict=True)
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "model": segmenter.card.name,
        "backend": segmenter.info.backend,
        "device": segmenter.info.device,
        "precision": segmenter.info.precision,
        "size": list(size or ()),
        "frames": total,
        "miou": confusion.miou(),
        "pixel_accuracy": confusion.pixel_accuracy(),
        "iou": {name: None if value != value else value for name, value in iou},
        "fps": total / seconds,
        "fallbacks": list(segmenter.info.fallbacks),
    }
