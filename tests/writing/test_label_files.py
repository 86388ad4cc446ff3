"""Label maps as PNG and npz, read back by `read_labels` and by programs of others: OpenCV and numpy."""

import csv
import resource
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import gray_frame
from numpy.typing import NDArray

from streamseg.errors import SinkError
from streamseg.frames import Painted
from streamseg.labels import CAMVID, generic_labels
from streamseg.reading.read_labels import read_labels
from streamseg.writing.label_files import LabelArchive, LabelFolder, is_label_folder

Maps = list[NDArray[np.uint8]]

FORMS: dict[str, tuple[type[LabelFolder] | type[LabelArchive], str, str]] = {
    "png": (LabelFolder, "a_labels", "a_labels.part"),
    "npz": (LabelArchive, "a_labels.npz", "a_labels.part.npz"),
}
"""Writer, name and unfinished name."""

every_form = pytest.mark.parametrize("form", FORMS)


def random_maps(rng: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> Maps:
    return [rng.integers(0, 256, size, np.uint8) for size in sizes]


def painted(index: int, labels: NDArray[np.uint8]) -> Painted:
    frame = gray_frame(index, size=labels.shape)  # type: ignore[arg-type]
    return Painted(frame=frame, labels=labels)


def write(folder: Path, form: str, maps: Maps) -> Path:
    writer, name, _ = FORMS[form]
    opened = writer(folder / name, CAMVID)
    for index, labels in enumerate(maps):
        opened.write(painted(index, labels))
    opened.close()
    return folder / name


def equal(got: Maps, wanted: Maps) -> bool:
    return len(got) == len(wanted) and all(map(np.array_equal, got, wanted))


# ---- what is written


@pytest.mark.parametrize("size", [(48, 64), (33, 65), (1, 1), (1, 7), (300, 1)])
@every_form
def test_label_maps_come_back_exactly(
    form: str, size: tuple[int, int], tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = random_maps(rng, [size] * 3)
    maps.append(np.arange(size[0] * size[1]).astype(np.uint8).reshape(size))  # all 256 values
    assert equal(list(read_labels(write(tmp_path, form, maps))), maps)


@every_form
def test_maps_that_change_their_size_keep_it(
    form: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = random_maps(rng, [(48, 64), (31, 17), (1, 1), (31, 17), (200, 100)])
    assert equal(list(read_labels(write(tmp_path, form, maps))), maps)


@every_form
def test_maps_that_are_views_are_written_as_they_look(
    form: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    (labels,) = random_maps(rng, [(40, 60)])
    turned = [labels.T, labels[::-1], labels[:, ::-1], labels[3:20, 5:18]]
    assert equal(list(read_labels(write(tmp_path, form, turned))), turned)


def test_a_viewer_of_the_pngs_shows_the_classes_colours(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    labels = generic_labels(255)
    (ids,) = random_maps(rng, [(40, 60)])
    folder = LabelFolder(tmp_path / "a_labels", labels)
    folder.write(painted(0, ids))
    folder.close()
    shown = cv2.imread(str(tmp_path / "a_labels" / "000000.png"))
    assert np.array_equal(shown[:, :, ::-1], labels.palette_rgb()[ids])


def test_the_folder_says_when_each_map_was(tmp_path: Path, rng: np.random.Generator) -> None:
    folder = write(tmp_path, "png", random_maps(rng, [(4, 6)] * 3))
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "000000.png", "000001.png", "000002.png", "frames.csv",
    ]  # fmt: skip
    with open(folder / "frames.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["file"] for row in rows] == ["000000.png", "000001.png", "000002.png"]
    assert [int(row["pts"]) for row in rows] == [0, 1, 2]
    assert [float(row["time_seconds"]) for row in rows] == [0, 1 / 25, 2 / 25]


def test_numpy_reads_the_archive_without_us(tmp_path: Path, rng: np.random.Generator) -> None:
    maps = random_maps(rng, [(4, 6), (5, 7)])
    with np.load(write(tmp_path, "npz", maps), allow_pickle=False) as archive:
        assert archive.files == [
            "000000", "000001", "pts", "time_seconds", "time_base", "class_names",
        ]  # fmt: skip
        assert equal([archive["000000"], archive["000001"]], maps)
        assert archive["pts"].tolist() == [0, 1]
        assert archive["time_seconds"].tolist() == [0, 1 / 25]
        assert archive["time_base"].tolist() == [1, 25]
        assert archive["class_names"].tolist() == list(CAMVID.class_names)


@every_form
def test_flat_maps_take_next_to_nothing(form: str, tmp_path: Path) -> None:
    flat = np.full((1024, 2048), 3, np.uint8)
    path = write(tmp_path, form, [flat])
    size = sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else None
    assert (size or path.stat().st_size) < flat.size / 100


def test_equal_maps_give_equal_archives(tmp_path: Path, rng: np.random.Generator) -> None:
    maps = random_maps(rng, [(4, 6), (5, 7)])
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    assert write(first, "npz", maps).read_bytes() == write(second, "npz", maps).read_bytes()


# ---- while it is written


@every_form
def test_what_is_written_so_far_can_be_read_at_any_moment(
    form: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    # Another process sees what this test sees: nothing waits in a buffer for kill -9 to lose.
    maps = random_maps(rng, [(48, 64), (31, 17), (48, 64), (5, 5)])
    writer, name, part = FORMS[form]
    opened = writer(tmp_path / name, CAMVID)
    for index, labels in enumerate(maps):
        opened.write(painted(index, labels))
        assert [entry.name for entry in tmp_path.iterdir()] == [part]
        assert equal(list(read_labels(tmp_path / part)), maps[: index + 1])
    opened.close()
    opened.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@every_form
def test_maps_do_not_pile_up_in_memory(form: str, tmp_path: Path, rng: np.random.Generator) -> None:
    (labels,) = random_maps(rng, [(512, 512)])
    writer, name, _ = FORMS[form]
    opened = writer(tmp_path / name, CAMVID)
    opened.write(painted(0, labels))
    tracemalloc.start()
    try:
        for index in range(1, 40):
            opened.write(painted(index, labels))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    opened.close()
    assert peak < 6 * labels.nbytes
    assert sum(1 for _ in read_labels(tmp_path / name)) == 40


def test_more_maps_than_a_zip_can_count_are_no_limit(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = random_maps(rng, [(2, 3)] * 20)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)  # in truth 65535
    path = write(tmp_path, "npz", maps)
    assert b"PK\x06\x06" in path.read_bytes()  # the end record of ZIP64
    assert equal(list(read_labels(path)), maps)


@every_form
def test_without_a_map_nothing_is_left_behind(form: str, tmp_path: Path) -> None:
    write(tmp_path, form, [])
    assert list(tmp_path.iterdir()) == []


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@every_form
def test_a_full_disk_ends_in_one_clear_error_and_keeps_what_is_there(
    form: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = random_maps(rng, [(40, 50), (40, 50), (200, 200)])
    writer, name, part = FORMS[form]
    opened = writer(tmp_path / name, CAMVID)
    with full_disk(10_000):
        for index in (0, 1):
            opened.write(painted(index, maps[index]))
        with pytest.raises(SinkError) as caught:
            opened.write(painted(2, maps[2]))
        opened.close()
    assert str(caught.value) == (
        f"writing {tmp_path / name} failed after 2 frames: File too large; the unfinished result "
        f"is {tmp_path / part}"
    )
    assert [entry.name for entry in tmp_path.iterdir()] == [part]
    assert equal(list(read_labels(tmp_path / part)), maps[:2])


@every_form
def test_a_disk_that_is_full_at_once_leaves_nothing(
    form: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    writer, name, _ = FORMS[form]
    opened = writer(tmp_path / name, CAMVID)
    with full_disk(1000):
        with pytest.raises(SinkError, match=r"failed after 0 frames: File too large$"):
            opened.write(painted(0, random_maps(rng, [(200, 200)])[0]))
        opened.close()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_end_is_told(tmp_path: Path, rng: np.random.Generator) -> None:
    maps = random_maps(rng, [(40, 50)])
    _, name, part = FORMS["npz"]
    opened = LabelArchive(tmp_path / name, CAMVID)
    opened.write(painted(0, maps[0]))
    told = pytest.raises(SinkError, match="failed after 1 frames: File too large; the unfinished")
    with full_disk((tmp_path / part).stat().st_size + 10), told:
        opened.close()
    assert equal(list(read_labels(tmp_path / part)), maps)


# ---- what was there before


@every_form
def test_an_earlier_result_stays_until_the_new_one_is_whole(
    form: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    old, new = random_maps(rng, [(4, 6)] * 5), random_maps(rng, [(4, 6)] * 2)
    path = write(tmp_path, form, old)
    opened = FORMS[form][0](path, CAMVID)
    opened.write(painted(0, new[0]))
    assert equal(list(read_labels(path)), old)
    opened.write(painted(1, new[1]))
    opened.close()
    assert equal(list(read_labels(path)), new)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@every_form
def test_what_a_killed_run_left_is_begun_anew(
    form: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    _, name, part = FORMS[form]
    write(tmp_path, form, random_maps(rng, [(40, 60)] * 5)).rename(tmp_path / part)
    maps = random_maps(rng, [(4, 6)] * 2)
    assert equal(list(read_labels(write(tmp_path, form, maps))), maps)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def note(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def subfolder(folder: Path) -> None:
    (folder / "000007.png").mkdir()


def link(folder: Path) -> None:
    (folder / "000007.png").symlink_to("000000.png")


def no_index(folder: Path) -> None:
    (folder / "frames.csv").unlink()


@pytest.mark.parametrize("change", [note, subfolder, link, no_index])
def test_a_folder_with_files_of_others_is_never_touched(
    change: Callable[[Path], None], tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = random_maps(rng, [(4, 6)] * 3)
    path = write(tmp_path, "png", maps)
    assert is_label_folder(path)
    folder = LabelFolder(path, CAMVID)
    folder.write(painted(0, maps[2]))
    change(path)  # while the run goes on
    before = sorted(path.iterdir())
    assert not is_label_folder(path)
    with pytest.raises(SinkError, match=r"Directory not empty; the unfinished result is .*\.part$"):
        folder.close()
    assert sorted(path.iterdir()) == before
    assert equal(list(read_labels(tmp_path / "a_labels.part")), maps[2:])
    change(tmp_path / "a_labels.part")
    with pytest.raises(SinkError, match=r"cannot write .*a_labels: File exists"):
        LabelFolder(path, CAMVID)


def test_an_empty_folder_is_nobodys(tmp_path: Path) -> None:
    assert is_label_folder(tmp_path)


@every_form
def test_a_folder_that_is_not_there_is_named(form: str, tmp_path: Path) -> None:
    writer, name, _ = FORMS[form]
    with pytest.raises(SinkError, match=r"cannot write .*nowhere/a_labels.*: No such file"):
        writer(tmp_path / "nowhere" / name, CAMVID)
