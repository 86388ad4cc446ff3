"""CamVid as the SegNet tutorial lays it out: 11 classes, 360x480, `train.txt`, `train/`,
`trainannot/`.

The 101 validation frames are one 6.7 s clip of a drive that is also in training; the 233 test
frames are the headline split.
"""

from pathlib import Path, PurePosixPath

from streamseg.datasets import label_files
from streamseg.errors import DataError
from streamseg.labels import CAMVID

NAME = CAMVID.name
LABELS = CAMVID
TRAIN_IDS = {value: value for value in range(len(CAMVID))}
"""Label files hold class ids 0..10; 11 is unlabelled."""
CAVEATS = {"val": "one 6.7 s clip of a drive that is also in training; test is the headline split"}

read_values = label_files.read_values
read_instances = label_files.no_instances


def is_layout(root: Path) -> bool:
    return any((root / f"{split}annot").is_dir() for split in ("train", "val", "test"))


def list_pairs(root: Path, split: str) -> list[tuple[Path, Path]]:
    """The split's files in the order of its list, or of their names where no list is.

    The list's lines name files under the tutorial's own root ("/SegNet/CamVid/train/x.png"): only
    the last two parts of each path are used.

    Raises:
        DataError: no image of that split, or a list that is no such list.
    """
    listing = root / f"{split}.txt"
    if listing.is_file():
        pairs = _listed(root, listing)
    else:
        images = sorted((root / split).glob("*.png"))
        pairs = [(image, root / f"{split}annot" / image.name) for image in images]
    if not pairs:
        raise DataError(
            f"expected images of split {split!r} in {root}, listed in {split}.txt or as "
            f"{split}/*.png; found none"
        )
    return pairs


def _listed(root: Path, listing: Path) -> list[tuple[Path, Path]]:
    try:
        text = listing.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the list {listing}: {error}") from error
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        paths = [PurePosixPath(word).parts[-2:] for word in line.split()]
        if not paths:
            continue
        if len(paths) != 2 or any(len(path) != 2 or path[0] == "/" for path in paths):
            raise DataError(
                f"expected two paths a line (train/x.png trainannot/x.png) in {listing}, "
                f"got {line.strip()!r} in line {number}"
            )
        image, label = paths
        pairs.append((root.joinpath(*image), root.joinpath(*label)))
    return pairs
