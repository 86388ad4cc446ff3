from collections import Counter
from typing import Any

import numpy as np
import pytest

from streamseg.datasets.centroids import Centroids, Uniform, centroids
from streamseg.labels import IGNORE


def test_every_class_of_a_tile_gives_its_mean_place() -> None:
    label = np.zeros((6, 9), np.uint8)
    label[1:4, 2] = 5  # in the upper left tile of 4 alone
    label[5, 8] = 7  # in the last, smaller one
    label[:, 4:8] = IGNORE
    found = centroids(label, 4).tolist()
    assert [row for row in found if row[0] == 5] == [[5, 2, 2]]
    assert [row for row in found if row[0] == 7] == [[7, 5, 8]]
    # Class 0 is in four tiles: left above and below, right above and below; none where all is unlabelled.
    assert [row for row in found if row[0] == 0] == [[0, 1, 1], [0, 2, 8], [0, 4, 2], [0, 4, 8]]
    assert len(found) == 6


def test_one_tile_may_hold_the_whole_image() -> None:
    label = np.full((5, 7), 3, np.uint8)
    assert centroids(label, 1024).tolist() == [[3, 2, 3]]


def stocked() -> Centroids:
    """Class 0 in ten images, class 1 in two, class 2 in none."""
    found = Centroids(3, 8)
    for image in range(10):
        label = np.zeros((8, 8), np.uint8)
        if image < 2:
            label[:, 4:] = 1
        found.add(image, label)
    return found


def test_every_class_that_occurs_is_drawn_as_often(rng: np.random.Generator) -> None:
    drawn = stocked().draw(9, rng)
    assert len(drawn) == 9
    of_one = [pick for pick in drawn if pick[1:] == (4, 6)]
    assert len(of_one) in (4, 5)
    assert {image for image, *_ in of_one} == {0, 1}


def test_a_centroid_comes_again_after_all_others(rng: np.random.Generator) -> None:
    counts = Counter(stocked().draw(20, rng))
    assert sum(counts.values()) == 20
    of_zero = [counts[pick] for pick in counts if pick[1:] != (4, 6)]
    assert of_zero == [1] * 10
    assert [counts[image, 4, 6] for image in (0, 1)] == [5, 5]


def test_equal_seeds_draw_alike_and_nothing_gives_nothing() -> None:
    one, two, other = (stocked().draw(8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == two != other
    assert stocked().draw(0, np.random.default_rng(0)) == []
    assert stocked().draw(1, np.random.default_rng(0)) != []
    blank = Centroids(3, 8)
    blank.add(0, np.full((4, 4), IGNORE, np.uint8))
    assert blank.draw(5, np.random.default_rng(0)) == []


@pytest.mark.parametrize(
    ("values", "words"), [({"share": 1.1}, "share in 0..1"), ({"tile": 0}, "tile >= 1 px")]
)
def test_nonsense_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Uniform(**values)


def test_the_papers_values_are_the_default() -> None:
    assert (Uniform().share, Uniform().tile) == (0.5, 1024)
