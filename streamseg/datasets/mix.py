"""Two views made one: some classes of the one (ClassMix), or a rectangle of it (CutMix), on the other.

Comes in: two crops of one size with their label maps. Goes out: a third pair. Runs on the loader's
thread. Things turn up where they never stood, so a network must know them by their looks rather
than by what is usually around them.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.labels import IGNORE

Pixels = NDArray[np.uint8]
Kind = Literal["classes", "rectangle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How often views are mixed, and how.

    Attributes:
        share: of the views that get parts of another.
        kind: "classes" takes half of the other view's classes (Olsson et al. 2021), "rectangle" a
            rectangle of 15 to 50 % of its area (Yun et al. 2019).
    """

    share: float = 0.5
    kind: Kind = "classes"

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"expected share in 0..1, got {self.share}")
        if self.kind not in get_args(Kind):
            raise ValueError(f"expected kind of {', '.join(get_args(Kind))}, got {self.kind!r}")


def mixed(
    under: tuple[Pixels, Pixels],
    over: tuple[Pixels, Pixels],
    kind: Kind,
    rng: np.random.Generator,
) -> tuple[Pixels, Pixels]:
    """(image H x W x 3, label map H x W): parts of `over` on `under`. Both are left as they are."""
    mask = _classes(over[1], rng) if kind == "classes" else _rectangle(over[1].shape, rng)
    image = np.where(mask[..., None], over[0], under[0])
    return image, np.where(mask, over[1], under[1])


def _classes(label: Pixels, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The pixels of half of the classes present, rounded up."""
    present = np.flatnonzero(cv2.calcHist([label], [0], None, [256], [0, 256])[:IGNORE])
    chosen = rng.permutation(present)[: (len(present) + 1) // 2]
    return np.isin(np.arange(256), chosen)[label]


def _rectangle(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    height, width = shape
    share, stretch = rng.uniform(0.15, 0.5), 2 ** rng.uniform(-0.5, 0.5)
    rows = min(height, max(1, round(height * share**0.5 * stretch)))
    columns = min(width, max(1, round(width * share**0.5 / stretch)))
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + rows, left : left + columns] = True
    return mask
