"""Other hours, weathers and cameras: what light, air and lens do to a picture. Labels never change.

Comes in: a crop. Goes out: the crop as it might look there. Runs on the loader's thread.

CamVid's training frames are three drives, each at one hour of one day; these changes stand in for
all others. Each is drawn by itself, in the order in which light meets them: lamp, shadow, haze,
lens, sensor, file.
"""

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.labels import IGNORE

Pixels = NDArray[np.uint8]

GRID = 3
"""Random points each way of a light that varies over the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What may be done to a view; 0 for never.

    Attributes:
        light: strength of changes in illumination: one gamma for all, one more for each channel
            (the colour of the light), and a brightness that varies smoothly over the picture.
        shadows: share of views with soft-edged shadows.
        haze: share of views with haze, thicker towards the top, where what is far away is.
        blur: share of views out of focus, shaken, or enlarged from a smaller picture.
        noise: share of views with a sensor's noise, stronger in the dark.
        jpeg: share of views compressed as JPEG.
        erase: share of views with a rectangle painted over and unlabelled (random erasing, Zhong
            et al. 2020; unlabelled, for nobody could say what is behind it).
    """

    light: float = 0.0
    shadows: float = 0.0
    haze: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise ValueError(f"expected {field.name} in 0..1, got {value}")


AS_IT_IS = Conditions()
"""Nothing is done, and no random number drawn."""


def under_conditions(
    image: Pixels, label: Pixels, conditions: Conditions, rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """A crop and its label map under random conditions; new arrays where anything changes.

    Args:
        image: H x W x 3 uint8 BGR.
        label: H x W uint8; changed by `erase` alone.
    """
    if conditions.light:
        image = _lit(image, conditions.light, rng)
    for share, change in (
        (conditions.shadows, _shadowed),
        (conditions.haze, _hazy),
        (conditions.blur, _blurred),
        (conditions.noise, _noisy),
        (conditions.jpeg, _compressed),
    ):
        if share and rng.random() < share:
            image = change(image, rng)
    if conditions.erase and rng.random() < conditions.erase:
        return _erased(image, label, rng)
    return image, label


def _lit(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Gamma per channel by table, then a brightness that varies smoothly over the picture."""
    exponents = 2 ** (rng.uniform(-strength, strength) + rng.uniform(-0.3, 0.3, 3) * strength)
    levels = np.linspace(0, 1, 256)[:, None] ** exponents[None]
    image = _bytes(cv2.LUT(image, _bytes(levels * 255 + 0.5)[None]))
    return _bytes(image * _smooth(image.shape, 2 ** (0.6 * strength), rng)[..., None])


def _smooth(shape: tuple[int, ...], most: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """H x W float32 from 1 / `most` to about `most`, varying slowly."""
    points = most ** rng.uniform(-1, 1, (GRID, GRID))
    field = cv2.resize(
        points.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR
    )
    return field.astype(np.float32, copy=False)


def _shadowed(image: Pixels, rng: np.random.Generator) -> Pixels:
    """One to three shadows, each a quadrangle with its own penumbra; what they darken turns bluer."""
    height, width = image.shape[:2]
    shade = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        center = rng.uniform((0, 0.2), (1, 1))
        around = np.sort(rng.uniform(0, 2 * np.pi, 4))
        reach = rng.uniform(0.1, 0.6, 4)
        corners = center + reach[:, None] * np.stack([np.cos(around), 0.6 * np.sin(around)], 1)
        one = np.zeros((height, width), np.float32)
        cv2.fillPoly(one, [np.rint(corners * (width, height)).astype(np.int32)], (1.0,))
        # A box of its own width is a penumbra: of a lamp post sharp, of a tall house soft.
        side = 1 + 2 * int(rng.integers(1, max(2, width // 24)))
        shade = np.maximum(shade, cv2.blur(one, (side, side)))
    darkest = rng.uniform(0.35, 0.8) * np.array([1.12, 1.0, 0.95], np.float32)
    return _bytes(image * (1 - shade[..., None] * (1 - darkest.astype(np.float32))))


def _hazy(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Mixed with the colour of bright air, most of it at the top, less with every row."""
    height = image.shape[0]
    air = rng.uniform(150, 235) + rng.uniform(-12, 12, 3)
    thickness = np.linspace(1, rng.uniform(0, 0.5), height) * rng.uniform(0.1, 0.5)
    share = thickness.astype(np.float32)[:, None, None]
    return _bytes(image * (1 - share) + share * air.astype(np.float32))


def _blurred(image: Pixels, rng: np.random.Generator) -> Pixels:
    kind = int(rng.integers(3))
    if kind == 0:
        return _bytes(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0)))
    if kind == 1:
        length = 2 * int(rng.integers(1, 5)) + 1
        kernel = np.zeros((length, length), np.float32)
        middle, angle = length // 2, rng.uniform(0, np.pi)
        tip = np.rint(middle * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        ends = [(middle - int(tip[0]), middle - int(tip[1])),
                (middle + int(tip[0]), middle + int(tip[1]))]  # fmt: skip
        cv2.line(kernel, ends[0], ends[1], (1.0,))
        return _bytes(cv2.filter2D(image, -1, kernel / kernel.sum()))
    height, width = image.shape[:2]
    factor = rng.uniform(0.35, 0.8)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return _bytes(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def _noisy(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Gaussian noise of a standard deviation up to 14, half of it where the picture is brightest."""
    sigma = rng.uniform(2, 14)
    noise = rng.standard_normal(image.shape, np.float32)
    return _bytes(image + noise * (sigma * (1 - image.astype(np.float32) / 510)))


def _compressed(image: Pixels, rng: np.random.Generator) -> Pixels:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 80))]
    decoded = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    assert decoded is not None  # of what was encoded just now
    return _bytes(decoded)


def _erased(image: Pixels, label: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """A rectangle of 2 to 10 % of the picture in one random colour, unlabelled."""
    height, width = label.shape
    side = rng.uniform(0.02, 0.10) ** 0.5
    stretch = 2 ** rng.uniform(-1, 1)
    rows = min(height, max(1, round(height * side * stretch)))
    columns = min(width, max(1, round(width * side / stretch)))
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    image, label = image.copy(), label.copy()
    image[top : top + rows, left : left + columns] = rng.integers(0, 256, 3)
    label[top : top + rows, left : left + columns] = IGNORE
    return image, label


def _bytes(image: NDArray[Any]) -> Pixels:
    """Numbers as uint8, cut off at 0 and 255."""
    return np.asarray(image.clip(0, 255), np.uint8)
