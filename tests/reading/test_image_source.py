import gc
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeStage, collect
from media import write_images

from streamseg.errors import SourceError
from streamseg.reading.image_source import list_images
from streamseg.reading.open_source import open_source
from streamseg.reading.source import Cut, OnCorrupt
from streamseg.stream.pipeline import Pipeline

NAMES = ["f1.png", "f2.png", "f10.png", "f11.png", "g1.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", NAMES, [(33, 65)] * 5)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    return tmp_path / "images"


def read(source: Any, **options: Any) -> list[Any]:
    return list(open_source(source, **options))


def test_a_folder_is_read_in_natural_order(folder: Path) -> None:
    frames = read(folder)
    brightness = [int(frame.pixels.y.mean()) for frame in frames]
    assert brightness == sorted(brightness)
    assert len(set(brightness)) == 5
    assert [frame.time_seconds for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    assert [frame.image.duration for frame in frames] == [1] * 5
    info = open_source(folder).info
    assert (info.size, info.num_frames, info.rate, info.stem) == ((33, 65), 5, 25, "images")


def test_gray_values_survive_the_way_into_planes(folder: Path) -> None:
    luma = [float(frame.pixels.y.mean()) for frame in read(folder)]
    assert luma == pytest.approx([16 + 219 * (20 + 10 * k) / 255 for k in range(5)], abs=1)


def test_a_glob_chooses(folder: Path) -> None:
    frames = read(f"{folder}/f1*.png")
    assert len(frames) == 3
    assert open_source(f"{folder}/f1*.png").info.stem == "images"


def test_one_image_is_a_source_of_one_frame(folder: Path) -> None:
    assert len(read(folder / "f10.png")) == 1


def test_digits_of_other_scripts_do_not_break_the_order(tmp_path: Path) -> None:
    names = ["a\u00b2.png", "a2.png", "a\u0663.png"]
    for name in names:
        (tmp_path / name).touch()
    listed = list_images(str(tmp_path))
    assert listed is not None
    assert sorted(file.name for file in listed) == sorted(names)


@pytest.mark.parametrize(
    ("cut", "indices"),
    [
        (Cut(start_seconds=0.04), [1, 2, 3, 4]),
        (Cut(start_seconds=0.05, end_seconds=0.12), [2]),
        (Cut(limit=2), [0, 1]),
        (Cut(end_seconds=0.08), [0, 1]),
    ],
)
def test_cuts(cut: Cut, indices: list[int], folder: Path) -> None:
    assert [frame.image.pts for frame in read(folder, cut=cut)] == indices


def test_a_cut_that_leaves_nothing_says_so(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"no image of .* 5 images at 25 per second last 0.2 s"):
        open_source(folder, cut=Cut(start_seconds=9.0))


@pytest.mark.parametrize("policy", ["keep", "skip"])
def test_a_broken_image_is_left_out_and_counted_and_keeps_its_time(
    policy: OnCorrupt, folder: Path
) -> None:
    (folder / "f2.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    source = open_source(folder, on_corrupt=policy)
    frames = list(source)
    assert [(frame.index, frame.pts) for frame in frames] == [(0, 0), (1, 2), (2, 3), (3, 4)]
    assert source.corrupt_skipped == 1
    assert len(source.notes) == 1
    assert re.match(r"f2.png asked for, left out, expected an image .*f2.png: ", source.notes[0])


def test_a_broken_image_in_front_does_not_hide_the_good_ones(folder: Path) -> None:
    (folder / "f1.png").write_bytes(b"none")
    source = open_source(folder)
    assert source.info.size == (33, 65)
    assert [frame.pts for frame in source] == [1, 2, 3, 4]


def test_an_image_of_absurd_size_is_refused(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "bombs", ["1.png"], [(200, 300)])
    with pytest.raises(SourceError, match=r"at most 50000 pixels in .*1\.png: "):
        open_source(folder, max_pixels=50_000)
    assert len(list(open_source(folder, max_pixels=100_000))) == 1


def test_a_broken_image_in_the_middle_ends_the_stream_when_asked_to(folder: Path) -> None:
    (folder / "f10.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    pipeline = Pipeline(open_source(folder, on_corrupt="stop"), [FakeStage()])
    pipeline.start()
    came: list[int] = []
    with pytest.raises(
        SourceError, match=r"expected an image of at most 16777216 pixels in .*f10.png: "
    ):
        collect(pipeline, came)
    assert came == [0, 1]


def test_images_may_differ_in_size(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "mixed", ["1.png", "2.jpg"], [(20, 30), (41, 50)])
    frames = read(folder)
    assert [frame.pixels.size for frame in frames] == [(20, 30), (41, 50)]
    assert np.ptp(frames[1].pixels.y) <= 2


def test_a_percent_sign_in_a_name_is_just_that(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "odd", ["50%d.png", "a%03d.png"], [(20, 30), (20, 30)])
    assert [int(frame.pixels.y.mean()) for frame in read(folder)] == [33, 42]


def photograph(path: Path, orientation: int) -> Path:
    """A JPEG 20 x 30 with an Exif orientation, its left half dark."""
    image = np.full((20, 30, 3), 200, np.uint8)
    image[:, :15] = 40
    encoded = cv2.imencode(".jpg", image)[1].tobytes()
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes(encoded[:2] + segment + encoded[2:])
    return path


@pytest.mark.parametrize(
    ("orientation", "size", "dark"),
    [
        (1, (20, 30), np.s_[:, :15]),
        (3, (20, 30), np.s_[:, 15:]),
        (6, (30, 20), np.s_[:15]),
        (8, (30, 20), np.s_[15:]),
    ],
)
def test_a_photograph_is_turned_as_its_camera_was_held(
    orientation: int, size: tuple[int, int], dark: Any, tmp_path: Path
) -> None:
    (frame,) = read(photograph(tmp_path / "a.jpg", orientation))
    assert frame.pixels.size == size
    assert frame.pixels.y[dark].mean() < 60
    assert frame.pixels.y.mean() > 100


def with_chunk(path: Path, kind: bytes, data: bytes) -> Path:
    """A PNG 20 x 30 with one more chunk behind its header."""
    encoded = cv2.imencode(".png", np.full((20, 30, 3), 90, np.uint8))[1].tobytes()
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(encoded[:33] + chunk + encoded[33:])
    return path


@pytest.mark.parametrize(
    ("kind", "start"),
    [(b"zTXt", b"note\0\0"), (b"iCCP", b"x\0\0"), (b"iTXt", b"x\0\1\0en\0y\0")],
)
def test_text_that_unpacks_without_end_is_refused(
    kind: bytes, start: bytes, tmp_path: Path
) -> None:
    honest = with_chunk(tmp_path / "1.png", kind, start + zlib.compress(b"a" * 1_000_000))
    assert len(read(honest)) == 1
    bomb = with_chunk(tmp_path / "2.png", kind, start + zlib.compress(bytes(20_000_000)))
    with pytest.raises(SourceError, match="more text or colour profile"):
        read(bomb)


def test_a_colour_profile_does_no_harm_later(tmp_path: Path) -> None:
    """PyAV frees its name twice, once it was asked for side data: this process would die."""
    path = with_chunk(tmp_path / "1.png", b"iCCP", b"x\0\0" + zlib.compress(b"a" * 1000))
    for _ in range(50):
        read(path)
        read(tmp_path)
    gc.collect()
