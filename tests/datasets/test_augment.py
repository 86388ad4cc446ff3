from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.datasets.augment import PAD_BGR, View, random_view
from streamseg.datasets.conditions import Conditions
from streamseg.labels import IGNORE
from streamseg.training.recipes import icnet_camvid

STEP = 20
"""Gray values between two class ids, in images that encode their label map."""


def patchwork(
    rng: np.random.Generator, height: int = 120, width: int = 160
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Flat patches of 20x20 px of ids 0..10; each pixel of the image is `STEP` times its id."""
    ids = rng.integers(0, 11, (height // 20, width // 20)).astype(np.uint8)
    label = ids.repeat(20, axis=0).repeat(20, axis=1)
    return np.dstack([label * np.uint8(STEP)] * 3), label


def still(crop: tuple[int, int], **changes: Any) -> View:
    """A view that does nothing but crop, unless told otherwise."""
    plain = View(crop=crop, scale=(1.0, 1.0), flip=False, color=0.0)
    return replace(plain, **changes)


def away_from_edges(label: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels whose 5x5 surroundings are all of one class, and labelled."""
    kernel = np.ones((5, 5), np.uint8)
    flat = cv2.erode(label, kernel) == cv2.dilate(label, kernel)
    return np.asarray(flat & (label != IGNORE), np.bool_)


@pytest.mark.parametrize(
    "view",
    [
        still((97, 129), flip=True),
        still((97, 129), scale=(0.5, 2.0)),
        still((97, 129), aspect=1.5),
        still((97, 129), rotation_degrees=30.0),
        still((97, 129), rare_class_share=1.0),
        View(
            crop=(97, 129), scale=(0.5, 2.5), aspect=1.3, rotation_degrees=20.0, flip=True,
            color=0.0, rare_class_share=0.5,
        ),
        still((200, 300), scale=(0.7, 1.2), rotation_degrees=10.0),
    ],
    ids=["flip", "scale", "aspect", "rotation", "rare class", "everything", "larger than image"],
)  # fmt: skip
def test_image_and_labels_go_through_one_geometry(view: View, rng: np.random.Generator) -> None:
    agreeing = counted = 0
    for _ in range(12):
        image, label = random_view(*patchwork(rng), view, rng)
        assert image.shape == (*view.crop, 3)
        assert label.shape == view.crop
        assert image.dtype == label.dtype == np.uint8
        inside = away_from_edges(label)
        seen = np.rint(image[..., 0] / STEP)
        agreeing += int((seen[inside] == label[inside]).sum())
        counted += int(inside.sum())
    assert counted > 12 * 0.1 * np.prod(view.crop)
    assert agreeing > 0.99 * counted


def test_still_view_of_the_whole_image_is_the_image(rng: np.random.Generator) -> None:
    image, label = patchwork(rng)
    seen_image, seen_label = random_view(image, label, still(label.shape), rng)
    np.testing.assert_array_equal(seen_image, image)
    np.testing.assert_array_equal(seen_label, label)


def test_flip_mirrors_about_half_of_the_views(rng: np.random.Generator) -> None:
    image, label = patchwork(rng)
    mirrored = 0
    for _ in range(60):
        seen_image, seen_label = random_view(image, label, still(label.shape, flip=True), rng)
        flipped = not np.array_equal(seen_label, label)
        mirrored += flipped
        np.testing.assert_array_equal(seen_label, label[:, ::-1] if flipped else label)
        np.testing.assert_array_equal(seen_image, image[:, ::-1] if flipped else image)
    assert 15 <= mirrored <= 45


def test_scale_magnifies_area(rng: np.random.Generator) -> None:
    label = np.zeros((120, 160), np.uint8)
    label[50:70, 70:90] = 1
    image = np.zeros((120, 160, 3), np.uint8)
    _, seen = random_view(image, label, still((240, 320), scale=(2.0, 2.0)), rng)
    assert (seen == 1).sum() == pytest.approx(4 * 400, rel=0.06)
    assert not (seen == IGNORE).any()


def test_aspect_stretches_width_against_height_within_its_bound(rng: np.random.Generator) -> None:
    label = np.zeros((120, 160), np.uint8)
    label[40:80, 60:100] = 1
    image = np.zeros((120, 160, 3), np.uint8)
    ratios = []
    for _ in range(30):
        _, seen = random_view(image, label, still((240, 320), aspect=1.5), rng)
        rows, columns = np.nonzero(seen == 1)
        ratios.append((np.ptp(columns) + 1) / (np.ptp(rows) + 1))
        assert (seen == 1).sum() == pytest.approx(1600, rel=0.1)
    assert 1.2 < max(ratios) < 1.58
    assert 1 / 1.58 < min(ratios) < 1 / 1.2


def test_rotation_turns_either_way_within_its_bound(rng: np.random.Generator) -> None:
    label = np.zeros((201, 201), np.uint8)
    label[96:105, 20:181] = 1  # a horizontal bar
    image = np.zeros((201, 201, 3), np.uint8)
    degrees = []
    for _ in range(30):
        _, seen = random_view(image, label, still((201, 201), rotation_degrees=20.0), rng)
        rows, columns = np.nonzero(seen == 1)
        degrees.append(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))
    assert -21 < min(degrees) < -10
    assert 10 < max(degrees) < 21


