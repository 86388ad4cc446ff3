"""Frames that a network labelled, as `streamseg autolabel` leaves them: CamVid's folders and a record of how.

autolabel.json   `AutoLabels`       train/NAME.png       the frame
frames.jsonl     pixels per class   trainannot/NAME.png  class ids, `IGNORE` where it was not sure enough
                                    trainprob/NAME.png   its probability of its answer, 0..255 for 0..1
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamseg.errors import DataError
from streamseg.labels import IGNORE, LabelSet

RECORD = "autolabel.json"
SPLIT = "train"
"""The only one: labels that a network made are no truth to be scored on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AutoLabels:
    """How a folder was labelled. Produced by `autolabel`, consumed by `open_dataset`.

    Attributes:
        model: of its card.
        weights: digest of its file.
        threshold: labels are kept where the probability is above it.
        size: `--size`, as text: "auto", "native" or "HxW".
        precision: that it ran in.
        labels: its classes.
    """

    model: str
    weights: str
    threshold: float
    size: str
    precision: str
    labels: LabelSet

    @property
    def contents(self) -> str:
        """What is in the folder, for a model's card."""
        return f"auto-labelled frames by {self.model} at threshold {self.threshold:g}"

    def to_values(self) -> dict[str, Any]:
        """For JSON; `read_record` is the way back."""
        return {
            "model": self.model,
            "weights": self.weights,
            "threshold": self.threshold,
            "size": self.size,
            "precision": self.precision,
            "label_set": self.labels.name,
            "classes": list(self.labels.class_names),
            "colors": [list(color) for color in self.labels.colors],
        }


def is_layout(root: Path) -> bool:
    return (root / RECORD).is_file()


def read_record(root: Path) -> AutoLabels:
    """The record of the folder `root`.

    Raises:
        DataError: it is missing or damaged.
    """
    path = root / RECORD
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        colors = tuple((int(r), int(g), int(b)) for r, g, b in values["colors"])
        return AutoLabels(
            model=str(values["model"]),
            weights=str(values["weights"]),
            threshold=float(values["threshold"]),
            size=str(values["size"]),
            precision=str(values["precision"]),
            labels=LabelSet(
                name=str(values["label_set"]),
                class_names=tuple(map(str, values["classes"])),
                colors=colors,
            ),
        )
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"expected the record of auto-labelled frames in {path}, got {error!r}"
        ) from error


def list_pairs(root: Path, split: str) -> list[tuple[Path, Path]]:
    """(frame, label map), sorted by name.

    Raises:
        DataError: another split than "train", or no frame.
    """
    if split != SPLIT:
        raise DataError(
            f"expected split {SPLIT} of the auto-labelled frames in {root}, got {split!r}"
        )
    images = sorted((root / SPLIT).glob("*.png"))
    if not images:
        raise DataError(f"expected auto-labelled frames as {SPLIT}/*.png in {root}; found none")
    return [(image, root / f"{SPLIT}annot" / image.name) for image in images]


def train_ids(labels: LabelSet) -> dict[int, int]:
    """Label files hold class ids; `IGNORE` and all others mean unlabelled."""
    return {value: value for value in range(len(labels)) if value != IGNORE}
