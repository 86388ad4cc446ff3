"""Sheets of pictures: tiles with captions in a grid, and what is drawn in them.

All pictures are H x W x 3 uint8 BGR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.errors import SinkError
from streamseg.labels import IGNORE, LabelSet

Picture = NDArray[np.uint8]

CAPTION_PX = 18
GAP_PX = 4
RIGHT, WRONG, OTHER = (60, 160, 40), (40, 40, 220), (40, 170, 240)
"""BGR green, red and amber."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """A picture with words above it.

    Attributes:
        flat: of few colors that mean something, and must not mix when it is drawn smaller.
    """

    caption: str
    picture: Picture
    flat: bool = True


def write_sheet(path: Path, rows: Sequence[Sequence[Tile | None]], tile_width: int) -> None:
    """Write a PNG of tiles in a grid, all as wide, of which None leaves a place empty.

    Raises:
        SinkError: the file cannot be written.
    """
    first = next(tile for row in rows for tile in row if tile is not None)
    height, width = first.picture.shape[:2]
    tile_height = round(tile_width * height / width)
    blank = np.full((tile_height + CAPTION_PX, tile_width, 3), 255, np.uint8)
    lines = []
    for row in rows:
        tiles = [blank if tile is None else _drawn(tile, tile_height, tile_width) for tile in row]
        lines.append(np.hstack([np.pad(tile, _edges(), constant_values=255) for tile in tiles]))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        written = cv2.imwrite(str(path), np.vstack(lines), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    except cv2.error:
        written = False
    if not written:
        raise SinkError(f"cannot write the picture {path}")


def label_picture(labels: NDArray[np.uint8], label_set: LabelSet) -> Picture:
    """A label map in its classes' colors; unlabelled is black."""
    return np.ascontiguousarray(label_set.palette_rgb()[labels][..., ::-1])


def wrong_picture(image: Picture, truth: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Picture:
    """The image faded, red where `labels` are wrong, black where there is no truth."""
    drawn = faded(image)
    drawn[labels != truth] = WRONG
    drawn[truth == IGNORE] = 0
    return drawn


def change_picture(
    image: Picture,
    truth: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
) -> Picture:
    """The image faded; green where labels became right, red where they became wrong, amber where another wrong one."""
    drawn = faded(image)
    changed = before != after
    drawn[changed] = OTHER
    drawn[changed & (before == truth)] = WRONG
    drawn[changed & (after == truth)] = RIGHT
    drawn[truth == IGNORE] = 0
    return drawn


def faded(image: Picture) -> Picture:
    """Grey and bright, for something else to be seen on it."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return np.repeat((160 + grey[..., None] // 3).astype(np.uint8), 3, axis=2)


def _drawn(tile: Tile, height: int, width: int) -> Picture:
    how = cv2.INTER_NEAREST if tile.flat else cv2.INTER_AREA
    small = cv2.resize(tile.picture, (width, height), interpolation=how)
    band = np.full((CAPTION_PX, width, 3), 255, np.uint8)
    cv2.putText(
        band, tile.caption, (2, CAPTION_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA
    )  # fmt: skip
    return np.vstack([band, small]).astype(np.uint8)


def _edges() -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    return (0, GAP_PX), (0, GAP_PX), (0, 0)
