"""Pascal VOC 2012: 21 classes, `JPEGImages/`, `SegmentationClass/`, `SegmentationObject/`,
`ImageSets/Segmentation/SPLIT.txt`.

Label files that are not in `SegmentationClass/` are looked for in `SegmentationClassAug/`: VOC's own and SBD's labels
as one set of 10582 training images, as most who train on VOC have it, listed in a `train_aug.txt` or `trainaug.txt`.
"""

from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from streamseg.datasets.label_files import read_indices
from streamseg.errors import DataError
from streamseg.labels import VOC

NAME = VOC.name
LABELS = VOC
TRAIN_IDS = {value: value for value in range(len(VOC))}
"""Label files hold class ids 0..20; 255, the rims of objects, is unlabelled."""
CAVEATS: dict[str, str] = {}

FOLDERS = ("SegmentationClass", "SegmentationClassAug")
"""Of label files, the first one first."""

read_values = read_indices


def is_layout(root: Path) -> bool:
    return (root / "JPEGImages").is_dir() and any((root / name).is_dir() for name in FOLDERS)


def list_pairs(root: Path, split: str) -> list[tuple[Path, Path]]:
    """The split's files in the order of its list.

    Lines are names ("2007_000032"), or the paths that some lists have ("/JPEGImages/2007_000032.jpg
    /SegmentationClassAug/2007_000032.png"), of which the first one's name is used.

    Raises:
        DataError: no such list, or nothing in it.
    """
    pairs = []
    for name in read_names(root / "ImageSets" / "Segmentation" / f"{split}.txt"):
        labels = [root / folder / f"{name}.png" for folder in FOLDERS]
        label = next((path for path in labels if path.is_file()), labels[0])
        pairs.append((root / "JPEGImages" / f"{name}.jpg", label))
    return pairs


def read_names(listing: Path) -> list[str]:
    """The name of the image in each line of a list, without folder and ending.

    Raises:
        DataError: it is missing, no text, or empty.
    """
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"expected a list of images at {listing}; there is none") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the list {listing}: {error}") from error
    names = [PurePosixPath(line.split()[0]).stem for line in lines if line.strip()]
    if not names:
        raise DataError(f"expected names of images in {listing}; it is empty")
    return names


def read_instances(path: Path) -> NDArray[np.uint8] | None:
    """`SegmentationObject/` of a label file in `SegmentationClass/`; SBD's labels as PNG come without.

    Raises:
        DataError: it cannot be read.
    """
    objects = path.parent.with_name("SegmentationObject") / path.name
    return read_indices(objects) if objects.is_file() else None
