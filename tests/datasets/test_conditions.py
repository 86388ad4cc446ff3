from collections.abc import Callable
from dataclasses import fields
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.datasets.conditions import AS_IT_IS, Conditions, under_conditions
from streamseg.labels import IGNORE

NAMES = [field.name for field in fields(Conditions)]


@pytest.fixture
def picture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blobs of middling gray in three channels, neither black nor white anywhere."""
    small = rng.integers(60, 200, (6, 8, 3)).astype(np.uint8)
    large = cv2.resize(small, (128, 96), interpolation=cv2.INTER_NEAREST)
    return np.asarray(large, np.uint8)


@pytest.fixture
def label(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.full(picture.shape[:2], 3, np.uint8)


@pytest.fixture
def seen(
    picture: NDArray[np.uint8], label: NDArray[np.uint8]
) -> Callable[..., list[NDArray[np.uint8]]]:
    """Pictures under conditions, one for each of twenty seeds."""

    def see(**conditions: float) -> list[NDArray[np.uint8]]:
        return [
            under_conditions(
                picture, label, Conditions(**conditions), np.random.default_rng((7, seed))
            )[0]
            for seed in range(20)
        ]

    return see


def test_by_default_nothing_is_done_and_nothing_drawn(
    picture: NDArray[np.uint8], label: NDArray[np.uint8], rng: np.random.Generator
) -> None:
    state = rng.bit_generator.state
    seen = under_conditions(picture, label, AS_IT_IS, rng)
    assert seen[0] is picture
    assert seen[1] is label
    assert rng.bit_generator.state == state


@pytest.mark.parametrize("name", NAMES)
def test_each_changes_pixels_the_same_way_for_the_same_seed(
    name: str, picture: NDArray[np.uint8], label: NDArray[np.uint8]
) -> None:
    before = picture.copy(), label.copy()
    conditions = Conditions(**{name: 1.0})
    first = under_conditions(picture, label, conditions, np.random.default_rng(1))
    again = under_conditions(picture, label, conditions, np.random.default_rng(1))
    other = under_conditions(picture, label, conditions, np.random.default_rng(2))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], picture)
    assert first[0].shape == picture.shape
    assert first[0].dtype == first[1].dtype == np.uint8
    np.testing.assert_array_equal(picture, before[0])
    np.testing.assert_array_equal(label, before[1])
    if name != "erase":
        np.testing.assert_array_equal(first[1], label)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "light"])
def test_a_share_is_how_often(name: str, seen: Any, picture: NDArray[np.uint8]) -> None:
    changed = [not np.array_equal(one, picture) for one in seen(**{name: 0.5})]
    assert 4 <= sum(changed) <= 16


def test_light_brightens_and_darkens_and_colors(seen: Any, picture: NDArray[np.uint8]) -> None:
    means = np.array([one.mean((0, 1)) for one in seen(light=1.0)])
    brightness = means.mean(1) - picture.mean()
    assert brightness.min() < -25
    assert brightness.max() > 25
    cast = (means - picture.mean((0, 1))) - brightness[:, None]
    assert np.abs(cast).max() > 5


def test_light_varies_over_the_picture() -> None:
    flat = np.full((96, 128, 3), 128, np.uint8)
    lit, _ = under_conditions(flat, flat[..., 0], Conditions(light=1.0), np.random.default_rng(3))
    corners = np.array([lit[0, 0], lit[0, -1], lit[-1, 0], lit[-1, -1]], int)
    assert np.ptp(corners, axis=0).min() > 5
    assert np.abs(np.diff(lit.astype(int), axis=1)).max() <= 4  # without edges


def test_shadows_only_darken_and_not_everywhere(seen: Any, picture: NDArray[np.uint8]) -> None:
    shaded = seen(shadows=1.0)
    assert 0.05 < np.mean([one < picture for one in shaded]) < 0.9
    assert not any((one > picture).any() for one in shaded)


def test_haze_takes_contrast_most_of_it_above(seen: Any, picture: NDArray[np.uint8]) -> None:
    for one in seen(haze=1.0):
        assert one[:32].std() < picture[:32].std()
        assert one[:32].std() / picture[:32].std() < one[64:].std() / picture[64:].std() + 0.05


def test_blur_softens_edges_and_keeps_brightness(seen: Any, picture: NDArray[np.uint8]) -> None:
    for one in seen(blur=1.0):
        assert (
            np.abs(np.diff(one.astype(int), axis=1)).max()
            <= np.abs(np.diff(picture.astype(int), axis=1)).max()
        )
        assert float(one.mean()) == pytest.approx(float(picture.mean()), abs=2)


def test_noise_is_stronger_in_the_dark() -> None:
    dark, bright = (np.full((64, 64, 3), value, np.uint8) for value in (60, 200))
    label = dark[..., 0]
    noise = [
        under_conditions(one, label, Conditions(noise=1.0), np.random.default_rng(5))[0].std()
        for one in (dark, bright)
    ]
    assert noise[0] > 1.2 * noise[1] > 1


def test_what_is_erased_is_one_color_and_unlabelled(
    picture: NDArray[np.uint8], label: NDArray[np.uint8], rng: np.random.Generator
) -> None:
    for _ in range(10):
        image, labels = under_conditions(picture, label, Conditions(erase=1.0), rng)
        gone = labels == IGNORE
        assert 0.01 < gone.mean() < 0.12
        assert len(np.unique(image[gone], axis=0)) == 1
        np.testing.assert_array_equal(image[~gone], picture[~gone])


def test_one_pixel_survives_everything(rng: np.random.Generator) -> None:
    tiny = np.full((1, 1, 3), 90, np.uint8)
    everything = Conditions(**dict.fromkeys(NAMES, 1.0))
    for _ in range(20):
        image, label = under_conditions(tiny, tiny[..., 0], everything, rng)
        assert image.shape == (1, 1, 3)
        assert label.shape == (1, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_impossible_conditions_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"expected {name} in 0\.\.1, got {value}"):
        Conditions(**{name: value})
