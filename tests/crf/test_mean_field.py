"""The fast mean field against its definition, and what must hold for whatever picture."""

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.crf.mean_field import refined
from streamseg.crf.parameters import CRF
from streamseg.crf.reference import refined_exactly

SIDE = 32
DOWN, ACROSS = np.mgrid[:SIDE, :SIDE]
TOLERANCE = 0.02

Image = NDArray[np.uint8]


def colors(blue: object, green: object, red: object) -> Image:
    planes = np.broadcast_arrays(blue, green, red, DOWN)[:3]
    return np.clip(np.rint(np.stack(planes, 2)), 0, 255).astype(np.uint8)


def noisy(deviation: float) -> Image:
    values = np.random.default_rng(0).normal(128, deviation, (SIDE, SIDE, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


def pieces() -> Image:
    image = np.full((SIDE, SIDE, 3), (90, 90, 95), np.uint8)
    image[:, 13:] = (94, 92, 95)
    image[20:, 5:25] = (200, 40, 10)
    return image


PICTURES: dict[str, Callable[[], Image]] = {
    "noise": lambda: np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8),
    "faint noise": lambda: noisy(3),
    "coarse noise": lambda: noisy(10),
    "gradient": lambda: colors(60 + 2 * DOWN, 40 + 2 * ACROSS, 20 + DOWN + ACROSS),
    "faint gradient": lambda: colors(60 + DOWN / 4, 40 + ACROSS / 4, 20),
    "steep gradient": lambda: colors(7 * DOWN, 7 * ACROSS, 4 * (DOWN + ACROSS)),
    "pieces": pieces,
    "constant": lambda: colors(77, 77, 77),
}


def scattered(classes: int = 11, size: tuple[int, int] = (SIDE, SIDE)) -> NDArray[np.float32]:
    """Probabilities without a pattern: H x W x classes."""
    scores = np.random.default_rng(1).normal(0, 1, (*size, classes))
    return softmax(scores)


def smooth(classes: int = 11) -> NDArray[np.float32]:
    """Probabilities as networks give them."""
    scores = np.random.default_rng(2).normal(0, 3, (5, 5, classes))
    return softmax(cv2.resize(scores, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC))


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    powers = np.exp(scores - scores.max(2, keepdims=True))
    return (powers / powers.sum(2, keepdims=True)).astype(np.float32)


def difference(probabilities: NDArray[np.float32], image: Image, crf: CRF) -> float:
    exact = refined_exactly(probabilities, image, crf)
    return float(np.abs(refined(probabilities, image, crf) - exact).max())


@pytest.mark.parametrize("parameters", ["deconvnet", "pydensecrf"])
@pytest.mark.parametrize("picture", PICTURES)
def test_marginals_are_those_of_the_definition(picture: str, parameters: str) -> None:
    assert difference(smooth(), PICTURES[picture](), CRF.parse(parameters)) < TOLERANCE


@pytest.mark.parametrize("picture", ["noise", "faint gradient", "pieces"])
def test_and_so_they_are_of_scattered_probabilities(picture: str) -> None:
    assert difference(scattered(), PICTURES[picture](), CRF()) < TOLERANCE


@pytest.mark.parametrize(
    "parameters",
    [
        "gaussian=1:8,bilateral=2:40:1,iterations=3",
        "gaussian=20:1,bilateral=500:500:8,iterations=4",
        "bilateral=5:0.5:20",
        "gaussian=3:0,iterations=20",
        "bilateral=20:3:0",
    ],
)
def test_and_so_they_are_with_other_parameters(parameters: str) -> None:
    crf = CRF.parse(parameters)
    assert difference(smooth(), PICTURES["faint gradient"](), crf) < TOLERANCE


@pytest.mark.parametrize(("index", "corner"), [(0, (0, 100)), (60, (250, 240)), (100, (200, 30))])
def test_and_so_they_are_on_real_streets(
    camvid_dir: Path, index: int, corner: tuple[int, int]
) -> None:
    path = sorted((camvid_dir / "val").glob("*.png"))[index]
    top, left = corner
    image = cv2.imread(str(path))[top : top + SIDE, left : left + SIDE]
    assert difference(smooth(), np.asarray(image, np.uint8), CRF()) < TOLERANCE


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (17, 9), (40, 70)])
@pytest.mark.parametrize("classes", [1, 2, 21])
@pytest.mark.parametrize("parameters", ["deconvnet", "pydensecrf"])
def test_marginals_are_probabilities_whatever_the_shape(
    size: tuple[int, int], classes: int, parameters: str
) -> None:
    image = np.full((*size, 3), 255, np.uint8)
    found = refined(scattered(classes, size), image, CRF.parse(parameters))
    assert (found.shape, found.dtype) == ((*size, classes), np.float32)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-5)


