import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from voc_writer import voc_sample, write_sbd

from streamseg.datasets import open_dataset
from streamseg.errors import BackendError, DataError
from streamseg.labels import VOC


@pytest.mark.parametrize("place", ["", "dataset", "benchmark_RELEASE/dataset"])
def test_matlab_files_are_read(tmp_path: Path, place: str) -> None:
    write_sbd(tmp_path / place, "train", ["2008_000003", "2008_000002"])
    dataset = open_dataset(tmp_path, "train")
    assert (dataset.name, dataset.labels) == ("sbd", VOC)
    assert [label.name for _, label in dataset.pairs] == ["2008_000003.mat", "2008_000002.mat"]
    _, label, objects = voc_sample()
    np.testing.assert_array_equal(dataset.load(0)[1], np.where(label == 255, 0, label))
    np.testing.assert_array_equal(dataset.load_instances(0), np.where(objects == 255, 0, objects))


def test_lists_of_ones_own_are_splits(tmp_path: Path) -> None:
    write_sbd(tmp_path, "train_noval", ["2008_000003"])
    assert len(open_dataset(tmp_path, "train_noval")) == 1
    with pytest.raises(DataError, match=r"expected a list of images at .*val\.txt; there is none"):
        open_dataset(tmp_path, "val")


def test_without_scipy_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sbd(tmp_path, "train", ["a"])
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(
        BackendError, match=r"scipy, which reads them, is not installed: pip install"
    ):
        open_dataset(tmp_path, "train").load(0)


@pytest.mark.parametrize("damage", ["no Matlab file at all", "another record", "nothing"])
def test_damaged_files_are_named(tmp_path: Path, damage: str) -> None:
    write_sbd(tmp_path, "train", ["a"])
    file = tmp_path / "cls" / "a.mat"
    if damage == "another record":
        savemat(file, {"GTinst": {"Segmentation": np.zeros((3, 3), np.uint8)}})
    else:
        file.write_bytes(b"" if damage == "nothing" else damage.encode() * 20)
    with pytest.raises(DataError, match=r"expected GTcls\.Segmentation of SBD in .*a\.mat"):
        open_dataset(tmp_path, "train").load(0)


def test_a_label_map_of_another_size_is_refused(tmp_path: Path) -> None:
    write_sbd(tmp_path, "train", ["a"])
    savemat(tmp_path / "cls" / "a.mat", {"GTcls": {"Segmentation": np.zeros((3, 3), np.uint8)}})
    with pytest.raises(DataError, match=r"label map of \(40, 60\) at .*, got shape \(3, 3\)"):
        open_dataset(tmp_path, "train").load(0)
