from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.datasets import cityscapes, open_dataset
from streamseg.errors import DataError
from streamseg.labels import CITYSCAPES, IGNORE

OFFICIAL = {
    "road": (7, 0), "sidewalk": (8, 1), "building": (11, 2), "wall": (12, 3), "fence": (13, 4),
    "pole": (17, 5), "traffic light": (19, 6), "traffic sign": (20, 7), "vegetation": (21, 8),
    "terrain": (22, 9), "sky": (23, 10), "person": (24, 11), "rider": (25, 12), "car": (26, 13),
    "truck": (27, 14), "bus": (28, 15), "train": (31, 16), "motorcycle": (32, 17),
    "bicycle": (33, 18),
}  # fmt: skip
"""Name -> (id, train id), from cityscapesScripts' `helpers/labels.py`."""


def write_frame(root: Path, split: str, stem: str, label: NDArray[np.uint8]) -> None:
    city = stem.split("_")[0]
    image_file = root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
    label_file = root / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png"
    for path, array in ((image_file, np.dstack([label] * 3)), (label_file, label)):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), array)


def test_train_ids_are_the_official_ones() -> None:
    assert dict(OFFICIAL.values()) == cityscapes.TRAIN_IDS
    for name, (_, train_id) in OFFICIAL.items():
        assert CITYSCAPES.class_names[train_id] == name


def test_label_ids_become_train_ids_and_all_others_ignore(tmp_path: Path) -> None:
    every_id = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_frame(tmp_path, "val", "lindau_000000_000019", every_id)
    dataset = open_dataset(tmp_path, "val")
    assert dataset.name == "cityscapes"
    _, label = dataset.load(0)
    official = dict(OFFICIAL.values())
    expected = [official.get(value, IGNORE) for value in range(256)]
    assert label.reshape(-1).tolist() == expected


def test_files_of_a_split_come_by_city_and_name(tmp_path: Path) -> None:
    label = np.full((4, 6), 7, np.uint8)
    stems = ["aachen_000001_000019", "aachen_000002_000019", "bochum_000000_000019"]
    for stem in reversed(stems):
        write_frame(tmp_path, "train", stem, label)
    write_frame(tmp_path, "val", "lindau_000000_000019", label)
    pairs = open_dataset(tmp_path, "train").pairs
    assert [image.name.removesuffix("_leftImg8bit.png") for image, _ in pairs] == stems
    for image, label_file in pairs:
        assert label_file.is_file()
        assert label_file.parent.name == image.parent.name


def test_missing_split_is_refused(tmp_path: Path) -> None:
    write_frame(tmp_path, "train", "aachen_000001_000019", np.zeros((4, 6), np.uint8))
    with pytest.raises(DataError, match=r"expected leftImg8bit/test/CITY/\*_leftImg8bit\.png"):
        open_dataset(tmp_path, "test")


def test_missing_label_file_is_named(tmp_path: Path) -> None:
    write_frame(tmp_path, "train", "aachen_000001_000019", np.zeros((4, 6), np.uint8))
    dataset = open_dataset(tmp_path, "train")
    dataset.pairs[0][1].unlink()
    with pytest.raises(
        DataError, match=r"readable image at .*_gtFine_labelIds\.png; it is missing"
    ):
        dataset.load(0)