def test_impossible_and_certain_classes_are_no_trouble() -> None:
    probabilities = np.zeros((SIDE, SIDE, 3), np.float32)
    probabilities[..., 0] = 1
    np.testing.assert_allclose(refined(probabilities, pieces(), CRF()), probabilities, atol=1e-5)


def test_probabilities_need_not_be_normalised() -> None:
    probabilities = smooth()
    expected = refined(probabilities, pieces(), CRF())
    np.testing.assert_allclose(refined(5 * probabilities, pieces(), CRF()), expected, atol=1e-4)


def test_classes_in_another_order_give_marginals_in_that_order() -> None:
    probabilities, order = smooth(), np.random.default_rng(3).permutation(11)
    expected = refined(probabilities, pieces(), CRF())[..., order]
    np.testing.assert_allclose(
        refined(probabilities[..., order], pieces(), CRF()), expected, atol=1e-4
    )


def test_colours_in_another_order_change_nothing() -> None:
    image = PICTURES["gradient"]()
    expected = refined(smooth(), image, CRF())
    np.testing.assert_allclose(refined(smooth(), image[..., ::-1], CRF()), expected, atol=0.01)


def test_a_shape_takes_the_class_that_most_of_it_is_held_for() -> None:
    """Up to its very edge, across which there is no pull where there is no colour in common."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:, 11:] = 200
    right = np.zeros((SIDE, SIDE), bool)
    right[:, 11:] = True
    sure = np.where(np.random.default_rng(4).random((SIDE, SIDE)) < 0.3, 0.2, 0.8)
    of_one = np.where(right, sure, 1 - sure)
    probabilities = np.stack([1 - of_one, of_one], 2).astype(np.float32)
    assert ((probabilities.argmax(2) == 1) != right).mean() > 0.2
    np.testing.assert_array_equal(refined(probabilities, image, CRF()).argmax(2) == 1, right)


def test_what_was_given_is_left_as_it_was() -> None:
    probabilities, image = smooth(), pieces()
    refined(probabilities, image, CRF(iterations=1))
    np.testing.assert_array_equal(probabilities, smooth())
    np.testing.assert_array_equal(image, pieces())


def test_its_threads_are_gone_when_it_is_done() -> None:
    refined(smooth(), pieces(), CRF(iterations=1))
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("streamseg-crf")]


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (np.ones((4, 4), np.float32), "height x width x classes float32"),
        (np.ones((4, 4, 2)), "float32, got float64"),
        (np.ones((4, 4, 0), np.float32), "height x width x classes"),
        (np.ones((4, 5, 2), np.float32), "expected an image of 4 x 5 x 3 uint8"),
        (np.full((4, 4, 2), np.nan, np.float32), "finite and not below 0"),
        (np.full((4, 4, 2), np.inf, np.float32), "finite and not below 0"),
        (np.full((4, 4, 2), -0.1, np.float32), "finite and not below 0"),
    ],
)
def test_what_is_no_probability_is_refused(
    probabilities: NDArray[np.float32], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        refined(probabilities, np.zeros((4, 4, 3), np.uint8), CRF())


def test_an_image_that_is_not_8_bit_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        refined(scattered(2, (4, 4)), np.zeros((4, 4, 3)), CRF())  # type: ignore[arg-type]