def test_beyond_the_edge_labels_are_ignore_and_pixels_the_mean(rng: np.random.Generator) -> None:
    image, label = patchwork(rng)
    view = still(label.shape, scale=(0.5, 0.5))
    seen_image, seen_label = random_view(image, label, view, rng)
    outside = seen_label == IGNORE
    assert outside.mean() == pytest.approx(0.75, abs=0.03)
    # The image's border pixels are interpolated with the padding: leave one pixel out.
    well_outside = cv2.erode(outside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert (seen_image[well_outside] == PAD_BGR).all()


def test_unlabelled_pixels_stay_unlabelled(rng: np.random.Generator) -> None:
    image, _ = patchwork(rng)
    label = np.full(image.shape[:2], IGNORE, np.uint8)
    view = View(crop=(65, 65), rotation_degrees=10, rare_class_share=1.0)
    _, seen = random_view(image, label, view, rng)
    assert (seen == IGNORE).all()


def test_equal_rng_gives_equal_views(rng: np.random.Generator) -> None:
    image, label = patchwork(rng)
    view = View(crop=(65, 97), aspect=1.2, rotation_degrees=5, rare_class_share=0.3)
    first = random_view(image, label, view, np.random.default_rng((3, 1, 4)))
    again = random_view(image, label, view, np.random.default_rng((3, 1, 4)))
    other = random_view(image, label, view, np.random.default_rng((3, 1, 5)))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0])


def test_views_leave_their_source_alone(rng: np.random.Generator) -> None:
    image, label = patchwork(rng)
    before = image.copy(), label.copy()
    random_view(image, label, View(crop=label.shape), rng)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])


def test_rare_class_is_seen_more_often_when_sought(rng: np.random.Generator) -> None:
    label = np.zeros((200, 300), np.uint8)
    label[20:28, 30:38] = 2
    image = np.zeros((200, 300, 3), np.uint8)

    def seen(share: float) -> float:
        view = still((41, 41), rare_class_share=share)
        views = [random_view(image, label, view, rng)[1] for _ in range(80)]
        return float(np.mean([(crop == 2).any() for crop in views]))

    assert seen(0.0) < 0.15
    # Half of the views seek class 2, the other half class 0: the classes are drawn alike.
    assert 0.3 < seen(1.0) < 0.75


def test_sought_class_is_not_always_in_the_middle(rng: np.random.Generator) -> None:
    label = np.full((200, 300), IGNORE, np.uint8)
    label[100, 150] = 2
    image = np.zeros((200, 300, 3), np.uint8)
    view = still((41, 41), rare_class_share=1.0)
    places = [np.argwhere(random_view(image, label, view, rng)[1] == 2) for _ in range(40)]
    found = np.concatenate(places)
    assert len(found) == 40  # always within the crop
    assert found.std(axis=0).min() > 5


