from pathlib import Path

import cv2
import numpy as np
import pytest
from voc_writer import voc_sample, write_palette_png, write_voc

from streamseg.datasets import open_dataset
from streamseg.datasets.label_files import palette_rgb, read_indices
from streamseg.errors import DataError
from streamseg.labels import VOC


def test_the_palette_is_vocs() -> None:
    colors = palette_rgb()
    assert len(np.unique(colors, axis=0)) == 256
    assert colors[: len(VOC)].tolist() == [list(color) for color in VOC.colors]
    assert colors[255].tolist() == [224, 224, 192]


def test_palette_images_are_read_as_class_ids_and_object_numbers(tmp_path: Path) -> None:
    write_voc(tmp_path, "val", ["2007_000033", "2007_000032"])
    dataset = open_dataset(tmp_path, "val")
    assert (dataset.name, dataset.labels, dataset.split) == ("voc", VOC, "val")
    assert [image.name for image, _ in dataset.pairs] == ["2007_000033.jpg", "2007_000032.jpg"]
    _, label, objects = voc_sample()
    image, read = dataset.load(1)
    assert image.shape == (40, 60, 3)
    np.testing.assert_array_equal(read, label)
    np.testing.assert_array_equal(dataset.load_instances(1), objects)


def test_every_index_survives_the_palette(tmp_path: Path) -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_palette_png(tmp_path / "every.png", every)
    np.testing.assert_array_equal(read_indices(tmp_path / "every.png"), every)


def test_labels_of_the_augmented_set_are_taken_where_voc_has_none(tmp_path: Path) -> None:
    write_voc(tmp_path, "train", ["2007_000032"])
    gray = np.full((40, 60), 7, np.uint8)  # as SegmentationClassAug is usually passed on
    write_voc(tmp_path, "train_aug", ["2008_000002"], folder="SegmentationClassAug", objects=False)
    assert cv2.imwrite(str(tmp_path / "SegmentationClassAug" / "2008_000002.png"), gray)
    (tmp_path / "ImageSets" / "Segmentation" / "train_aug.txt").write_text(
        "/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png\n\n"
        "/JPEGImages/2008_000002.jpg /SegmentationClassAug/2008_000002.png\n"
    )
    dataset = open_dataset(tmp_path, "train_aug")
    folders = [label.parent.name for _, label in dataset.pairs]
    assert folders == ["SegmentationClass", "SegmentationClassAug"]
    np.testing.assert_array_equal(dataset.load(1)[1], gray)
    assert dataset.load_instances(0) is not None
    assert dataset.load_instances(1) is None


def test_a_color_that_is_not_vocs_is_named(tmp_path: Path) -> None:
    write_voc(tmp_path, "val", ["a"])
    label = np.zeros((40, 60, 3), np.uint8)
    label[3, 4] = (1, 2, 3)
    assert cv2.imwrite(str(tmp_path / "SegmentationClass" / "a.png"), label)
    with pytest.raises(DataError, match=r"VOC's colours at .*a\.png, got red 3, green 2, blue 1"):
        open_dataset(tmp_path, "val").load(0)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "expected a list of images at"), (b"\n", "it is empty"), (b"\xff\xfe", "cannot read")],
)
def test_a_split_without_a_list_is_refused(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    write_voc(tmp_path, "train", ["a"])
    if content is not None:
        (tmp_path / "ImageSets" / "Segmentation" / "test.txt").write_bytes(content)
    with pytest.raises(DataError, match=said):
        open_dataset(tmp_path, "test")


def test_a_missing_label_file_is_named(tmp_path: Path) -> None:
    write_voc(tmp_path, "val", ["a"])
    (tmp_path / "SegmentationClass" / "a.png").unlink()
    with pytest.raises(DataError, match=r"SegmentationClass/a\.png; it is missing"):
        open_dataset(tmp_path, "val").load(0)
