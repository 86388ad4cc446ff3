"""`LabelledImages`: a list of (image, label map) files with their classes, whatever the layout."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.datasets import autolabelled, camvid, cityscapes, sbd, voc
from streamseg.datasets.label_files import Values, no_instances, read_image, read_values
from streamseg.errors import DataError
from streamseg.labels import IGNORE, LabelSet


class Layout(Protocol):
    """What a module of this package says of one data set."""

    NAME: str
    LABELS: LabelSet
    TRAIN_IDS: dict[int, int]
    """Values of the label files to class ids; all others mean unlabelled."""
    CAVEATS: dict[str, str]
    """Per split, what a reader of a score on it must know."""

    def is_layout(self, root: Path) -> bool:
        """Whether `root` looks like this data set."""

    def list_pairs(self, root: Path, split: str) -> list[tuple[Path, Path]]:
        """(image file, label file) of a split."""

    def read_values(self, path: Path) -> Values:
        """What a label file holds, H x W."""

    def read_instances(self, path: Path) -> NDArray[np.uint8] | None:
        """Beside a label file, which object each pixel is of; see `LabelledImages.load_instances`."""


LAYOUTS: tuple[Layout, ...] = (cityscapes, voc, sbd, camvid)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImages:
    """One split of a data set. Files are read on `load`, never kept.

    Attributes:
        name: "camvid", "cityscapes", "voc" or "sbd"; of frames that a network labelled, their folder's.
        split: "train", "val" or "test"; with the drives named where these are not all.
        labels: the classes.
        pairs: (image file, label file), sorted as the data set lists them.
        train_ids: 256 uint8; what each value of a label file means, `IGNORE` for the unlabelled.
        caveat: what a reader of a score on this split must know; may be empty.
        contents: what they are, in the plural, for the card of a model that learnt from them.
        read_values, read_instances: how label files are read; see `Layout`.
    """

    name: str
    split: str
    labels: LabelSet
    pairs: tuple[tuple[Path, Path], ...]
    train_ids: NDArray[np.uint8]
    caveat: str = ""
    contents: str = "images"
    read_values: Callable[[Path], Values] = read_values
    read_instances: Callable[[Path], NDArray[np.uint8] | None] = no_instances

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def drives(self) -> tuple[str, ...]:
        """The drives that the images are from, in the order in which they first appear.

        CamVid's files are named DRIVE_FRAME.png and Cityscapes' CITY_..., so the drive is what
        stands before the first "_". Frames of one drive show one place at one hour: only another
        drive's tell how a network does elsewhere.
        """
        return tuple(dict.fromkeys(_drive(image) for image, _ in self.pairs))

    def only(self, drive: str) -> "LabelledImages":
        """The images of one drive.

        Raises:
            DataError: no such drive.
        """
        self._check(drive)
        pairs = tuple(pair for pair in self.pairs if _drive(pair[0]) == drive)
        return replace(self, split=f"{self.split} {drive}", pairs=pairs, caveat="")

    def without(self, drive: str) -> "LabelledImages":
        """The images of all drives but one.

        Raises:
            DataError: no such drive, or there is no other.
        """
        self._check(drive)
        pairs = tuple(pair for pair in self.pairs if _drive(pair[0]) != drive)
        if not pairs:
            raise DataError(
                f"expected another drive than {drive} in {self.name} {self.split}, to train on; "
                f"there is none"
            )
        return replace(self, split=f"{self.split} without {drive}", pairs=pairs)

    def _check(self, drive: str) -> None:
        if drive not in self.drives:
            raise DataError(
                f"unknown drive {drive!r} in {self.name} {self.split}; "
                f"known: {', '.join(self.drives)}"
            )

    def digest(self) -> str:
        """8 hexadecimal digits that other names or other label files do not have. Reads all label files.

        Raises:
            DataError: a label file cannot be read.
        """
        found = hashlib.sha256()
        for image, label in self.pairs:
            try:
                found.update(image.name.encode() + b"\n" + label.read_bytes())
            except OSError as error:
                raise DataError(f"expected a label map at {label}: {error.strerror}") from error
        return found.hexdigest()[:8]

    def load(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """(image H x W x 3 uint8 BGR, label map H x W uint8 with `IGNORE`).

        Raises:
            DataError: a file cannot be read, or the two differ in size.
            BackendError: what reads such label files is not installed.
        """
        image_path, label_path = self.pairs[index]
        image = read_image(image_path, cv2.IMREAD_COLOR)
        raw = self.read_values(label_path)
        if raw.ndim != 2 or raw.dtype != np.uint8 or raw.shape != image.shape[:2]:
            raise DataError(
                f"expected an 8-bit single-channel label map of {image.shape[:2]} at {label_path}, "
                f"got shape {raw.shape}, {raw.dtype}"
            )
        return image, self.train_ids[raw]

    def load_instances(self, index: int) -> NDArray[np.uint8] | None:
        """H x W uint8: the number of the object that a pixel is of, from 1; 0 of none, `IGNORE` of nobody knows which.
        None where the data set does not tell objects of a class apart.

        Raises:
            DataError, BackendError: see `load`.
        """
        return self.read_instances(self.pairs[index][1])


def _drive(image: Path) -> str:
    return image.stem.partition("_")[0]


def open_dataset(root: str | Path, split: str) -> LabelledImages:
    """Recognise the folder layout at `root` and list one split of it.

    Raises:
        DataError: no known layout there, or the split is missing or empty.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"expected a data set folder at {root}; there is none")
    if autolabelled.is_layout(root):
        return _open_autolabelled(root, split)
    layout = next((layout for layout in LAYOUTS if layout.is_layout(root)), None)
    if layout is None:
        raise DataError(
            f"expected CamVid (train.txt, train/, trainannot/), Cityscapes (leftImg8bit/, gtFine/), "
            f"Pascal VOC (JPEGImages/, SegmentationClass/) or SBD (img/, cls/) in {root}; found none"
        )
    return LabelledImages(
        name=layout.NAME,
        split=split,
        labels=layout.LABELS,
        pairs=tuple(layout.list_pairs(root, split)),
        train_ids=_lookup(layout.TRAIN_IDS),
        caveat=layout.CAVEATS.get(split, ""),
        read_values=layout.read_values,
        read_instances=layout.read_instances,
    )


def _open_autolabelled(root: Path, split: str) -> LabelledImages:
    made = autolabelled.read_record(root)
    return LabelledImages(
        name=root.resolve().name,
        split=split,
        labels=made.labels,
        pairs=tuple(autolabelled.list_pairs(root, split)),
        train_ids=_lookup(autolabelled.train_ids(made.labels)),
        caveat="labelled by a network",
        contents=made.contents,
    )


def _lookup(train_ids: Mapping[int, int]) -> NDArray[np.uint8]:
    table = np.full(256, IGNORE, np.uint8)
    for value, train_id in train_ids.items():
        table[value] = train_id
    return table
