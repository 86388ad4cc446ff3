"""Vectors made by hand, in every orientation."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.motion.vectors import FUTURE, PAST, VECTOR, in_cells
from streamseg.picture.orientation import UPRIGHT, Orientation

ALL_WAYS = [
    Orientation(transposed=bool(way & 1), mirrored=bool(way & 2), flipped=bool(way & 4))
    for way in range(8)
]


def vectors(*records: dict[str, int]) -> NDArray[np.void]:
    """Blocks of w x h with their middle at x, y, moved by dx, dy quarters of a pixel."""
    made = np.zeros(len(records), VECTOR)
    for row, block in zip(made, records, strict=True):
        row["source"] = block.get("source", -1)
        row["w"], row["h"] = block["w"], block["h"]
        row["dst_x"], row["dst_y"] = block["x"], block["y"]
        row["motion_x"], row["motion_y"], row["motion_scale"] = block["dx"], block["dy"], 4
    made.flags.writeable = False  # as PyAV's are
    return made


def cells(records: Any, size: tuple[int, int] = (32, 48), orientation: Any = UPRIGHT) -> Any:
    grid = (-(-size[0] // 8), -(-size[1] // 8))
    return in_cells(records, grid, size, orientation)


def test_a_block_gives_its_vector_to_all_cells_that_it_covers() -> None:
    sums = cells(vectors({"w": 16, "h": 16, "x": 8, "y": 24, "dx": 6, "dy": -10}))
    touched = np.argwhere(sums[PAST, :, :, 2]).tolist()
    assert touched == [[2, 0], [2, 1], [3, 0], [3, 1]]
    assert np.array_equal(sums[PAST, 2, 0], [1.5, -2.5, 1])
    assert not sums[FUTURE].any()


def test_vectors_that_touch_one_cell_add_up_apart_by_direction() -> None:
    sums = cells(
        vectors(
            {"w": 8, "h": 8, "x": 4, "y": 4, "dx": 4, "dy": 0},
            {"w": 8, "h": 8, "x": 8, "y": 4, "dx": 8, "dy": 0},
            {"w": 8, "h": 8, "x": 4, "y": 4, "dx": 40, "dy": 4, "source": 1},
        )
    )
    assert np.array_equal(sums[PAST, 0, 0], [3, 0, 2])
    assert np.array_equal(sums[PAST, 0, 1], [2, 0, 1])
    assert np.array_equal(sums[FUTURE, 0, 0], [10, 1, 1])


def test_what_sticks_out_of_the_picture_is_cut_off() -> None:
    sums = cells(vectors({"w": 16, "h": 16, "x": 40, "y": 40, "dx": 4, "dy": 4}), size=(35, 41))
    assert np.argwhere(sums[PAST, :, :, 2]).tolist() == [[4, 4], [4, 5]]
    assert not cells(vectors({"w": 16, "h": 16, "x": -30, "y": 900, "dx": 4, "dy": 4}))[PAST].any()


@pytest.mark.parametrize("orientation", ALL_WAYS)
def test_a_turned_picture_has_turned_cells_and_turned_vectors(orientation: Orientation) -> None:
    stored = (32, 48)
    sums = cells(
        vectors({"w": 16, "h": 8, "x": 8, "y": 12, "dx": 6, "dy": -10}),
        orientation.size(stored),
        orientation,
    )
    covered = np.zeros((4, 6))
    covered[1, 0:2] = 1
    assert np.array_equal(sums[PAST, :, :, 2], orientation.upright(covered))
    # A picture of x coordinates is turned as any other: its slope says where x went.
    y, x = np.mgrid[: stored[0], : stored[1]]
    at_x, at_y = orientation.upright(x), orientation.upright(y)
    dx, dy = sums[PAST][sums[PAST, :, :, 2] > 0][0, :2]
    slope = np.array([[at_x[0, 1] - at_x[0, 0], at_x[1, 0] - at_x[0, 0]],
                      [at_y[0, 1] - at_y[0, 0], at_y[1, 0] - at_y[0, 0]]])  # fmt: skip
    assert slope @ [dx, dy] == pytest.approx([1.5, -2.5])
