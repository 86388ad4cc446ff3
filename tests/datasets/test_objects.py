from dataclasses import replace

import numpy as np
import pytest

from streamseg.datasets.objects import (
    Box,
    ImageObject,
    Objects,
    drawn,
    intersection_over_union,
    objects_in,
    proposal,
    sliding_windows,
    whole_square,
)
from streamseg.labels import IGNORE

ALL = Objects(kind="centred", least_pixels=1, least_side=1)
TEN = replace(ALL, least_pixels=10)


def regions_label() -> np.ndarray:
    """Class 3 around two parts of class 5 that touch at a corner, one far off, and a speck; a strip without labels."""
    label = np.full((30, 40), 3, np.uint8)
    label[2:6, 4:10] = 5
    label[6:9, 10:14] = 5
    label[20:26, 30:38] = 5
    label[15, 2] = 5
    label[28:] = IGNORE
    return label


def test_connected_regions_are_objects_and_specks_are_none() -> None:
    label = regions_label()
    regions, found = objects_in(label, TEN, background=None)
    assert [(one.number, one.class_id, one.box) for one in found] == [
        (1, 3, Box(0, 0, 40, 28)), (2, 5, Box(4, 2, 14, 9)), (3, 5, Box(30, 20, 38, 26)),
    ]  # fmt: skip
    for one in found:
        assert set(label[regions == one.number].tolist()) == {one.class_id}
    assert (regions == 2).sum() == 4 * 6 + 3 * 4
    assert (regions[28:] == 0).all() and regions[15, 2] == 0
    assert len(objects_in(label, ALL, background=None)[1]) == 4
    long = replace(ALL, least_side=9)
    assert [one.number for one in objects_in(label, long, background=None)[1]] == [1, 2]


def test_background_is_no_object() -> None:
    regions, found = objects_in(regions_label(), TEN, background=3)
    assert {one.class_id for one in found} == {5}
    assert (regions[0] == 0).all()


def test_told_objects_are_taken_where_they_are() -> None:
    label = np.zeros((10, 20), np.uint8)
    instances = np.zeros((10, 20), np.uint8)
    label[2:8, 2:10], instances[2:8, 2:6], instances[2:8, 6:10] = 7, 4, 9  # two that touch
    label[2, 2:10] = instances[2, 2:10] = IGNORE
    label[5, 15] = instances[5, 15] = 2  # too small
    regions, found = objects_in(
        label, replace(ALL, least_pixels=5), background=0, instances=instances
    )
    assert [(one.class_id, one.box) for one in found] == [
        (7, Box(2, 3, 6, 8)),
        (7, Box(6, 3, 10, 8)),
    ]
    assert (regions[3:8, 2:6] == 1).all() and (regions[3:8, 6:10] == 2).all()
    assert (regions > 0).sum() == 40
    assert (
        len(objects_in(label, replace(ALL, least_pixels=5), background=0)[1]) == 1
    )  # as one region


def test_a_map_without_labels_has_no_objects() -> None:
    regions, found = objects_in(np.full((5, 5), IGNORE, np.uint8), ALL, background=None)
    assert found == () and not regions.any()


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Box(0, 0, 10, 10), 1.0),
        (Box(5, 0, 15, 10), 50 / 150),
        (Box(2, 2, 7, 8), 30 / 100),
        (Box(10, 0, 20, 10), 0.0),
        (Box(-20, -20, -1, -1), 0.0),
    ],
)
def test_overlap_of_boxes(other: Box, expected: float) -> None:
    assert intersection_over_union(Box(0, 0, 10, 10), other) == pytest.approx(expected)
    assert intersection_over_union(other, Box(0, 0, 10, 10)) == pytest.approx(expected)


def test_squares_keep_the_centre_and_may_leave_the_image() -> None:
    assert Box(0, 0, 10, 4).squared(1.2) == pytest.approx(Box(-1, -4, 11, 8))


def test_classes_are_drawn_alike_however_many_objects_they_have() -> None:
    box = Box(0, 0, 1, 1)
    objects = tuple(
        ImageObject(number=number, class_id=3 if number < 10 else 8, box=box)
        for number in range(1, 11)
    )
    rng = np.random.default_rng(0)
    seen = [drawn(objects, rng) for _ in range(400)]
    assert 150 < sum(one.class_id == 8 for one in seen) < 250
    assert {one.number for one in seen} == set(range(1, 11))


def test_windows_cover_the_image_at_every_size() -> None:
    windows = sliding_windows((36, 48))
    assert {round(box.right - box.left, 6) for box in windows} == {36, 27, 18, 9}
    for side in (36, 27, 18, 9):
        covered = np.zeros((36, 48), bool)
        for box in windows:
            assert (
                box.left >= 0
                and box.top >= 0
                and box.right <= 48 + 1e-9
                and box.bottom <= 36 + 1e-9
            )
            if round(box.right - box.left) == side:
                covered[
                    int(box.top) : int(np.ceil(box.bottom)), int(box.left) : int(np.ceil(box.right))
                ] = True
        assert covered.all()


@pytest.mark.parametrize("box", [Box(0, 0, 48, 30), Box(10, 5, 12, 33), Box(40, 0, 48, 9)])
def test_proposals_cover_their_object_and_differ(box: Box) -> None:
    one = ImageObject(number=1, class_id=0, box=box)
    rng = np.random.default_rng(1)
    made = [proposal(one, (36, 48), 0.5, rng) for _ in range(40)]
    assert min(intersection_over_union(found, box) for found in made) >= 0.5
    assert len(set(made)) > 10


def test_windows_and_jittered_boxes_are_both_proposed() -> None:
    one = ImageObject(number=1, class_id=0, box=Box(4, 2, 40, 36))
    rng = np.random.default_rng(2)
    windows = sliding_windows((36, 48))
    are_windows = [proposal(one, (36, 48), 0.5, rng) in windows for _ in range(60)]
    assert 15 < sum(are_windows) < 45


@pytest.mark.parametrize("size", [(36, 48), (48, 36)])
def test_whole_squares_show_the_image_from_side_to_side(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    squares = [whole_square(size, rng) for _ in range(60)]
    for box in squares:
        upright = box if size[0] < size[1] else Box(box.top, box.left, box.bottom, box.right)
        assert upright.top <= 0 and upright.bottom >= 36
        assert upright.left >= 0 and upright.right <= 48
        assert box.right - box.left == pytest.approx(box.bottom - box.top)
    sides = [box.right - box.left for box in squares]
    assert min(sides) < 38 and max(sides) > 46


def test_an_overlap_that_no_try_reaches_leaves_the_box_itself() -> None:
    one = ImageObject(number=1, class_id=0, box=Box(4, 2, 17, 30))
    assert proposal(one, (36, 48), 1.0, np.random.default_rng(0)) == one.box


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "crops"}, "expected kind of centred, proposals, got 'crops'"),
        ({"kind": "centred", "extend": 0.9}, "expected extend and enlarge >= 1, got 0.9"),
        ({"kind": "centred", "least_pixels": 0}, "expected least_pixels and least_side >= 1"),
        ({"kind": "proposals", "overlap": 0.0}, r"overlap in 0\.\.1, above 0"),
        ({"kind": "proposals", "whole_share": 1.1}, r"expected whole_share in 0\.\.1, .* got 1\.1"),
        ({"kind": "centred", "whole_share": 0.1}, "and 0 for centred objects, got 0.1"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Objects(**wrong)  # type: ignore[arg-type]