def test_color_changes_pixels_and_never_labels(rng: np.random.Generator) -> None:
    image, label = patchwork(rng)
    brightness = []
    for _ in range(20):
        seen_image, seen_label = random_view(image, label, still(label.shape, color=0.5), rng)
        np.testing.assert_array_equal(seen_label, label)
        brightness.append(seen_image.mean())
    assert np.std(brightness) > 10
    assert len(set(brightness)) == 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": (0, 5)}, r"a crop of at least 1x1 px, got \(0, 5\)"),
        ({"scale": (2.0, 1.0)}, r"0 < scale\[0\] <= scale\[1\], got \(2.0, 1.0\)"),
        ({"scale": (0.0, 1.0)}, r"0 < scale\[0\] <= scale\[1\]"),
        ({"aspect": 0.8}, "aspect >= 1 .* got 0.8"),
        ({"rotation_degrees": -1.0}, "rotation_degrees and color >= 0, got -1.0"),
        ({"color": -0.1}, "rotation_degrees and color >= 0, got .* -0.1"),
        ({"rare_class_share": 1.1}, r"rare_class_share in 0\.\.1, got 1.1"),
    ],
)
def test_impossible_views_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        View(**{"crop": (65, 65), **changes})


@pytest.mark.parametrize(
    ("stage", "seed", "mean", "pixels", "following"),
    [
        (0, 0, 98.433, [25322, 20753, 19412, 12688, 27470, 22338, 12684, 10783, 17970, 7057, 20080],
         0.7073345680460478),
        (0, 1, 98.278, [18890, 23130, 19800, 9903, 26945, 18866, 15580, 15271, 19413, 9902, 19805],
         0.5793626318443954),
        (1, 0, 103.814, [50897, 43610, 36709, 26402, 49440, 36226, 39303, 54825, 49413, 23420, 31975],
         0.7073345680460478),
        (2, 1, 97.732, [55668, 39298, 42783, 31045, 43581, 32181, 40643, 50128, 42282, 32368, 33673],
         0.5793626318443954),
    ],
)  # fmt: skip
def test_views_of_the_shipped_recipe_are_those_it_was_trained_on(
    stage: int, seed: int, mean: float, pixels: list[int], following: float
) -> None:
    """Numbers from before there were conditions, paste and mix: the geometry, the colors, and how many random
    numbers a view draws. Not bytes, which are for OpenCV to decide.
    """
    ids = np.random.default_rng(5).integers(0, 11, (6, 8)).astype(np.uint8)
    label = ids.repeat(60, axis=0).repeat(60, axis=1)
    image = np.dstack([label * np.uint8(STEP)] * 3)
    rng = np.random.default_rng((seed, 3, 7))
    seen_image, seen_label = random_view(image, label, icnet_camvid().stages[stage].view, rng)
    assert rng.random() == following
    assert float(seen_image.mean()) == pytest.approx(mean, abs=0.05)
    counted = np.bincount(seen_label.reshape(-1), minlength=256)[:11]
    assert counted.tolist() == pytest.approx(pixels, abs=20)


def test_conditions_come_after_the_geometry(rng: np.random.Generator) -> None:
    image, label = patchwork(rng)
    view = still((65, 97), scale=(0.8, 1.5), flip=True)
    plain = random_view(image, label, view, np.random.default_rng(4))
    noisy = replace(view, conditions=Conditions(noise=1.0))
    seen = random_view(image, label, noisy, np.random.default_rng(4))
    np.testing.assert_array_equal(seen[1], plain[1])
    assert not np.array_equal(seen[0], plain[0])
    assert np.abs(seen[0].astype(int) - plain[0]).mean() < 12


def test_a_view_is_laid_around_the_pixel_that_is_named(rng: np.random.Generator) -> None:
    label = np.zeros((60, 90), np.uint8)
    label[50, 80] = 4
    image = np.zeros((60, 90, 3), np.uint8)
    view = View(crop=(20, 20), scale=(1.0, 1.0), color=0.0)
    places = set()
    for _ in range(50):
        found = np.argwhere(random_view(image, label, view, rng, (50, 80))[1] == 4)
        assert len(found) == 1
        places.add(tuple(found[0]))
    assert len(places) > 20
