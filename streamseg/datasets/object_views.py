"""Views of objects: a square of an image, resized, cropped at random and mirrored, with the labels of its stage.

Comes in: a whole image, its label map and its objects. Goes out: a crop of fixed size of both. Runs on the loader's
thread.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamseg.datasets.augment import View, laid
from streamseg.datasets.objects import (
    Box,
    ImageObject,
    Objects,
    drawn,
    objects_in,
    proposal,
    whole_square,
)
from streamseg.errors import DataError
from streamseg.labels import IGNORE, LabelSet

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A labelled image.

    Attributes:
        image: H x W x 3 uint8 BGR.
        label: H x W uint8 class ids and `IGNORE`.
        instances: H x W, see `LabelledImages.load_instances`.
    """

    image: Pixels
    label: Pixels
    instances: Pixels | None = None


def background_of(labels: LabelSet) -> int:
    """What pixels of no object are labelled in views of centred objects: the data set's own class for that or, where it
    has none, one more than its classes.

    Raises:
        DataError: that would be `IGNORE`.
    """
    if len(labels) == IGNORE and labels.background is None:
        raise DataError(
            f"expected fewer than {IGNORE} classes, to learn objects before a background"
        )
    return len(labels) if labels.background is None else labels.background


def object_view(
    picture: Picture, labels: LabelSet, objects: Objects, view: View, rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """One example: (crop H x W x 3 uint8 BGR, label map H x W uint8, `IGNORE` beyond the image's edge).

    Args:
        labels: of the data set.
        view: its crop, flip, color and conditions.

    Raises:
        DataError: there is no object.
    """
    label = picture.label
    regions, found = objects_in(
        label, objects, background=labels.background, instances=picture.instances
    )
    if not found:
        raise DataError(
            f"expected an object of at least {objects.least_pixels} pixels and {objects.least_side} from side to "
            f"side in the image; there is none"
        )
    one = drawn(found, rng)
    if objects.kind == "centred":
        box = one.box
        rest = np.where(label == IGNORE, IGNORE, background_of(labels))
        label = np.where(regions == one.number, one.class_id, rest).astype(np.uint8)
    else:
        box = _proposed(one, (label.shape[0], label.shape[1]), objects, rng)
    matrix = _geometry(box.squared(objects.extend), objects.enlarge, view, rng)
    return laid(picture.image, label, matrix, view, rng)


def _proposed(
    one: ImageObject, size: tuple[int, int], objects: Objects, rng: np.random.Generator
) -> Box:
    if objects.whole_share and rng.random() < objects.whole_share:
        return whole_square(size, rng)
    return proposal(one, size, objects.overlap, rng)


def _geometry(
    square: Box, enlarge: float, view: View, rng: np.random.Generator
) -> NDArray[np.float64]:
    """2 x 3 affine matrix from pixels of the image to those of the crop, a random part of the resized square."""
    height, width = view.crop
    scale_x = enlarge * width / (square.right - square.left)
    scale_y = enlarge * height / (square.bottom - square.top)
    # Edges of pixels lie half a pixel from their centres, which are what matrices map.
    x = (0.5 - square.left) * scale_x - 0.5 - rng.uniform(0, (enlarge - 1) * width)
    y = (0.5 - square.top) * scale_y - 0.5 - rng.uniform(0, (enlarge - 1) * height)
    if view.flip and rng.random() < 0.5:
        scale_x, x = -scale_x, width - 1 - x
    return np.array([[scale_x, 0.0, x], [0.0, scale_y, y]])
