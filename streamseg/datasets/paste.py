"""Copy-paste: rare things cut out of training images and put into others (Ghiasi et al. 2021).

    images ──Cutouts──▶ pieces by group ──paste──▶ an image with some more poles, signs, people

Comes in: a whole image and its label map. Goes out: copies of both with pieces pasted. Runs on the
loader's thread. CamVid labels no instances, so a piece is a connected region of a group of classes:
a sign comes with the pole that it hangs on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.errors import DataError
from streamseg.labels import IGNORE, LabelSet

Pixels = NDArray[np.uint8]

STREET = (("pole", "sign"), ("fence",), ("car",), ("pedestrian",), ("bicyclist",))
"""CamVid's rare classes, as they hang together."""

MIN_SIDE = 12
"""Rows or columns, whichever are more, of the least piece worth pasting, pixels."""

MAX_SHARE = 0.15
"""Of the picture: greater pieces are whole rows of parked cars, which cover what they are put on."""

LIGHT = (0.4, 2.5)
"""Bounds of the factor that gives a piece the light of where it comes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paste:
    """How much is pasted.

    Attributes:
        share: of the images that get pieces.
        most: pieces at most; one to so many, drawn uniformly.
        scale: least and greatest magnification of a piece (log-uniform).
        groups: class names that make up a piece together; groups are drawn uniformly, so that
            bicyclists come as often as cars.
    """

    share: float = 0.5
    most: int = 4
    scale: tuple[float, float] = (0.75, 1.33)
    groups: tuple[tuple[str, ...], ...] = STREET

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"expected share in 0..1, got {self.share}")
        if self.most < 1 or not self.groups:
            raise ValueError(f"expected most >= 1 and some groups, got {self.most}, {self.groups}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"expected 0 < scale[0] <= scale[1], got {self.scale}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Something cut out. Produced by `Cutouts`, consumed by `pasted`.

    Attributes:
        image: h x w x 3 uint8 BGR, its box in the image it is from.
        label: h x w uint8 class ids; `IGNORE` around it.
        bottom: of the box, as a share of the image's height.
        height: of the image it is from, pixels.
        light: mean of that image per channel, B, G, R.
    """

    image: Pixels
    label: Pixels
    bottom: float
    height: int
    light: NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Cutouts:
    """All pieces of a data set, by group, in the order in which images are added.

    Attributes:
        labels: of the data set.
        groups: see `Paste`.
        pieces: one list per group.

    Raises:
        DataError: a group names a class that the data set has not.
    """

    labels: LabelSet
    groups: tuple[tuple[str, ...], ...]
    pieces: list[list[Piece]] = field(init=False)
    _members: list[NDArray[np.bool_]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = self.labels.class_names
        unknown = [name for group in self.groups for name in group if name not in names]
        if unknown:
            raise DataError(
                f"expected classes of {self.labels.name} to cut out ({', '.join(names)}), "
                f"got {unknown[0]!r}"
            )
        self.pieces = [[] for _ in self.groups]
        self._members = [
            np.isin(np.arange(256), [names.index(name) for name in group]) for group in self.groups
        ]

    def add(self, image: Pixels, label: Pixels) -> None:
        """Cut what is to be cut out of one image (H x W x 3 uint8 BGR, H x W uint8)."""
        light = image.mean((0, 1))
        for members, pieces in zip(self._members, self.pieces, strict=True):
            mask = members[label]
            if mask.any():
                pieces += _pieces(image, label, mask, light)


def _pieces(
    image: Pixels, label: Pixels, mask: NDArray[np.bool_], light: NDArray[np.float64]
) -> Iterable[Piece]:
    height, width = label.shape
    count, regions, boxes, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    for region in range(1, count):
        left, top, columns, rows, area = boxes[region].tolist()
        # What touches a side goes on beyond it: half a car would stand in the middle of the road.
        cut_off = left == 0 or left + columns == width or top + rows == height
        if max(rows, columns) < MIN_SIDE or area > MAX_SHARE * height * width or cut_off:
            continue
        box = slice(top, top + rows), slice(left, left + columns)
        yield Piece(
            image=image[box].copy(),
            label=np.where(regions[box] == region, label[box], np.uint8(IGNORE)),
            bottom=(top + rows) / height,
            height=height,
            light=light,
        )


def pasted(
    image: Pixels, label: Pixels, cutouts: Cutouts, paste: Paste, rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """(image, label map) with pieces in them, or the very arrays that came where there are to be none.

    Args:
        image: H x W x 3 uint8 BGR.
        label: H x W uint8; covered where a piece is put.
    """
    stocked = [pieces for pieces in cutouts.pieces if pieces]
    if rng.random() >= paste.share or not stocked:
        return image, label
    image, label = image.copy(), label.copy()
    light = image.mean((0, 1))
    for _ in range(int(rng.integers(1, paste.most + 1))):
        group = stocked[int(rng.integers(len(stocked)))]
        # The greater of two: most pieces are so far away that they show little.
        two = [group[int(chosen)] for chosen in rng.integers(len(group), size=2)]
        _put(image, label, max(two, key=lambda piece: piece.label.size), light, paste, rng)
    return image, label


def _put(
    image: Pixels,
    label: Pixels,
    piece: Piece,
    light: NDArray[np.float64],
    paste: Paste,
    rng: np.random.Generator,
) -> None:
    """Paste one piece where its lower edge is about as high in the picture as where it is from.

    There things of its distance stand; a little larger, smaller, higher or lower is another one.
    """
    height, width = label.shape
    scale = height / piece.height * np.exp(rng.uniform(*np.log(paste.scale)))
    size = (
        max(1, round(piece.label.shape[1] * scale)),
        max(1, round(piece.label.shape[0] * scale)),
    )
    look = cv2.resize(piece.image, size, interpolation=cv2.INTER_LINEAR)
    names = cv2.resize(piece.label, size, interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        look, names = look[:, ::-1], names[:, ::-1]
    bottom = max(1, round((piece.bottom + rng.uniform(-0.02, 0.02)) * height))
    left, top = int(rng.integers(width)) - size[0] // 2, bottom - size[1]

    rows = slice(max(0, top), min(height, bottom))
    columns = slice(max(0, left), min(width, left + size[0]))
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    names = names[inside]
    mask = (names != IGNORE).astype(np.float32)
    gain = np.clip(light / np.maximum(piece.light, 1), *LIGHT).astype(np.float32)
    # Softened inwards: at its rim a piece shows what was behind it there, which is not here.
    soft = np.minimum(mask, 2 * cv2.GaussianBlur(mask, (0, 0), 0.8) - 0.35)[..., None]
    soft = np.clip(soft, 0, 1)
    under = image[rows, columns]
    mixed = under * (1 - soft) + look[inside] * gain * soft
    image[rows, columns] = np.clip(mixed, 0, 255)
    np.copyto(label[rows, columns], names.astype(np.uint8), where=mask > 0)
