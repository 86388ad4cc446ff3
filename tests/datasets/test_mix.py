from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.datasets.mix import Mix, mixed
from streamseg.labels import IGNORE

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def stripes(*ids: int, gray: int) -> Pair:
    """Columns of these classes, all of one gray."""
    label = np.array(ids, np.uint8).repeat(10)[None].repeat(40, axis=0)
    return np.full((*label.shape, 3), gray, np.uint8), label


UNDER = stripes(9, 9, 9, 9, gray=50)


def test_half_of_the_classes_come_over_whole(rng: np.random.Generator) -> None:
    over = stripes(0, 1, 2, 3, gray=200)
    taken = set()
    for _ in range(20):
        image, label = mixed(UNDER, over, "classes", rng)
        ids = set(np.unique(label).tolist()) - {9}
        assert len(ids) == 2
        taken |= ids
        np.testing.assert_array_equal(label != 9, np.isin(over[1], list(ids)))
        np.testing.assert_array_equal(image[label != 9], 200)
        np.testing.assert_array_equal(image[label == 9], 50)
    assert taken == {0, 1, 2, 3}


def test_unlabelled_pixels_never_come_over(rng: np.random.Generator) -> None:
    over = stripes(IGNORE, IGNORE, 4, IGNORE, gray=200)
    _, label = mixed(UNDER, over, "classes", rng)
    assert set(np.unique(label).tolist()) == {4, 9}
    nothing = stripes(IGNORE, IGNORE, IGNORE, IGNORE, gray=200)
    image, label = mixed(UNDER, nothing, "classes", rng)
    np.testing.assert_array_equal(image, UNDER[0])
    np.testing.assert_array_equal(label, UNDER[1])


def test_a_rectangle_comes_over_with_its_labels(rng: np.random.Generator) -> None:
    over = stripes(0, 1, IGNORE, 3, gray=200)
    shares = []
    for _ in range(30):
        image, label = mixed(UNDER, over, "rectangle", rng)
        rows, columns = np.nonzero(image[..., 0] == 200)
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        assert (image[box] == 200).all()
        np.testing.assert_array_equal(label[box], over[1][box])
        shares.append(len(rows) / label.size)
        label[box] = 9
        assert (label == 9).all()
    assert 0.1 < min(shares) < 0.25
    assert 0.4 < max(shares) < 0.6


def test_both_views_are_left_as_they_are(rng: np.random.Generator) -> None:
    over = stripes(0, 1, 2, 3, gray=200)
    before = [array.copy() for array in (*UNDER, *over)]
    for kind in ("classes", "rectangle"):
        image, label = mixed(UNDER, over, kind, rng)
        image[:], label[:] = 0, 0
    for array, old in zip((*UNDER, *over), before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.5}, r"expected share in 0\.\.1, got 1.5"),
        ({"kind": "cut"}, "expected kind of classes, rectangle, got 'cut'"),
    ],
)
def test_impossible_mixes_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mix(**values)
