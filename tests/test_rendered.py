"""The rendered training set."""

from pathlib import Path

import numpy as np
import pytest

from streamseg.datasets import open_dataset
from streamseg.errors import SinkError
from streamseg.sample import write_rendered
from streamseg.sample.dataset import ASPECTS, FRAMES_A_STREET, HEIGHTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered(tmp_path_factory.mktemp("rendered") / "a" / "set", frames=10, seed=3)


def test_it_opens_as_a_data_set_of_several_streets_and_sizes(folder: Path) -> None:
    dataset = open_dataset(folder, "train")
    assert len(dataset) == 10
    assert dataset.drives == ("street00000", "street00001", "street00002")
    assert len(dataset.only("street00000")) == FRAMES_A_STREET
    sizes = set()
    for index in range(len(dataset)):
        image, label = dataset.load(index)
        sizes.add(label.shape)
        assert HEIGHTS[0] <= label.shape[0] <= HEIGHTS[1]
        assert label.max() < len(dataset.labels)
        assert image.std() > 20
    assert len(sizes) == 3
    for height, width in sizes:
        assert ASPECTS[0] - 0.02 <= width / height <= ASPECTS[1] + 0.02


def test_frames_of_a_street_differ(folder: Path) -> None:
    street = open_dataset(folder, "train").only("street00001")
    labels = [street.load(index)[1] for index in range(len(street))]
    assert all((labels[0] != other).mean() > 0.02 for other in labels[1:])


def test_a_complete_set_is_not_made_again(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_rendered(folder, frames=10, seed=3, progress=lambda done, total: pytest.fail("rendered"))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_equal_arguments_give_equal_files_and_another_seed_others(
    folder: Path, tmp_path: Path
) -> None:
    first = folder / "train" / "street00000_0.png"
    again = write_rendered(tmp_path / "again", frames=1, seed=3) / "train" / first.name
    other = write_rendered(tmp_path / "other", frames=1, seed=4) / "train" / first.name
    assert again.read_bytes() == first.read_bytes() != other.read_bytes()


def test_what_holds_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"expected 11 frames, seed 3 .* holds 10 frames, seed 3"):
        write_rendered(folder, frames=11, seed=3)
    (tmp_path / "photos").mkdir()
    with pytest.raises(SinkError, match=r"holds something else; delete it or name another"):
        write_rendered(tmp_path / "photos", frames=1)


def test_an_interrupted_set_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert (done, total) == (1, 5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rendered(tmp_path / "set", frames=5, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"cannot write .*file"):
        write_rendered(tmp_path / "file" / "set", frames=1)


@pytest.mark.parametrize("values", [{"frames": 0}, {"frames": 1, "seed": -1}])
def test_impossible_sets_are_refused(values: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected frames >= 1 and seed >= 0"):
        write_rendered(tmp_path / "set", **values)


def test_classes_that_are_rare_in_photographs_are_there(folder: Path) -> None:
    dataset = open_dataset(folder, "train")
    pixels = sum(
        np.bincount(dataset.load(index)[1].reshape(-1), minlength=11) for index in range(10)
    )
    assert (pixels[[2, 6, 8]] > 0).all()  # pole, sign, car
