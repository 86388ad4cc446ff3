"""Cityscapes, 19 classes, in its folders `leftImg8bit/SPLIT/CITY/` and `gtFine/SPLIT/CITY/`."""

from pathlib import Path

from streamseg.datasets import label_files
from streamseg.errors import DataError
from streamseg.labels import CITYSCAPES

NAME = CITYSCAPES.name
LABELS = CITYSCAPES
TRAIN_IDS = {
    label_id: train_id
    for train_id, label_id in enumerate(
        (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    )
}
"""`*_gtFine_labelIds.png` values to train ids; all others are never scored."""
CAVEATS = {"test": "published without its truth: the label files are blank"}

read_values = label_files.read_values
read_instances = label_files.no_instances


def is_layout(root: Path) -> bool:
    return (root / "leftImg8bit").is_dir()


def list_pairs(root: Path, split: str) -> list[tuple[Path, Path]]:
    """The split's files, sorted by city and name.

    Raises:
        DataError: no image of that split.
    """
    images = sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
    if not images:
        raise DataError(
            f"expected leftImg8bit/{split}/CITY/*_leftImg8bit.png in {root}; found none"
        )
    pairs = []
    for image in images:
        stem = image.name.removesuffix("_leftImg8bit.png")
        label = root / "gtFine" / split / image.parent.name / f"{stem}_gtFine_labelIds.png"
        pairs.append((image, label))
    return pairs
