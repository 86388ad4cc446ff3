import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamseg.datasets import open_dataset
from streamseg.datasets.autolabelled import AutoLabels, read_record
from streamseg.errors import DataError
from streamseg.labels import IGNORE, generic_labels

MADE = AutoLabels(
    model="teacher", weights="ab12", threshold=0.9, size="auto", precision="fp32",
    labels=generic_labels(20),
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two frames of two drives, of 20 classes."""
    folder = tmp_path / "auto"
    for inner in ("train", "trainannot"):
        (folder / inner).mkdir(parents=True)
    for name in ("b_001.png", "a_001.png"):
        cv2.imwrite(str(folder / "train" / name), np.full((2, 3, 3), 9, np.uint8))
        label = np.array([[0, 11, 19], [20, 254, IGNORE]], np.uint8)
        cv2.imwrite(str(folder / "trainannot" / name), label)
    (folder / "autolabel.json").write_text(json.dumps(MADE.to_values()))
    return folder


def test_it_opens_with_its_own_classes(root: Path) -> None:
    dataset = open_dataset(root, "train")
    assert (dataset.name, len(dataset), dataset.drives) == ("auto", 2, ("a", "b"))
    assert dataset.labels.class_names == MADE.labels.class_names
    assert dataset.labels.colors == MADE.labels.colors
    assert dataset.contents == "auto-labelled frames by teacher at threshold 0.9"
    label = dataset.load(0)[1]
    assert label.tolist() == [[0, 11, 19], [IGNORE, IGNORE, IGNORE]]


def test_the_record_comes_back_whole(root: Path) -> None:
    assert read_record(root).to_values() == MADE.to_values()


def test_other_labels_have_another_digest(root: Path) -> None:
    before = open_dataset(root, "train").digest()
    assert open_dataset(root, "train").digest() == before
    label = np.random.default_rng(0).integers(0, 9, (2, 3), np.uint8)
    cv2.imwrite(str(root / "trainannot" / "a_001.png"), label)
    after = open_dataset(root, "train")
    assert after.digest() != before
    (root / "trainannot" / "a_001.png").unlink()
    with pytest.raises(DataError, match=r"expected a label map at .*a_001"):
        after.digest()


def test_there_is_no_split_to_be_scored_on(root: Path) -> None:
    with pytest.raises(DataError, match=r"expected split train of the auto-labelled .*got 'val'"):
        open_dataset(root, "val")


def test_an_empty_folder_is_said(root: Path) -> None:
    for image in (root / "train").iterdir():
        image.unlink()
    with pytest.raises(DataError, match=r"expected auto-labelled frames as train/\*.png"):
        open_dataset(root, "train")


@pytest.mark.parametrize("text", ["", "[]", '{"model": "x"}', "[" * 10000])
def test_a_damaged_record_is_one_line(root: Path, text: str) -> None:
    (root / "autolabel.json").write_text(text)
    with pytest.raises(DataError, match=r"expected the record of auto-labelled frames in .*json"):
        open_dataset(root, "train")
