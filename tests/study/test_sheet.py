from pathlib import Path

import cv2
import numpy as np
import pytest

from streamseg.errors import SinkError
from streamseg.labels import CAMVID, IGNORE
from streamseg.study.sheet import (
    CAPTION_PX,
    GAP_PX,
    OTHER,
    RIGHT,
    WRONG,
    Tile,
    change_picture,
    faded,
    label_picture,
    write_sheet,
    wrong_picture,
)

IMAGE = np.full((1, 6, 3), 90, np.uint8)
TRUTH = np.array([[0, 0, 0, 0, 0, IGNORE]], np.uint8)
BEFORE = np.array([[0, 0, 1, 1, 1, 1]], np.uint8)
AFTER = np.array([[0, 1, 0, 2, 1, 2]], np.uint8)
GREY = tuple(faded(IMAGE)[0, 0].tolist())


def colors(picture: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(pixel) for pixel in picture[0].tolist()]


def test_changes_are_green_red_and_amber() -> None:
    assert colors(change_picture(IMAGE, TRUTH, BEFORE, AFTER)) == [
        GREY, WRONG, RIGHT, OTHER, GREY, (0, 0, 0),
    ]  # fmt: skip


def test_errors_are_red() -> None:
    assert colors(wrong_picture(IMAGE, TRUTH, AFTER)) == [
        GREY, WRONG, GREY, WRONG, WRONG, (0, 0, 0),
    ]  # fmt: skip


def test_labels_have_their_classes_colors() -> None:
    red, green, blue = CAMVID.colors[0]
    assert colors(label_picture(TRUTH, CAMVID))[0] == (blue, green, red)
    assert colors(label_picture(TRUTH, CAMVID))[5] == (0, 0, 0)


def test_tiles_lie_in_a_grid_and_flat_ones_do_not_mix(tmp_path: Path) -> None:
    flat = np.zeros((40, 80, 3), np.uint8)
    flat[:, 1::2] = 255
    tile = Tile(caption="a", picture=flat)
    write_sheet(tmp_path / "new" / "x.png", [[tile, None], [tile, tile]], 20)
    sheet = cv2.imread(str(tmp_path / "new" / "x.png"))
    assert sheet.shape == (2 * (10 + CAPTION_PX + GAP_PX), 2 * (20 + GAP_PX), 3)
    drawn = sheet[CAPTION_PX : CAPTION_PX + 10, :20]
    assert set(np.unique(drawn)) <= {0, 255}
    mixed = Tile(caption="a", picture=flat, flat=False)
    write_sheet(tmp_path / "y.png", [[mixed]], 20)
    assert 100 < cv2.imread(str(tmp_path / "y.png"))[CAPTION_PX + 5, 5, 0] < 150


def test_a_sheet_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    tile = Tile(caption="a", picture=IMAGE)
    (tmp_path / "x.png").mkdir()
    with pytest.raises(SinkError, match="cannot write the picture"):
        write_sheet(tmp_path / "x.png", [[tile]], 12)
