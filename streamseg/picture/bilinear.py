"""Bilinear interpolation along one axis: where each target pixel looks."""

import numpy as np
from numpy.typing import NDArray


def interpolation_taps(
    source: int, target: int, align_corners: bool
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Bilinear interpolation along one axis, as `torch.nn.functional.interpolate` has it.

    Returns:
        For every target pixel the left source pixel (int32) and the weight of the one right of it (float32).
        The left pixel is at most source - 2, so that the right one always exists (source >= 2).
    """
    pixels = np.arange(target, dtype=np.float64)
    if align_corners:
        position = pixels * ((source - 1) / max(target - 1, 1))
    else:
        position = np.clip((pixels + 0.5) * (source / target) - 0.5, 0, source - 1)
    left = np.minimum(np.floor(position), max(source - 2, 0)).astype(np.int32)
    return left, (position - left).astype(np.float32)
