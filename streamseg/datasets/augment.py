"""Random views of a labelled image: image and label map go through the same geometry, once.

Comes in: a whole image and its label map. Goes out: a crop of fixed size of both. Runs on the
loader's thread.
"""

from dataclasses import dataclass
from math import exp, log

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.datasets.conditions import AS_IT_IS, Conditions, under_conditions
from streamseg.labels import IGNORE

PAD_BGR = (104, 117, 124)
"""Beyond the image's edge: the mean that the network subtracts, so that padding is about zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a random view may be.

    Attributes:
        crop: (height, width) in pixels of the result.
        scale: least and greatest magnification of the source image (log-uniform).
        aspect: greatest stretch of width against height, as a factor (1 is none).
        rotation_degrees: greatest turn to either side.
        flip: mirror half of the views.
        color: strength of changes in brightness, contrast, saturation and cast, 0 for none.
        rare_class_share: share of views laid around a pixel of a class drawn uniformly among those
            present in the image, so that poles and signs are seen as often as roads there;
            `centroids.Uniform` draws over the whole set.
        conditions: other light, air and cameras; by default none, and no random number is drawn for
            them, so views without them are what they were before there were any.
    """

    crop: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    aspect: float = 1.0
    rotation_degrees: float = 0.0
    flip: bool = True
    color: float = 0.4
    rare_class_share: float = 0.0
    conditions: Conditions = AS_IT_IS

    def __post_init__(self) -> None:
        if min(self.crop) < 1:
            raise ValueError(f"expected a crop of at least 1x1 px, got {self.crop}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"expected 0 < scale[0] <= scale[1], got {self.scale}")
        if self.aspect < 1:
            raise ValueError(f"expected aspect >= 1 (a factor either way), got {self.aspect}")
        if self.rotation_degrees < 0 or self.color < 0:
            raise ValueError(
                f"expected rotation_degrees and color >= 0, "
                f"got {self.rotation_degrees} and {self.color}"
            )
        if not 0 <= self.rare_class_share <= 1:
            raise ValueError(f"expected rare_class_share in 0..1, got {self.rare_class_share}")


def random_view(
    image: NDArray[np.uint8],
    label: NDArray[np.uint8],
    view: View,
    rng: np.random.Generator,
    around: tuple[int, int] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One view: (crop H x W x 3 uint8 BGR, label map H x W uint8, `IGNORE` beyond the edge).

    Args:
        around: pixel (row, column) of the image to lay the view around; None for anywhere.
    """
    return laid(image, label, _geometry(label, view, rng, around), view, rng)


def laid(
    image: NDArray[np.uint8],
    label: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    view: View,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The view at one place, in its light and conditions: as `random_view` returns it.

    Args:
        matrix: 2 x 3 affine, from pixels of the image to pixels of the crop.
    """
    height, width = view.crop
    image_crop = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=PAD_BGR,
    )  # fmt: skip
    label_crop = cv2.warpAffine(
        label, matrix, (width, height), flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT, borderValue=(IGNORE,),
    )  # fmt: skip
    image_crop = _recolor(image_crop.astype(np.uint8, copy=False), view.color, rng)
    return under_conditions(
        image_crop, label_crop.astype(np.uint8, copy=False), view.conditions, rng
    )


def _geometry(
    label: NDArray[np.uint8],
    view: View,
    rng: np.random.Generator,
    around: tuple[int, int] | None,
) -> NDArray[np.float64]:
    """2 x 3 affine matrix from source pixels to crop pixels."""
    height, width = view.crop
    scale = exp(rng.uniform(log(view.scale[0]), log(view.scale[1])))
    stretch = exp(rng.uniform(-log(view.aspect), log(view.aspect))) ** 0.5
    scale_x, scale_y = scale * stretch, scale / stretch
    flip = bool(view.flip and rng.random() < 0.5)
    angle = np.deg2rad(rng.uniform(-view.rotation_degrees, view.rotation_degrees))
    center_x, center_y = _center(label, view, (scale_y, scale_x), rng, around)

    linear = np.array(
        [
            [scale_x * np.cos(angle) * (-1 if flip else 1), -scale_y * np.sin(angle)],
            [scale_x * np.sin(angle) * (-1 if flip else 1), scale_y * np.cos(angle)],
        ]
    )
    offset = np.array([(width - 1) / 2, (height - 1) / 2]) - linear @ [center_x, center_y]
    return np.hstack([linear, offset[:, None]])


def _center(
    label: NDArray[np.uint8],
    view: View,
    scale_yx: tuple[float, float],
    rng: np.random.Generator,
    around: tuple[int, int] | None,
) -> tuple[float, float]:
    """Source pixel (x, y) in the crop's middle: the crop stays within the image if it fits."""
    height, width = label.shape
    half_height = min(view.crop[0] / scale_yx[0], height) / 2
    half_width = min(view.crop[1] / scale_yx[1], width) / 2
    x = rng.uniform(half_width, width - half_width) if width > 2 * half_width else width / 2
    y = rng.uniform(half_height, height - half_height) if height > 2 * half_height else height / 2
    if around is None and rng.random() < view.rare_class_share:
        around = _rare_pixel(label, rng)
    if around is not None:
        # Off centre at random, or the class would always sit in the middle of the crop.
        x = around[1] + rng.uniform(-0.8, 0.8) * half_width
        y = around[0] + rng.uniform(-0.8, 0.8) * half_height
        x = np.clip(x, half_width, width - half_width)
        y = np.clip(y, half_height, height - half_height)
    return float(x) - 0.5, float(y) - 0.5


def _rare_pixel(label: NDArray[np.uint8], rng: np.random.Generator) -> tuple[int, int] | None:
    """(row, column) of a pixel of a class drawn uniformly among those present; None where there is none."""
    present = np.flatnonzero(np.bincount(label.reshape(-1), minlength=256)[:IGNORE])
    if not len(present):
        return None
    pixels = np.flatnonzero(label.reshape(-1) == rng.choice(present))
    row, column = divmod(int(rng.choice(pixels)), label.shape[1])
    return row, column


def _recolor(
    image: NDArray[np.uint8], strength: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Contrast, brightness, saturation, a cast, now and then a blur; clipped once, at the end."""
    if strength <= 0:
        return image
    x: NDArray[np.float32] = image.astype(np.float32)
    contrast = 1 + rng.uniform(-strength, strength)
    brightness = 255 * rng.uniform(-strength, strength) * 0.4
    x = (x - 128) * contrast + (128 + brightness)
    gray = (x @ np.array([0.114, 0.587, 0.299], np.float32))[..., None]
    x = gray + (x - gray) * np.float32(1 + rng.uniform(-strength, strength))
    x += rng.uniform(-strength, strength, 3).astype(np.float32) * 25  # a cast of colour
    if rng.random() < 0.2:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.2)).astype(np.float32, copy=False)
    return np.clip(x, 0, 255).astype(np.uint8)
