from dataclasses import replace

import numpy as np
import pytest

from streamseg.datasets.augment import PAD_BGR, View
from streamseg.datasets.object_views import Picture, background_of, object_view
from streamseg.datasets.objects import Objects
from streamseg.errors import DataError
from streamseg.labels import CAMVID, IGNORE, VOC, generic_labels

STILL = View(crop=(56, 56), flip=False, color=0.0)
EXACT = Objects(kind="centred", enlarge=1.0, least_side=8)


def picture() -> Picture:
    """Two cars (class 8) on a road (3) below sky (0), a strip without labels; gray values tell the place."""
    label = np.zeros((60, 80), np.uint8)
    label[30:] = 3
    label[36:46, 10:30] = 8
    label[36:46, 50:60] = 8
    label[56:] = IGNORE
    image = np.dstack([np.tile(np.arange(80, dtype=np.uint8), (60, 1))] * 3)
    return Picture(image=image, label=label)


def views(
    objects: Objects, view: View = STILL, count: int = 40
) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        object_view(picture(), CAMVID, objects, view, np.random.default_rng(seed))
        for seed in range(count)
    ]


def test_centred_views_show_one_object_and_background() -> None:
    background = background_of(CAMVID)
    assert background == 11
    seen = set()
    for image, label in views(EXACT):
        assert image.shape == (56, 56, 3) and label.shape == (56, 56)
        assert image.dtype == label.dtype == np.uint8
        (class_id,) = set(label.tobytes()) - {background, IGNORE}
        seen.add(class_id)
        rows, columns = np.nonzero(label == class_id)
        assert (
            abs(rows.min() + rows.max() - 55) <= 2 and abs(columns.min() + columns.max() - 55) <= 2
        )
        longer = max(np.ptp(rows), np.ptp(columns)) + 1
        assert longer == pytest.approx(56 / 1.2, abs=1.5)
    assert seen == {0, 3, 8}


def test_a_second_object_of_the_class_is_background() -> None:
    wide = replace(EXACT, extend=3.5)
    both = [label for _, label in views(wide) if (label == 8).any()]
    assert both
    for label in both:
        columns = np.flatnonzero((label == 8).any(0))
        assert np.array_equal(columns, np.arange(columns[0], columns[-1] + 1))  # no gap: one car


def test_beyond_the_image_is_the_mean_without_labels() -> None:
    for image, label in views(EXACT):
        if (
            label == 0
        ).any():  # the sky: 80 x 30 at the image's upper edge, so its square leaves it
            assert (image[0] == PAD_BGR).all()
            assert (label[0] == IGNORE).all()


def test_the_data_sets_own_background_is_the_rest() -> None:
    label = np.zeros((40, 60), np.uint8)
    label[10:30, 10:40] = 12
    label[9, 10:40] = IGNORE
    here = Picture(image=np.zeros((40, 60, 3), np.uint8), label=label)
    assert background_of(VOC) == 0
    _, seen = object_view(here, VOC, EXACT, STILL, np.random.default_rng(0))
    assert set(seen.tobytes()) == {0, 12, IGNORE}


def test_told_objects_are_told_apart() -> None:
    label = np.zeros((40, 60), np.uint8)
    label[10:30, 10:50] = 15
    instances = np.zeros_like(label)
    instances[10:30, 10:30], instances[10:30, 30:50] = 1, 2
    here = Picture(image=np.zeros((40, 60, 3), np.uint8), label=label, instances=instances)
    _, seen = object_view(here, VOC, EXACT, STILL, np.random.default_rng(0))
    assert (seen == 15).sum() == pytest.approx((56 / 1.2) ** 2, rel=0.05)  # 20 x 20 of 40 x 20


def test_proposals_show_all_classes() -> None:
    made = views(replace(EXACT, kind="proposals", extend=1.0))
    assert any({3, 8} <= set(label.tobytes()) for _, label in made)
    for _, label in made:
        assert set(label.tobytes()) <= {0, 3, 8, IGNORE}


def test_a_share_of_proposals_shows_the_image_from_side_to_side() -> None:
    def whole(share: float) -> float:
        objects = replace(EXACT, kind="proposals", extend=1.0, whole_share=share)
        columns = [image[..., 0][image[..., 0] < 80] for image, _ in views(objects, count=80)]
        return sum(np.ptp(of_one) >= 58 for of_one in columns) / len(columns)

    assert whole(0.0) < 0.6
    assert whole(0.0) + 0.1 < whole(0.5) < whole(1.0) == 1


def test_pixels_and_labels_stay_together() -> None:
    """The image tells each column, so the label must be the one of that column."""
    for image, label in views(replace(EXACT, kind="proposals"), count=20):
        ys, xs = np.nonzero(label == 8)
        if len(ys):
            place = image[ys, xs, 0].astype(int)
            on_edge = 1
            first, second = (
                (10 - on_edge <= place) & (place < 30 + on_edge),
                (place >= 49) & (place < 61),
            )
            assert (first | second).all()


def test_the_crop_is_a_random_part_of_the_resized_square() -> None:
    """250 to 224: an object's edge moves by up to 26 of 224 pixels, 6.5 of 56."""
    enlarged = replace(EXACT, enlarge=250 / 224)
    lefts = [
        np.flatnonzero((label == 8).any(0))[0]
        for _, label in views(enlarged)
        if (label == 8).sum() > 800
    ]
    assert len(lefts) > 5 and 2 <= np.ptp(lefts) <= 7


def test_half_of_the_views_are_mirrored() -> None:
    mirrored = [
        np.diff(image[28, :, 0].astype(int)).sum() < 0
        for image, label in views(EXACT, replace(STILL, flip=True))
        if (label == 8).any()
    ]
    assert 0 < sum(mirrored) < len(mirrored)


def test_the_same_numbers_give_the_same_view() -> None:
    lively = View(crop=(32, 48), color=0.4)
    one, two = (
        object_view(picture(), CAMVID, Objects(kind="proposals"), lively, np.random.default_rng(7))
        for _ in range(2)
    )
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])


def test_an_image_without_objects_is_refused() -> None:
    empty = replace(picture(), label=np.full((60, 80), IGNORE, np.uint8))
    with pytest.raises(
        DataError,
        match="object of at least 100 pixels and 8 from side to side in the",
    ):
        object_view(empty, CAMVID, EXACT, STILL, np.random.default_rng(0))


def test_as_many_classes_as_fit_leave_no_number_for_background() -> None:
    with pytest.raises(DataError, match="expected fewer than 255 classes"):
        background_of(generic_labels(255))
