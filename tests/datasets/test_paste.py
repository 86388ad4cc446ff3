from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.datasets.paste import STREET, Cutouts, Paste, pasted
from streamseg.errors import DataError
from streamseg.labels import CAMVID, CITYSCAPES, IGNORE

POLE, ROAD, SIGN, CAR, PEDESTRIAN = 2, 3, 6, 8, 9
GRAY = 100
STILL = Paste(share=1.0, most=1, scale=(1.0, 1.0))

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def empty_road(height: int = 120, width: int = 160, gray: int = GRAY) -> Pair:
    return np.full((height, width, 3), gray, np.uint8), np.full((height, width), ROAD, np.uint8)


def with_signpost() -> Pair:
    """A pole of 3x30 px with a sign of 9x8 px on top, and a car cut off by the picture's side."""
    image, label = empty_road()
    label[50:80, 60:63] = POLE
    label[42:50, 57:66] = SIGN
    label[70:90, 0:25] = CAR
    image[label == POLE], image[label == SIGN], image[label == CAR] = 180, 220, 40
    return image, label


def cut_out(*pairs: Pair, groups: tuple[tuple[str, ...], ...] = STREET) -> Cutouts:
    cutouts = Cutouts(CAMVID, groups)
    for pair in pairs:
        cutouts.add(*pair)
    return cutouts


def test_a_sign_comes_with_its_pole() -> None:
    pieces = cut_out(with_signpost()).pieces
    assert [len(group) for group in pieces] == [1, 0, 0, 0, 0]
    piece = pieces[0][0]
    assert piece.label.shape == piece.image.shape[:2] == (38, 9)
    assert (piece.label == SIGN).sum() == 72
    assert (piece.label == POLE).sum() == 90
    assert (piece.label == IGNORE).sum() == 38 * 9 - 162
    assert piece.bottom == pytest.approx(80 / 120)


def test_what_is_cut_off_too_small_or_too_great_is_left() -> None:
    image, label = empty_road()
    label[20:25, 20:25] = CAR  # far away
    label[40:110, 30:150] = CAR  # a row of them
    label[100:120, 5:25] = CAR  # half below the picture
    assert not any(cut_out((image, label)).pieces)


def test_pieces_of_one_class_that_do_not_touch_are_two() -> None:
    image, label = empty_road()
    label[40:60, 40:45] = PEDESTRIAN
    label[40:60, 46:51] = PEDESTRIAN
    assert [len(group) for group in cut_out((image, label)).pieces] == [0, 0, 0, 2, 0]


def test_a_piece_is_put_as_high_as_it_was_with_its_labels(rng: np.random.Generator) -> None:
    cutouts = cut_out(with_signpost())
    whole = 0
    for _ in range(30):
        image, label = pasted(*empty_road(), cutouts, STILL, rng)
        assert set(np.unique(label).tolist()) <= {POLE, ROAD, SIGN}
        rows, columns = np.nonzero(label == POLE)
        if len(rows) == 90 and (label == SIGN).sum() == 72:  # not cut by the picture's side
            whole += 1
            assert rows.max() + 1 == pytest.approx(80, abs=3)
            assert np.ptp(columns) == 2
            sign = label == SIGN
            assert image[sign].mean() > 190
        changed = (image != GRAY).any(axis=2)
        assert (label[changed] != ROAD).all()  # softened inwards alone
    assert whole > 15


def test_pieces_come_in_other_pictures_sizes_and_light(rng: np.random.Generator) -> None:
    bright = with_signpost()
    dark = empty_road(240, 320, gray=50)
    image, label = pasted(*dark, cut_out(bright), STILL, rng)
    while (label == POLE).sum() < 300:
        image, label = pasted(*dark, cut_out(bright), STILL, rng)
    assert (label == POLE).sum() == pytest.approx(4 * 90, rel=0.2)
    assert image[label == SIGN].mean() == pytest.approx(110, abs=25)  # 220 at half the light


def test_scale_and_mirror(rng: np.random.Generator) -> None:
    image, label = with_signpost()
    label[42:50, 57:60] = ROAD  # the sign to the right of its pole
    cutouts = cut_out((image, label))
    heights, sides = [], set()
    for _ in range(40):
        _, seen = pasted(*empty_road(), cutouts, Paste(share=1.0, most=1, scale=(0.5, 2.0)), rng)
        rows, columns = np.nonzero(seen == POLE)
        if len(rows) and (seen == SIGN).any():
            heights.append(np.ptp(rows) + 1)
            sides.add(np.nonzero(seen == SIGN)[1].mean() > columns.mean())
    assert min(heights) < 22
    assert max(heights) > 42
    assert sides == {True, False}


def test_groups_come_alike_however_many_pieces_they_have(rng: np.random.Generator) -> None:
    image, label = empty_road()
    for left in range(10, 150, 8):
        label[40:60, left : left + 4] = PEDESTRIAN
    label[70:90, 60:90] = CAR
    cutouts = cut_out((image, label))
    cars = [(pasted(*empty_road(), cutouts, STILL, rng)[1] == CAR).any() for _ in range(60)]
    assert 18 <= sum(cars) <= 42


def test_the_source_is_left_alone_and_a_share_of_none_is_the_very_arrays(
    rng: np.random.Generator,
) -> None:
    cutouts, (image, label) = cut_out(with_signpost()), empty_road()
    before = image.copy(), label.copy()
    pasted(image, label, cutouts, STILL, rng)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])
    none = pasted(image, label, cutouts, Paste(share=0.0), rng)
    assert none[0] is image
    nothing = pasted(image, label, cut_out(empty_road()), STILL, rng)
    assert nothing[1] is label


def test_equal_seeds_paste_alike() -> None:
    cutouts = cut_out(with_signpost())
    many = Paste(share=1.0, most=4)
    first, again = (
        pasted(*empty_road(), cutouts, many, np.random.default_rng(3)) for _ in range(2)
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_pieces_at_the_very_top_and_in_tiny_pictures_are_no_trouble(
    rng: np.random.Generator,
) -> None:
    image, label = empty_road()
    label[0:2, 20:40] = SIGN
    cutouts = cut_out((image, label))
    assert len(cutouts.pieces[0]) == 1
    for _ in range(20):
        for shape in ((1, 1), (5, 4), (120, 160)):
            seen = pasted(*empty_road(*shape), cutouts, Paste(share=1.0), rng)
            assert seen[0].shape == (*shape, 3)


def test_classes_that_a_data_set_has_not_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected classes of cityscapes to cut out .*got 'sign'"):
        Cutouts(CITYSCAPES, STREET)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": -1}, r"share in 0\.\.1, got -1"),
        ({"most": 0}, "most >= 1 and some groups, got 0"),
        ({"groups": ()}, "most >= 1 and some groups"),
        ({"scale": (2.0, 1.0)}, r"0 < scale\[0\] <= scale\[1\]"),
    ],
)
def test_impossible_pastes_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Paste(**values)
