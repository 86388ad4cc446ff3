"""`Box`, and which candidates for one are good for anything. Comes in: rows of numbers, of whatever origin."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST_SIDE = 2
"""Pixels: a line of single ones shows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle of whole pixels. It may stick out of its picture.

    Attributes:
        left, top: its first pixel.
        right, bottom: one behind its last pixel.

    Raises:
        ValueError: there is no pixel in it.
    """

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"expected a box of at least one pixel, got {self}")

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def squared(self) -> "Box":
        """The smallest square around it with the same middle (to half a pixel)."""
        side = max(self.width, self.height)
        left = self.left - (side - self.width) // 2
        top = self.top - (side - self.height) // 2
        return Box(left=left, top=top, right=left + side, bottom=top + side)

    def within(self, size: tuple[int, int]) -> "Box | None":
        """The part inside a picture of (height, width); None if all of it is outside."""
        left, top = max(self.left, 0), max(self.top, 0)
        right, bottom = min(self.right, size[1]), min(self.bottom, size[0])
        if right <= left or bottom <= top:
            return None
        return Box(left=left, top=top, right=right, bottom=bottom)


def whole(size: tuple[int, int]) -> Box:
    """All of a picture of (height, width)."""
    return Box(left=0, top=0, right=size[1], bottom=size[0])


def usable(
    candidates: ArrayLike, size: tuple[int, int], left_out: "Counter[str] | None" = None
) -> list[Box]:
    """Candidates as boxes inside the picture, in their order; the bad ones are left out.

    Args:
        candidates: N x 4 numbers, (left, top, width, height) in pixels. They may stick out, and are cut off then.
        size: (height, width) of the picture.
        left_out: what is wrong with the others is counted here.

    Raises:
        ValueError: not N x 4.
    """
    rows: NDArray[Any] = np.asarray(candidates, np.float64)
    if rows.size == 0:
        return []
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ValueError(
            f"expected boxes of N x (left, top, width, height), got an array of {rows.shape}"
        )
    boxes = []
    for row in rows.tolist():
        found = _box_of(row, size)
        if isinstance(found, Box):
            boxes.append(found)
        elif left_out is not None:
            left_out[found] += 1
    return boxes


def _box_of(row: list[float], size: tuple[int, int]) -> Box | str:
    """A box, or what is wrong."""
    left, top, width, height = row
    if not np.isfinite(row).all():
        return "not numbers"
    if width < 0 or height < 0:
        return "of negative size"
    if width == 0 or height == 0:
        return "empty"
    columns = (max(left, 0.0), min(left + width, float(size[1])))
    rows = (max(top, 0.0), min(top + height, float(size[0])))
    if columns[0] >= columns[1] or rows[0] >= rows[1]:
        return "outside the picture"
    (first_x, last_x), (first_y, last_y) = ((round(a), round(b)) for a, b in (columns, rows))
    if min(last_x - first_x, last_y - first_y) < LEAST_SIDE:
        return "one pixel wide"
    return Box(left=first_x, top=first_y, right=last_x, bottom=last_y)
