"""Reads the files of data sets. Comes in: a path. Goes out: an image, or the values of a label file."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.errors import DataError

Values = NDArray[Any]
"""What a label file holds, as it is: H x W uint8 if all is well, which `LabelledImages.load` checks."""


def read_image(path: Path, flags: int) -> NDArray[Any]:
    """An image by cv2.

    Args:
        flags: of `cv2.imread`.

    Raises:
        DataError: it cannot be read.
    """
    # imread returns None for what it cannot read, and raises for sizes beyond its own limit.
    try:
        array = cv2.imread(str(path), flags)
    except cv2.error as error:
        raise DataError(f"expected a readable image at {path}: {error.err}") from error
    if array is None:
        raise DataError(f"expected a readable image at {path}; it is missing or damaged")
    return array


def read_values(path: Path) -> Values:
    """Of an image whose gray values are what it says.

    Raises:
        DataError: it cannot be read.
    """
    return read_image(path, cv2.IMREAD_UNCHANGED)


def read_indices(path: Path) -> Values:
    """Of an image in Pascal VOC's colours, H x W uint8: the index of each. Gray values are taken as they are.

    cv2 does not give a palette image's indices, but its colours; no two of VOC's 256 are the same.

    Raises:
        DataError: it cannot be read, or has another colour.
    """
    image = read_image(path, cv2.IMREAD_UNCHANGED)
    if image.ndim == 2 or image.dtype != np.uint8:
        return image
    codes = image[..., :3].astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)  # BGR
    known, order = _codes()
    places = np.searchsorted(known, codes).clip(max=255)
    indices: Values = order[places]
    if (known[places] != codes).any():
        blue, green, red = image[known[places] != codes][0, :3].tolist()
        raise DataError(
            f"expected a label map in Pascal VOC's colours at {path}, got red {red}, green {green}, blue {blue}"
        )
    return indices


def palette_rgb() -> NDArray[np.uint8]:
    """Pascal VOC's 256 colours: bits 0, 1 and 2 of an index are the highest of red, green and blue, and so on."""
    index = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            colors[:, channel] |= ((index >> 3 * place + channel & 1) << 7 - place).astype(np.uint8)
    return colors


def _codes() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """(each colour as one number, sorted; the index of each)."""
    codes = palette_rgb().astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    order = np.argsort(codes)
    return codes[order], order.astype(np.uint8)


def no_instances(path: Path) -> None:
    """Of data sets that do not tell one object of a class from another."""
