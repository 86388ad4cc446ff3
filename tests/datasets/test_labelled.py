import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from camvid_writer import street, write_camvid

from streamseg.datasets import LabelledImages, open_dataset
from streamseg.errors import DataError


@pytest.fixture
def dataset(tmp_path: Path) -> LabelledImages:
    write_camvid(tmp_path, "train", [street(0)])
    return open_dataset(tmp_path, "train")


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a data set folder at .*nowhere; there is none"):
        open_dataset(tmp_path / "nowhere", "train")


def test_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected a data set folder"):
        open_dataset(tmp_path / "file", "train")


def test_folder_of_no_known_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=r"expected CamVid .*, Cityscapes .*, .*; found none"):
        open_dataset(tmp_path, "train")


def test_root_may_be_text(tmp_path: Path) -> None:
    write_camvid(tmp_path, "train", [street(0)])
    assert len(open_dataset(str(tmp_path), "train")) == 1


@pytest.mark.parametrize("which", [0, 1], ids=["image", "label map"])
def test_missing_file_is_named(dataset: LabelledImages, which: int) -> None:
    path = dataset.pairs[0][which]
    path.unlink()
    with pytest.raises(DataError, match=f"{path}; it is missing or damaged"):
        dataset.load(0)


@pytest.mark.parametrize("which", [0, 1], ids=["image", "label map"])
def test_damaged_file_is_named(dataset: LabelledImages, which: int) -> None:
    path = dataset.pairs[0][which]
    path.write_bytes(b"no picture at all")
    with pytest.raises(DataError, match=f"{path}; it is missing or damaged"):
        dataset.load(0)


def test_image_beyond_opencvs_limit_is_named(dataset: LabelledImages) -> None:
    path = dataset.pairs[0][0]
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 1 << 17, 1 << 17)  # width and height in the PNG's header
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"expected a readable image at {path}: .*pixels"):
        dataset.load(0)


@pytest.mark.parametrize(
    ("label", "got"),
    [
        (np.zeros((48, 63), np.uint8), r"shape \(48, 63\), uint8"),
        (np.zeros((48, 64, 3), np.uint8), r"shape \(48, 64, 3\), uint8"),
        (np.zeros((48, 64), np.uint16), r"shape \(48, 64\), uint16"),
    ],
    ids=["other size", "three channels", "16 bit"],
)
def test_label_map_unlike_its_image_is_refused(
    dataset: LabelledImages, label: np.ndarray, got: str
) -> None:
    assert cv2.imwrite(str(dataset.pairs[0][1]), label)
    with pytest.raises(DataError, match=rf"label map of \(48, 64\) at .*, got {got}"):
        dataset.load(0)


def test_one_channel_images_are_loaded_as_bgr(dataset: LabelledImages) -> None:
    gray = np.arange(48 * 64, dtype=np.uint32).reshape(48, 64).astype(np.uint8)
    assert cv2.imwrite(str(dataset.pairs[0][0]), gray)
    image, _ = dataset.load(0)
    np.testing.assert_array_equal(image, np.dstack([gray] * 3))


@pytest.fixture
def drives(tmp_path: Path) -> LabelledImages:
    """Five images: b, a, b, a, b in the order of the list, which is the names' reversed."""
    samples = [street(seed) for seed in range(5)]
    write_camvid(tmp_path / "drives", "train", samples, drives=("b", "a"))
    return open_dataset(tmp_path / "drives", "train")


def names(images: LabelledImages) -> list[str]:
    return [image.name for image, _ in images.pairs]


def test_a_drive_is_what_stands_before_the_first_underscore(drives: LabelledImages) -> None:
    assert drives.drives == ("b", "a")


def test_one_drive_and_all_others_share_no_image(drives: LabelledImages) -> None:
    only, others = drives.only("a"), drives.without("a")
    assert names(only) == ["a_003.png", "a_001.png"]
    assert names(others) == ["b_004.png", "b_002.png", "b_000.png"]
    assert (only.split, others.split) == ("train a", "train without a")
    assert len(only.load(0)[0]) == 48


def test_an_unknown_drive_is_refused_and_the_known_named(drives: LabelledImages) -> None:
    for choose in (drives.only, drives.without):
        with pytest.raises(DataError, match=r"unknown drive 'c' in camvid train; known: b, a"):
            choose("c")


def test_the_only_drive_cannot_be_left_out(dataset: LabelledImages) -> None:
    with pytest.raises(DataError, match="another drive than frame in camvid train, to train on"):
        dataset.without("frame")
