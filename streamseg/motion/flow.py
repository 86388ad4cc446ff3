"""Optical flow, for video that has no vectors to give. Comes in: the luma of two pictures. Goes out: the step from the
second to the first. OpenCV's DIS, on as many threads as OpenCV has been told to use: it has no setting for one call.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.frames import CELL
from streamseg.motion.cells import grid

PIXELS = 360 * 480
"""Of the pictures that are compared, at most. On CamVid's clip smaller ones do worse; larger ones cost more."""

SHORTEST = 32
"""Pixels of a side: where a patch of 8 pixels does not fit into a quarter of the picture, DIS crashes."""


class Flow:
    """Finds how one picture moved since another."""

    def __init__(self) -> None:
        self._search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def field(
        self, now: NDArray[np.uint8], before: NDArray[np.uint8], size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """As `Step.field` has it.

        Args:
            now, before: `small` pictures, alike in size.
            size: (height, width) of the picture itself.
        """
        moved = self._search.calc(now, before, None)
        rows, columns = grid(size)
        scale = np.array([size[1] / now.shape[1], size[0] / now.shape[0]], np.float32)
        across, down = CELL / scale
        # The middle of the first cell, and on from cell to cell.
        places = np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5]])
        nodes = cv2.warpAffine(
            moved,
            places,
            (columns, rows),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        field: NDArray[np.float32] = nodes * scale
        return field


def small(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same picture with at most about `PIXELS` pixels; a copy."""
    while luma.size > 4 * PIXELS:  # halving is many times quicker than other ways to shrink
        height, width = luma.shape[0] // 2, luma.shape[1] // 2
        even = luma[: 2 * height, : 2 * width]
        luma = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )
    shrink = min(1.0, (PIXELS / luma.size) ** 0.5)
    height, width = (max(SHORTEST, int(side * shrink)) for side in luma.shape)
    shrunk = cv2.resize(luma, (width, height), interpolation=cv2.INTER_LINEAR)
    return shrunk.astype(np.uint8, copy=False)
