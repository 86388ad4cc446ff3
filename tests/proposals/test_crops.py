"""Crops: equal to padding the whole picture by hand."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import noise

from streamseg.proposals.boxes import Box
from streamseg.proposals.crops import crop

MEAN = (104.008, 116.669, 122.675)


def padded_by_hand(image: NDArray[np.uint8], border: int) -> NDArray[np.float32]:
    out = np.empty((image.shape[0] + 2 * border, image.shape[1] + 2 * border, 3), np.float32)
    out[:] = MEAN
    out[border:-border, border:-border] = image
    return out


@pytest.mark.parametrize("side", [16, 40])  # shrunk and magnified
@pytest.mark.parametrize(
    "square",
    [(4, 3, 27), (-9, -4, 27), (22, 10, 27), (-15, -15, 60), (-20, 5, 30)],
)
def test_beyond_the_border_lies_the_mean(square: tuple[int, int, int], side: int) -> None:
    image = noise(30, 40)
    left, top, length = square
    wide = padded_by_hand(image, 64)[top + 64 :, left + 64 :][:length, :length]
    expected = cv2.resize(wide, (side, side), interpolation=cv2.INTER_LINEAR)
    box = Box(left=left, top=top, right=left + length, bottom=top + length)
    found = crop(image, box, (side, side), MEAN)
    assert (found.dtype, found.shape) == (np.float32, (side, side, 3))
    np.testing.assert_array_equal(found, expected)


def test_at_its_own_size_nothing_is_changed() -> None:
    image = noise(30, 40)
    box = Box(left=30, top=-5, right=50, bottom=15)
    found = crop(image, box, (20, 20), MEAN)
    np.testing.assert_array_equal(found[5:, :10], image[:15, 30:])
    assert (found[:5] == np.array(MEAN, np.float32)).all()
    assert (found[:, 10:] == np.array(MEAN, np.float32)).all()


def test_a_square_outside_is_all_mean() -> None:
    box = Box(left=100, top=0, right=110, bottom=10)
    assert (crop(noise(8, 8), box, (10, 10), MEAN) == np.array(MEAN, np.float32)).all()


def test_floats_are_taken_as_they_are() -> None:
    image = noise(8, 8).astype(np.float32) / 3
    found = crop(image, Box(left=0, top=0, right=8, bottom=8), (8, 8), MEAN)
    np.testing.assert_array_equal(found, image)
