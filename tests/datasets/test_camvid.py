from pathlib import Path

import numpy as np
import pytest
from camvid_writer import street, write_camvid

from streamseg.datasets import camvid, open_dataset
from streamseg.errors import DataError
from streamseg.labels import CAMVID, IGNORE


def test_list_gives_order_whatever_root_it_names(tmp_path: Path) -> None:
    names = write_camvid(tmp_path, "train", [street(seed) for seed in range(3)])
    pairs = camvid.list_pairs(tmp_path, "train")
    assert pairs == [(tmp_path / "train" / name, tmp_path / "trainannot" / name) for name in names]
    assert names == ["frame_002.png", "frame_001.png", "frame_000.png"]


def test_without_a_list_names_give_the_order(tmp_path: Path) -> None:
    names = write_camvid(tmp_path, "val", [street(seed) for seed in range(3)], listing=False)
    pairs = camvid.list_pairs(tmp_path, "val")
    assert pairs == [(tmp_path / "val" / name, tmp_path / "valannot" / name) for name in names]


def test_blank_lines_of_a_list_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("\n train/a.png trainannot/a.png \n\n")
    assert camvid.list_pairs(tmp_path, "train") == [
        (tmp_path / "train" / "a.png", tmp_path / "trainannot" / "a.png")
    ]


@pytest.mark.parametrize(
    "line",
    ["train/a.png", "a b c", "a.png b.png", "/a.png /b.png", "train/a.png trainannot/a.png x"],
)
def test_list_of_something_else_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "train.txt").write_text(f"train/a.png trainannot/a.png\n{line}\n")
    with pytest.raises(DataError, match=r"expected two paths a line .* in line 2$"):
        camvid.list_pairs(tmp_path, "train")


def test_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(DataError, match=r"cannot read the list .*train\.txt"):
        camvid.list_pairs(tmp_path, "train")


def test_missing_split_is_refused(tmp_path: Path) -> None:
    write_camvid(tmp_path, "train", [street(0)])
    with pytest.raises(DataError, match=r"expected images of split 'test' in .*; found none"):
        camvid.list_pairs(tmp_path, "test")


def test_unlabelled_pixels_become_ignore(tmp_path: Path) -> None:
    image, raw = street(0)
    write_camvid(tmp_path, "train", [(image, raw)])
    dataset = open_dataset(tmp_path, "train")
    loaded, label = dataset.load(0)
    np.testing.assert_array_equal(loaded, image)
    assert (raw == 11).any()
    np.testing.assert_array_equal(label, np.where(raw == 11, IGNORE, raw))
    assert dataset.name == "camvid"
    assert dataset.labels is CAMVID


def test_validation_split_carries_its_caveat(tmp_path: Path) -> None:
    write_camvid(tmp_path, "train", [street(0)])
    write_camvid(tmp_path, "val", [street(1)])
    assert "also in training" in open_dataset(tmp_path, "val").caveat
    assert open_dataset(tmp_path, "train").caveat == ""


@pytest.mark.slow
@pytest.mark.parametrize(("split", "num_frames"), [("train", 367), ("val", 101)])
def test_real_data_is_whole(camvid_dir: Path, split: str, num_frames: int) -> None:
    dataset = open_dataset(camvid_dir, split)
    assert len(dataset) == num_frames
    assert len({image for image, _ in dataset.pairs}) == num_frames
    seen = np.zeros(256, np.int64)
    for index in range(num_frames):
        image, label = dataset.load(index)
        assert image.shape == (360, 480, 3)
        assert label.shape == (360, 480)
        seen += np.bincount(label.reshape(-1), minlength=256)
    assert seen[:11].all()
    assert seen[IGNORE] > 0
    assert not seen[11:IGNORE].any()
