"""The eight ways to turn a picture by right angles, against numpy and against FFmpeg's own numbers."""

from pathlib import Path

import av
import numpy as np
import pytest
from media import write_clip
from numpy.typing import NDArray

from streamseg.picture.orientation import UPRIGHT, Orientation, from_matrix, orientation_of

ONE = 1 << 16
PICTURE = np.arange(6, dtype=np.uint8).reshape(2, 3)

TURNS: dict[str, tuple[tuple[int, int, int, int], NDArray[np.uint8], float]] = {
    "counter-clockwise": ((0, -ONE, ONE, 0), np.rot90(PICTURE, 1), 90),
    "half": ((-ONE, 0, 0, -ONE), np.rot90(PICTURE, 2), 180),
    "clockwise": ((0, ONE, -ONE, 0), np.rot90(PICTURE, 3), -90),
    "mirrored": ((-ONE, 0, 0, ONE), PICTURE[:, ::-1], 180),
    "flipped": ((ONE, 0, 0, -ONE), PICTURE[::-1], 0),
    "transposed": ((0, ONE, ONE, 0), PICTURE.T, -90),
    "across the other diagonal": ((0, -ONE, -ONE, 0), np.rot90(PICTURE, 2).T, 90),
}


def matrix_of(entries: tuple[int, int, int, int]) -> tuple[int, ...]:
    a, b, c, d = entries
    return (a, b, 0, c, d, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize("name", TURNS)
def test_a_matrix_turns_a_picture_and_back(name: str) -> None:
    entries, wanted, _ = TURNS[name]
    orientation = from_matrix(matrix_of(entries))
    assert orientation.exact
    assert not orientation.upright_already
    assert orientation.matrix == matrix_of(entries)
    assert np.array_equal(orientation.upright(PICTURE), wanted)
    assert np.array_equal(orientation.stored(wanted), PICTURE)
    assert orientation.size(PICTURE.shape) == wanted.shape


@pytest.mark.parametrize("name", TURNS)
def test_degrees_are_those_that_pyav_reads_from_a_file(name: str, tmp_path: Path) -> None:
    entries, _, degrees = TURNS[name]
    path = write_clip(tmp_path / "a.mp4", num_frames=2, matrix=matrix_of(entries))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    orientation = orientation_of(frame)
    assert orientation == from_matrix(matrix_of(entries))
    assert abs(orientation.degrees) == abs(degrees) == abs(frame.rotation)
    if abs(degrees) == 90:
        assert orientation.degrees == degrees == frame.rotation


def test_no_matrix_and_one_that_changes_nothing_leave_a_picture_upright() -> None:
    assert orientation_of(av.VideoFrame(4, 4, "yuv420p")) == UPRIGHT
    assert from_matrix(matrix_of((ONE, 0, 0, ONE))) == UPRIGHT
    assert from_matrix(matrix_of((0, 0, 0, 0))) == UPRIGHT
    assert Orientation().upright_already
    assert Orientation().degrees == 0


def test_other_angles_are_kept_and_called_inexact() -> None:
    cos, sin = round(ONE * np.cos(np.radians(30))), round(ONE * np.sin(np.radians(30)))
    tilted = from_matrix(matrix_of((cos, -sin, sin, cos)))
    assert tilted.upright_already
    assert not tilted.exact
    assert tilted.matrix is not None
    assert tilted.degrees == pytest.approx(30, abs=0.01)
    stretched = from_matrix(matrix_of((2 * ONE, 0, 0, ONE)))
    assert stretched.upright_already
    assert not stretched.exact
