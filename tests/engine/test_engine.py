"""What engines share: network sizes, arrays of pictures, and the bound on what is kept."""

import re
import weakref
from typing import ClassVar

import numpy as np
import pytest
from pictures import noise, packed, planar

from streamseg.engine.engine import (
    GRAPHS_KEPT,
    RecentlyUsed,
    arrays_of,
    entry_key,
    network_size,
)
from streamseg.models.card import InputSpec
from streamseg.picture.pixels import Packed

SPEC = InputSpec(size=(721, 961))
FIXED = InputSpec(size=(100, 200), fixed=True)


@pytest.mark.parametrize(
    ("spec", "choice", "source", "expected"),
    [
        (SPEC, "auto", (360, 480), (721, 961)),
        (SPEC, "auto", (1080, 1920), (609, 1121)),
        (SPEC, "native", (360, 480), (353, 481)),
        (SPEC, "native", (20000, 480), (8161, 481)),
        (SPEC, (97, 130), (360, 480), (97, 130)),
        (SPEC, (1, 8192), (360, 480), (1, 8192)),
        (FIXED, "auto", (360, 480), (100, 200)),
        (FIXED, (100, 200), (360, 480), (100, 200)),
        (FIXED, "native", (100, 200), (100, 200)),
    ],
)
def test_network_size(spec, choice, source, expected):
    assert network_size(spec, choice, source) == expected


@pytest.mark.parametrize(
    "choice",
    [(0, 0), (0, 10), (-1, 10), (8193, 10), (99999, 99999), (10,), (1.5, 2), "big", 3, None],
)
def test_impossible_sizes_are_refused(choice):
    line = f'from 1x1 to 8192x8192, "auto" or "native", got {choice!r}'
    with pytest.raises(ValueError, match=re.escape(line)):
        network_size(SPEC, choice, (360, 480))


@pytest.mark.parametrize(("choice", "came"), [((360, 480), "360x480"), ("native", "50x60")])
def test_fixed_network_refuses_other_sizes(choice, came):
    with pytest.raises(ValueError, match=f"runs at 100x200 only, got --size {came}"):
        network_size(FIXED, choice, (50, 60))


def test_arrays_are_views_where_memory_allows():
    image = noise(6, 8)
    (array,) = arrays_of(Packed(pixels=image))
    assert array.shape == (1, 6, 8, 3)
    assert np.shares_memory(array, image)
    y, u, v = arrays_of(planar(7, 9))
    assert (y.shape, u.shape, v.shape) == ((1, 1, 7, 9), (1, 1, 4, 5), (1, 1, 4, 5))


def test_arrays_of_other_layouts_are_equal_copies():
    readonly = noise(6, 8)
    readonly.flags.writeable = False
    for image in (readonly, noise(6, 8)[:, ::-1], noise(6, 16)[:, ::2]):
        (array,) = arrays_of(Packed(pixels=image))
        assert array.flags.c_contiguous
        assert array.flags.writeable
        np.testing.assert_array_equal(array[0], image)


def test_keys_differ_in_all_that_a_graph_depends_on():
    pictures = [
        packed(8, 8), packed(8, 10), packed(8, 8, "rgb24"), planar(8, 8), planar(8, 8, "bt709"),
        planar(8, 8, full_range=True), planar(10, 8),
    ]  # fmt: skip
    assert len({entry_key(picture) for picture in pictures}) == len(pictures)
    assert entry_key(packed(8, 8, seed=1)) == entry_key(packed(8, 8, seed=2))


class Thing:
    alive: ClassVar["weakref.WeakSet[Thing]"] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


def test_recently_used_makes_each_value_once_and_keeps_the_newest():
    kept: RecentlyUsed[int] = RecentlyUsed()
    made = []
    for key in [0, 1, 2, 3, 0, 4, 0, 1]:
        assert kept.get(key, lambda key=key: made.append(key) or key) == key
    assert made == [0, 1, 2, 3, 4, 1]  # 1 was the least recently used when 4 came


def test_recently_used_never_holds_more_than_its_bound():
    kept: RecentlyUsed[Thing] = RecentlyUsed()
    for key in range(50):
        kept.get(key, Thing)
        assert len(Thing.alive) <= GRAPHS_KEPT
    assert len(kept) == GRAPHS_KEPT
    kept.clear()
    assert len(Thing.alive) == 0


def test_a_value_that_cannot_be_made_leaves_no_trace():
    kept: RecentlyUsed[int] = RecentlyUsed()
    with pytest.raises(ZeroDivisionError, match="zero"):
        kept.get(1, lambda: 1 // 0)
    assert kept.get(1, lambda: 5) == 5
