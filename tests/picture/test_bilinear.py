"""Interpolation along one axis against torch."""

import numpy as np
import pytest
import torch

from streamseg.picture.bilinear import interpolation_taps


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("source", "target"), [(5, 20), (20, 5), (2, 9), (7, 7), (3, 1)])
def test_taps_hit_what_torch_hits(source: int, target: int, align_corners: bool) -> None:
    left, weight = interpolation_taps(source, target, align_corners)
    ramp = torch.arange(source, dtype=torch.float32)[None, None]
    expected = torch.nn.functional.interpolate(
        ramp, target, mode="linear", align_corners=align_corners
    )
    assert left.dtype == np.int32
    assert weight.dtype == np.float32
    assert left.min() >= 0
    assert left.max() <= source - 2
    assert left + weight == pytest.approx(expected[0, 0].numpy(), abs=1e-5)
