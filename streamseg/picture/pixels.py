"""A picture's pixels in the two forms that engines take and painters paint on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planar:
    """Y'CbCr 4:2:0 pixels, as the decoder left them. Networks take those of 8 bits.

    Attributes:
        y: height x width uint8 (uint16 for more than 8 bits). u, v: half of it, rounded up. May be views
            into the decoder's buffers, rows further apart than they are long.
        matrix: "bt601", "bt709" or "bt2020": how the planes relate to RGB.
        full_range: luma spans 0..255 (JPEG) rather than 16..235 (MPEG); with more bits, multiples of it.
        bits: of one sample, 8 to 16.
    """

    y: NDArray[Any]
    u: NDArray[Any]
    v: NDArray[Any]
    matrix: str
    full_range: bool
    bits: int = 8

    def __post_init__(self) -> None:
        half = tuple((side + 1) // 2 for side in self.y.shape)
        if self.y.ndim != 2 or 0 in self.y.shape or self.u.shape != half or self.v.shape != half:
            raise ValueError(
                f"expected planes of H x W and twice {half}, got {self.y.shape}, {self.u.shape}, "
                f"{self.v.shape}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.y.shape[0], self.y.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """8-bit interleaved pixels: height x width x 3 uint8, in `order`."""

    pixels: NDArray[np.uint8]
    order: str = "bgr24"

    def __post_init__(self) -> None:
        if self.order not in ("bgr24", "rgb24"):
            raise ValueError(f'expected pixel_format "bgr24" or "rgb24", got {self.order!r}')
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray) or pixels.ndim != 3 or pixels.shape[2] != 3:
            got = f"shape {np.shape(pixels)}"
            raise ValueError(f"expected an image of height x width x 3, got {got}")
        if pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise ValueError(
                f"expected a non-empty uint8 image (0..255), got {pixels.dtype} {pixels.shape}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


Pixels = Planar | Packed
"""What an engine takes and a painter paints on."""
