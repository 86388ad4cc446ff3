"""Objects of a labelled image: what DeconvNet learns from, one at a time.

    label map ──objects_in──▶ regions, objects ──▶ a box around one, or a proposal that covers it ──▶ `object_views`

Comes in: a label map, and which pixels are of which object where the data set tells. Goes out: records. Runs on the
loader's thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.labels import IGNORE

Kind = Literal["centred", "proposals"]

WINDOW_SHARES = (1.0, 0.75, 0.5, 0.25)
"""Sides of sliding windows, as shares of the image's shorter one; they advance by half of it."""

TRIES = 20
"""Boxes jittered at most until one covers its object well enough."""


class Box(NamedTuple):
    """Edges in pixels of the image, from its upper left corner; right and bottom are beyond the last pixel. May lie
    beyond the image.
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    def squared(self, factor: float = 1.0) -> "Box":
        """The square of the same centre whose side is `factor` times the longer side."""
        half = factor * max(self.right - self.left, self.bottom - self.top) / 2
        x, y = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        return Box(x - half, y - half, x + half, y + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """Which examples a stage learns from, each a square of an image that holds an object, laid to the view's crop.

    Attributes:
        kind: "centred": a box around an object, and its class alone, all else being background (the paper's first
            stage). "proposals": a box that covers an object by half, and all classes in it (the second).
        extend: the square's side over the box's longer one. Beyond the image it holds the mean, unlabelled.
        enlarge: the square is resized to so many times the view's crop, of which the crop is a random part (paper: 250
            to 224).
        least_pixels, least_side: of an object, and of the longer side of its box. Lesser ones are slivers of labels, or
            enlarged to a view what nobody would know.
        overlap: least intersection over union of a proposal with its object's box. The paper takes it with the object's
            pixels. CamVid's regions are ragged: a fence or a tree fills less than half of its own box, so that no box
            at all would be a proposal of it.
        whole_share: of the views of "proposals" that show the image from side to side, whatever they hold: a square
            between its shorter and its longer side. Where an engine has to label every pixel it looks there first, and
            without them few views tell what lies where in a street.
    """

    kind: Kind
    extend: float = 1.2
    enlarge: float = 250 / 224
    least_pixels: int = 100
    least_side: int = 24
    overlap: float = 0.5
    whole_share: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"expected kind of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if self.extend < 1 or self.enlarge < 1:
            raise ValueError(
                f"expected extend and enlarge >= 1, got {self.extend} and {self.enlarge}"
            )
        if not 0 <= self.whole_share <= (self.kind == "proposals"):
            raise ValueError(
                f"expected whole_share in 0..1, and 0 for centred objects, got {self.whole_share}"
            )
        if min(self.least_pixels, self.least_side) < 1 or not 0 < self.overlap <= 1:
            raise ValueError(
                f"expected least_pixels and least_side >= 1 and overlap in 0..1, above 0, "
                f"got {self.least_pixels}, {self.least_side} and {self.overlap}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageObject:
    """One object. Produced by `objects_in`.

    Attributes:
        number: its value in the map of regions, from 1.
        class_id: of its pixels.
        box: around them.
    """

    number: int
    class_id: int
    box: Box


def objects_in(
    label: NDArray[np.uint8],
    objects: Objects,
    *,
    background: int | None,
    instances: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.int32], tuple[ImageObject, ...]]:
    """(regions H x W int32: which object each pixel is of, 0 of none or of one too small; the objects).

    Where the data set does not tell objects apart, each connected region of a class is one. So are regions of road or
    sky: in a data set without background every pixel is to be labelled, and a network that never had a road as its
    object would know it only from around others.

    Args:
        label: H x W uint8 class ids and `IGNORE`.
        background: the class whose pixels are of no object, None if there is no such class.
        instances: H x W, see `LabelledImages.load_instances`; None for connected regions.
    """
    regions = np.zeros(label.shape, np.int32)
    found: list[ImageObject] = []
    parts = (
        _connected(label, background) if instances is None else _told(label, instances, background)
    )
    for class_id, box, mask in parts:
        longer = max(box.right - box.left, box.bottom - box.top)
        if longer < objects.least_side or np.count_nonzero(mask) < objects.least_pixels:
            continue
        found.append(ImageObject(number=len(found) + 1, class_id=class_id, box=box))
        inside = regions[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
        inside[mask] = len(found)
    return regions, tuple(found)


Part = tuple[int, Box, NDArray[np.bool_]]
"""(class, box, which pixels of the box are its own)."""


def _connected(label: NDArray[np.uint8], background: int | None) -> Iterator[Part]:
    """Connected regions, class by class."""
    for class_id in np.flatnonzero(np.bincount(label.reshape(-1), minlength=256)[:IGNORE]).tolist():
        if class_id == background:
            continue
        count, parts, boxes, _ = cv2.connectedComponentsWithStats(
            (label == class_id).astype(np.uint8), connectivity=8
        )
        for part in range(1, count):
            left, top, columns, rows, _ = boxes[part].tolist()
            inside = parts[top : top + rows, left : left + columns]
            yield class_id, Box(left, top, left + columns, top + rows), inside == part


def _told(
    label: NDArray[np.uint8], instances: NDArray[np.uint8], background: int | None
) -> Iterator[Part]:
    """The objects that a data set tells, each of the class that most of its pixels are of."""
    labelled = label != IGNORE
    if background is not None:
        labelled &= label != background
    for value in np.unique(instances[labelled & (instances > 0) & (instances != IGNORE)]).tolist():
        mask = (instances == value) & labelled
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        yield int(np.bincount(label[mask]).argmax()), box, inside


def intersection_over_union(one: Box, other: Box) -> float:
    """Of two boxes, 0..1."""
    common = Box(
        max(one.left, other.left), max(one.top, other.top),
        min(one.right, other.right), min(one.bottom, other.bottom),
    ).area  # fmt: skip
    return common / (one.area + other.area - common)


def drawn(objects: tuple[ImageObject, ...], rng: np.random.Generator) -> ImageObject:
    """An object of a class drawn uniformly among theirs, so that poles come as often as roads."""
    classes = sorted({one.class_id for one in objects})
    class_id = classes[int(rng.integers(len(classes)))]
    of_class = [one for one in objects if one.class_id == class_id]
    return of_class[int(rng.integers(len(of_class)))]


def proposal(
    one: ImageObject, size: tuple[int, int], overlap: float, rng: np.random.Generator
) -> Box:
    """A box that covers an object by at least `overlap`: of the sliding windows that do or, in half of the cases and
    where none does, its own box jittered.

    Args:
        size: (height, width) of the image.
    """
    if rng.random() < 0.5:
        windows = [
            box for box in sliding_windows(size) if intersection_over_union(box, one.box) >= overlap
        ]
        if windows:
            return windows[int(rng.integers(len(windows)))]
    return _jittered(one.box, overlap, rng)


def whole_square(size: tuple[int, int], rng: np.random.Generator) -> Box:
    """A square between an image's shorter and its longer side, at a random place where it shows all of the shorter
    side and nothing beyond the longer one's ends.

    Args:
        size: (height, width) of the image.
    """
    side = rng.uniform(min(size), max(size))
    top, left = (rng.uniform(min(0.0, extent - side), max(0.0, extent - side)) for extent in size)
    return Box(left, top, left + side, top + side)


def sliding_windows(size: tuple[int, int]) -> list[Box]:
    """Squares of several sizes all over an image, the last of each row and column at its edge."""
    found = []
    for share in WINDOW_SHARES:
        side = share * min(size)
        tops, lefts = (_starts(extent, side) for extent in size)
        found += [Box(left, top, left + side, top + side) for top in tops for left in lefts]
    return found


def _starts(extent: int, side: float) -> list[float]:
    count = 1 + int(np.ceil((extent - side) / (side / 2)))
    starts: list[float] = np.linspace(0, extent - side, count).tolist()
    return starts


def _jittered(box: Box, overlap: float, rng: np.random.Generator) -> Box:
    """Moved by up to a quarter of its sides and scaled by up to a factor of 1.5; as it is if no try covers it."""
    width, height = box.right - box.left, box.bottom - box.top
    for _ in range(TRIES):
        x = (box.left + box.right) / 2 + width * rng.uniform(-0.25, 0.25)
        y = (box.top + box.bottom) / 2 + height * rng.uniform(-0.25, 0.25)
        half_width, half_height = (
            side / 2 * np.exp(rng.uniform(-1, 1) * np.log(1.5)) for side in (width, height)
        )
        tried = Box(x - half_width, y - half_height, x + half_width, y + half_height)
        if intersection_over_union(tried, box) >= overlap:
            return tried
    return box
