"""SBD (Hariharan et al. 2011): Pascal VOC's classes on 11355 images, in `benchmark_RELEASE/dataset/`: `img/`, `cls/`,
`inst/`, `train.txt`, `val.txt`. Label files are Matlab's, which scipy reads.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamseg.datasets.label_files import Values
from streamseg.datasets.voc import read_names
from streamseg.errors import BackendError, DataError
from streamseg.labels import VOC

NAME = "sbd"
LABELS = VOC
TRAIN_IDS = {value: value for value in range(len(VOC))}
CAVEATS = {"val": "of SBD's own split: Pascal VOC 2012 trains on some of these images"}

PLACES = ("", "dataset", "benchmark_RELEASE/dataset")
"""Of its folders, below what a user may name."""


def is_layout(root: Path) -> bool:
    return any((root / place / "cls").is_dir() for place in PLACES)


def list_pairs(root: Path, split: str) -> list[tuple[Path, Path]]:
    """The split's files in the order of its list. `train.txt` holds images of Pascal VOC 2012's validation split: to be
    scored on that, train by a list of your own without them ("train_noval.txt" is split "train_noval").

    Raises:
        DataError: no such list, or nothing in it.
    """
    folder = next(root / place for place in PLACES if (root / place / "cls").is_dir())
    return [
        (folder / "img" / f"{name}.jpg", folder / "cls" / f"{name}.mat")
        for name in read_names(folder / f"{split}.txt")
    ]


def read_values(path: Path) -> Values:
    """Class ids of a file in `cls/`.

    Raises:
        DataError: it cannot be read.
        BackendError: scipy is not installed.
    """
    return _segmentation(path, "GTcls")


def read_instances(path: Path) -> NDArray[np.uint8] | None:
    """`inst/` of a file in `cls/`.

    Raises:
        DataError, BackendError: as `read_values`.
    """
    return _segmentation(path.parent.with_name("inst") / path.name, "GTinst")


def _segmentation(path: Path, record: str) -> NDArray[np.uint8]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise BackendError(
            "SBD's label files are Matlab's, and scipy, which reads them, is not installed: pip install scipy"
        ) from error
    try:
        found = np.asarray(loadmat(path)[record][0]["Segmentation"][0])
    except (MatReadError, OSError, LookupError, TypeError, ValueError) as error:
        raise DataError(f"expected {record}.Segmentation of SBD in {path}: {error}") from error
    return found
