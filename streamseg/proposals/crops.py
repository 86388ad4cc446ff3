"""The part of a picture in a square, at a network's own size. Comes in: a picture, a square. Goes out: its pixels."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.proposals.boxes import Box


def crop(
    picture_HWC: NDArray[Any], square: Box, size: tuple[int, int], padding: tuple[float, ...]
) -> NDArray[np.float32]:
    """Cut out, pad and resize, bilinearly, as the views are that networks here are trained on.

    Args:
        picture_HWC: uint8 or float32.
        square: may stick out of the picture.
        size: (height, width) that comes out.
        padding: value of each channel beyond the picture; a network's mean, which becomes 0.

    Returns:
        height x width x C float32, in the picture's units.
    """
    canvas = np.empty((square.height, square.width, picture_HWC.shape[2]), np.float32)
    inside = square.within(picture_HWC.shape[:2])
    if inside is None or inside != square:
        canvas[:] = padding
    if inside is not None:
        rows = slice(inside.top - square.top, inside.bottom - square.top)
        columns = slice(inside.left - square.left, inside.right - square.left)
        canvas[rows, columns] = picture_HWC[inside.top : inside.bottom, inside.left : inside.right]
    resized = cv2.resize(canvas, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)
