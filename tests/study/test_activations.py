import numpy as np

from streamseg.study.activations import middle_square, strongest_channel


def test_the_middle_square_is_cut_out() -> None:
    image = np.arange(4 * 7 * 3, dtype=np.uint8).reshape(4, 7, 3)
    np.testing.assert_array_equal(middle_square(image), image[:, 1:5])
    np.testing.assert_array_equal(middle_square(image.transpose(1, 0, 2))[0], image[:, 1])


def test_the_channel_with_the_greatest_mean_is_drawn() -> None:
    maps = np.zeros((3, 2, 2), np.float32)
    maps[0, 0, 0] = 5  # greater at one place
    maps[1] = [[0, 4], [4, 4]]
    maps[2] = -9
    drawn = strongest_channel(maps).astype(int).sum(2)
    assert drawn[0, 0] < drawn[0, 1] == drawn[1, 0] == drawn[1, 1]


def test_nothing_is_drawn_as_nothing() -> None:
    drawn = strongest_channel(np.zeros((2, 3, 3), np.float32))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 1
