"""Pictures of noise, the hardest there are for an interpolation, as an engine takes them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streamseg.picture.pixels import Packed, Planar


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """height x width x 3 uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def packed(height: int, width: int, order: str = "bgr24", seed: int = 0) -> Packed:
    return Packed(pixels=noise(height, width, seed), order=order)


def planar(
    height: int, width: int, matrix: str = "bt601", full_range: bool = False, seed: int = 0
) -> Planar:
    """Three independent planes; rows of chroma lie further apart than they are long."""
    pixels = noise(height, width, seed)
    half = pixels[: (height + 1) // 2, : (width + 1) // 2]
    return Planar(
        y=np.ascontiguousarray(pixels[..., 0]), u=half[..., 1], v=half[..., 2], matrix=matrix,
        full_range=full_range,
    )  # fmt: skip


def touching(planes: Planar) -> Planar:
    """The same pixels, samples side by side."""
    y, u, v = (plane.copy() for plane in (planes.y, planes.u, planes.v))
    return replace(planes, y=y, u=u, v=v)
