"""Class names, palettes and the one value that is never scored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""Unlabelled, in every label map inside streamseg. Data sets map their own void value to it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelSet:
    """The classes of a data set or model, in label order.

    Attributes:
        name: what it is called, e.g. "camvid".
        class_names: one word per class id, from 0.
        colors: one RGB triple per class, 0..255.
    """

    name: str
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.class_names) <= IGNORE:
            raise ValueError(f"expected 1 to {IGNORE} classes, got {len(self.class_names)}")
        if len(self.colors) != len(self.class_names):
            raise ValueError(
                f"expected one color per class ({len(self.class_names)}), got {len(self.colors)}"
            )
        for color in self.colors:
            if len(color) != 3 or not all(0 <= value <= 255 for value in color):
                raise ValueError(f"expected colors of three values in 0..255, got {color}")

    def __len__(self) -> int:
        return len(self.class_names)

    @property
    def background(self) -> int | None:
        """The class of what is none of the others; None where every pixel is of some class."""
        return self.class_names.index("background") if "background" in self.class_names else None

    def palette_rgb(self) -> NDArray[np.uint8]:
        """256 x 3 uint8, RGB; ids without a class (and `IGNORE`) are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = self.colors
        return palette


CAMVID = LabelSet(
    name="camvid",
    class_names=(
        "sky", "building", "pole", "road", "pavement", "tree",
        "sign", "fence", "car", "pedestrian", "bicyclist",
    ),
    colors=(
        (70, 130, 180), (128, 64, 64), (192, 192, 128), (128, 64, 128), (244, 35, 232),
        (107, 142, 35), (250, 170, 30), (190, 153, 153), (0, 0, 200), (220, 20, 60), (119, 11, 32),
    ),
)  # fmt: skip

CITYSCAPES = LabelSet(
    name="cityscapes",
    class_names=(
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
        "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
        "motorcycle", "bicycle",
    ),
    colors=(
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153),
        (153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152),
        (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100),
        (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
)  # fmt: skip

VOC = LabelSet(
    name="voc",
    class_names=(
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
        "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
        "train", "tvmonitor",
    ),
    colors=(
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128),
        (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128),
        (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128),
    ),
)  # fmt: skip

LABEL_SETS = {labels.name: labels for labels in (CAMVID, CITYSCAPES, VOC)}


def generic_labels(num_classes: int) -> LabelSet:
    """Numbered classes in well-separated hues, for a model that names none."""
    if not 1 <= num_classes <= IGNORE:
        raise ValueError(f"expected 1 to {IGNORE} classes, got {num_classes}")
    golden = 0.61803398875
    colors = []
    for index in range(num_classes):
        hue = 6 * ((index * golden) % 1)
        value = 230 - 60 * (index % 3)
        ramp = int(value * (1 - abs(hue % 2 - 1)))
        channels = [(value, ramp, 0), (ramp, value, 0), (0, value, ramp)]
        channels += [(0, ramp, value), (ramp, 0, value), (value, 0, ramp)]
        colors.append(channels[int(hue)])
    names = tuple(f"class {index}" for index in range(num_classes))
    return LabelSet(name=f"{num_classes} classes", class_names=names, colors=tuple(colors))
