"""What a threshold on the network's probability keeps, and how much of that is right: on labelled images, to choose
the threshold of `streamseg autolabel` by. Goes through the very engine and painter that users run.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.datasets import LabelledImages
from streamseg.errors import SinkError
from streamseg.evaluation.evaluate import check_classes, describe
from streamseg.labels import IGNORE
from streamseg.picture.pixels import Packed
from streamseg.segmenter import Segmenter
from streamseg.stream.certainty import certainty_map
from streamseg.stream.paint import label_map

THRESHOLDS = np.arange(100) / 100
"""0.00, 0.01 ... 0.99."""


class Kept:
    """Counts labelled pixels by the greatest threshold that they pass.

    Args:
        num_classes: of the labels.
    """

    def __init__(self, num_classes: int) -> None:
        shape = (num_classes, len(THRESHOLDS) + 1)
        self._predicted = np.zeros(shape, np.int64)
        self._right = np.zeros(shape, np.int64)
        self._true = np.zeros(shape, np.int64)

    def add(
        self, truth: NDArray[np.uint8], labels: NDArray[np.uint8], certainty: NDArray[np.float32]
    ) -> None:
        """Count one image: H x W each; `IGNORE` in `truth` is left out."""
        seen = truth != IGNORE
        truth, labels = truth[seen], labels[seen]
        passed = np.searchsorted(THRESHOLDS.astype(np.float32), certainty[seen], side="left")
        right = truth == labels
        np.add.at(self._predicted, (labels, passed), 1)
        np.add.at(self._right, (labels[right], passed[right]), 1)
        np.add.at(self._true, (truth, passed), 1)

    def curve(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """Per threshold, "overall": "coverage", the share of the labelled pixels that is kept, and "precision", the
        share of the kept ones that is right. "classes" has both per class: coverage of the pixels that are of the
        class, precision of those that are said to be. None where there are no such pixels.
        """
        predicted, right, true = (
            counts[:, ::-1].cumsum(1)[:, ::-1]
            for counts in (self._predicted, self._right, self._true)
        )
        # Column i holds what passes at least i thresholds; pixels pass threshold i with i + 1.
        classes = {
            name: _shares(true[k, 1:], true[k, 0], right[k, 1:], predicted[k, 1:])
            for k, name in enumerate(class_names)
        }
        predicted, right, true = predicted.sum(0), right.sum(0), true.sum(0)
        return {
            "thresholds": THRESHOLDS.tolist(),
            "overall": _shares(true[1:], true[0], right[1:], predicted[1:]),
            "classes": classes,
        }


def _shares(
    kept: NDArray[np.int64], of: np.int64, right: NDArray[np.int64], said: NDArray[np.int64]
) -> dict[str, list[float | None]]:
    return {
        "coverage": [n / int(of) if of else None for n in kept.tolist()],
        "precision": [
            n / total if total else None
            for n, total in zip(right.tolist(), said.tolist(), strict=True)
        ],
    }


def evaluate_thresholds(
    segmenter: Segmenter,
    dataset: LabelledImages,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Label every image of `dataset`; what is kept at each threshold, and how much of it is right.

    Args:
        segmenter: its classes must be the data set's, in the same order.
        limit: only the first so many images.
        progress: called after each image with (done, total).

    Returns:
        What ran on what, and `Kept.curve`.

    Raises:
        DataError: the classes differ, or an image cannot be read.
        ModelError: the network answers with class ids or probabilities.
        ValueError: a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"expected a limit of at least 1 image, got {limit}")
    check_classes(segmenter, dataset.labels, dataset.name)
    total = min(limit or len(dataset), len(dataset))
    kept = Kept(len(dataset.labels))
    size: tuple[int, int] = (0, 0)
    for index in range(total):
        image, truth = dataset.load(index)
        size = segmenter.network_size(truth.shape)
        logits = segmenter.logits(Packed(pixels=image))
        labels = label_map(logits, truth.shape)
        kept.add(truth, labels, certainty_map(logits, labels))
        progress(index + 1, total)
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "caveat": dataset.caveat,
        **describe(segmenter),
        "size": list(size),
        "frames": total,
        **kept.curve(dataset.labels.class_names),
        "fallbacks": list(segmenter.info.fallbacks),
    }


def plot_thresholds(found: dict[str, Any], path: Path) -> None:
    """Write a PNG, 1200 x 600 px: precision and coverage against the threshold, of all pixels and per class.

    Raises:
        SinkError: the file cannot be written.
    """
    # Not pyplot: it would choose a backend for the whole process and keep the figure.
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    tab20 = colormaps["tab20"]
    figure = Figure(figsize=(10, 5), layout="constrained")
    for axis, key in zip(
        figure.subplots(1, 2, sharex=True), ("precision", "coverage"), strict=True
    ):
        # 20 colours; from the 21st class on they come again, dashed.
        for place, (name, values) in enumerate(found["classes"].items()):
            axis.plot(
                found["thresholds"], _numbers(values[key]), label=name, linewidth=1.2,
                color=tab20(place % 20), linestyle="--" if place >= 20 else "-",
            )  # fmt: skip
        axis.plot(
            found["thresholds"],
            _numbers(found["overall"][key]),
            label="all",
            color="black",
            linewidth=2.5,
        )
        axis.set(xlabel="threshold on the probability", ylabel=key, xlim=(0, 1), ylim=(0, 1.01))
        axis.grid(alpha=0.3)
    figure.get_axes()[1].legend(fontsize=8, loc="lower left")
    figure.suptitle(
        f"{found['model']} on {found['dataset']} {found['split']}, {found['frames']} images"
    )
    try:
        figure.savefig(path, dpi=120, format="png")
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error


def _numbers(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
