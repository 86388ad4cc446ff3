"""Nothing comes in; the classes, measures and types that the other files share go out.

World coordinates are meters: x to the right from the middle of the road, y up, z ahead. Traffic
keeps left.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamseg.labels import CAMVID

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
"""N x 3 meters, or N x 2 canvas samples."""
Color = tuple[float, float, float]
"""BGR, 0 to 255."""

(SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST) = range(11)
assert len(CAMVID) == BICYCLIST + 1

SPEED = 9.0
"""Of the camera, m/s."""
NEAR, FAR, GROUND = 0.6, 200.0, 300.0
"""Meters ahead where things are cut off, where they come into being, in haze, and where the ground ends."""
LANE, PARKED, KERB, FRONT = 1.5, 4.6, 5.5, 8.5
"""From the middle of the road to lane centers, parked cars, kerb stones, house fronts. Meters."""
PERIOD = 18.0
"""Meters after which the ground repeats."""
HAZE: Color = (232.0, 230.0, 226.0)
"""What is too far to see, and the sky above the horizon."""
GLASS: Color = (70, 60, 54)


def bytes_of(array: ArrayLike) -> Image:
    """Numbers as uint8, cut off at 0 and 255."""
    return np.asarray(array).clip(0, 255).astype(np.uint8, copy=False)
