"""The way into a network against the same arithmetic written out in numpy, in double precision."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pictures import packed, planar

from streamseg.engine.engine import arrays_of
from streamseg.engine.entry import entry_for
from streamseg.engine.openvino_engine import convert
from streamseg.models.card import InputSpec
from streamseg.picture.pixels import Packed, Pixels

SIZES = [
    ((13, 17), (33, 41)),
    ((48, 62), (21, 19)),
    ((20, 24), (20, 24)),
    ((1, 1), (5, 3)),
    ((9, 8), (1, 4)),
]
"""(source, network): up, down, none, from one pixel, to one row; odd and even sides."""

TOLERANCE = 2e-3
"""On the scale of 0..255. Positions are float32 and off by up to 4e-6 pixels near 60; from one pixel of noise to the
next, colors differ by up to 500 before they are clamped. Largest difference seen: 0.0013."""

KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


def spec_of(color: str, align_corners: bool) -> InputSpec:
    return InputSpec(
        size=(1, 1), color=color, mean=(101.5, 112.25, 123.0), std=(1.0, 2.0, 0.5), align_corners=align_corners
    )  # fmt: skip


def taps(source: int, target: int, align_corners: bool) -> NDArray[np.float64]:
    """target x source: one row of weights per target pixel."""
    weights = np.zeros((target, source))
    for i in range(target):
        if align_corners:
            position = i * (source - 1) / (target - 1) if target > 1 else 0.0
        else:
            position = min(max((i + 0.5) * source / target - 0.5, 0), source - 1)
        left = int(position)
        right = min(left + 1, source - 1)
        weights[i, left] += 1 - (position - left)
        weights[i, right] += position - left
    return weights


def resized(
    plane: NDArray[np.uint8], size: tuple[int, int], align_corners: bool
) -> NDArray[np.float64]:
    down = taps(plane.shape[0], size[0], align_corners)
    across = taps(plane.shape[1], size[1], align_corners)
    return down @ plane.astype(np.float64) @ across.T


def reference(pixels: Pixels, spec: InputSpec, size: tuple[int, int]) -> NDArray[np.float64]:
    """3 x h x w, before normalisation, in R, G, B."""
    if isinstance(pixels, Packed):
        r, g, b = (resized(pixels.pixels[..., k], size, spec.align_corners) for k in range(3))
        rgb = (r, g, b) if pixels.order == "rgb24" else (b, g, r)
        return np.stack(rgb)
    y, u, v = (resized(plane, size, spec.align_corners) for plane in (pixels.y, pixels.u, pixels.v))
    kr, kb = KR_KB[pixels.matrix]
    if pixels.full_range:
        luma, blue, red = y, (u - 128) / 255 * 2, (v - 128) / 255 * 2
    else:
        luma, blue, red = (y - 16) * 255 / 219, (u - 128) / 224 * 2, (v - 128) / 224 * 2
    r = luma + 255 * (1 - kr) * red
    b = luma + 255 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.stack([r, g, b]), 0, 255)


def check(
    result: NDArray[np.float32], pixels: Pixels, spec: InputSpec, size: tuple[int, int]
) -> None:
    assert result.shape == (1, 3, *size)
    assert result.dtype == np.float32
    mean, std = (np.array(values)[:, None, None] for values in (spec.mean, spec.std))
    in_255 = result[0] * std + mean
    expected = reference(pixels, spec, size)
    if spec.color == "bgr":
        expected = expected[::-1]
    np.testing.assert_allclose(in_255, expected, rtol=0, atol=TOLERANCE)


PICTURES = [
    *(("packed", order, None) for order in ("bgr24", "rgb24")),
    *(("planar", matrix, full) for matrix in KR_KB for full in (False, True)),
]


def picture(kind: str, flavour: str, full: bool, size: tuple[int, int]) -> Pixels:
    return packed(*size, flavour) if kind == "packed" else planar(*size, flavour, full)


@pytest.mark.parametrize(("source", "target"), SIZES)
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("color", ["bgr", "rgb"])
@pytest.mark.parametrize(("kind", "flavour", "full"), PICTURES)
def test_entry_is_the_documented_arithmetic(
    kind, flavour, full, color, align_corners, source, target
):
    pixels = picture(kind, flavour, full, source)
    spec = spec_of(color, align_corners)
    arrays = [torch.from_numpy(array) for array in arrays_of(pixels)]
    check(entry_for(pixels, spec, target)(*arrays).numpy(), pixels, spec, target)


@pytest.mark.parametrize(("source", "target"), SIZES[:2])
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("kind", "flavour", "full"), PICTURES)
def test_openvino_entry_is_the_documented_arithmetic(
    kind, flavour, full, align_corners, source, target
):
    import openvino as ov

    pixels = picture(kind, flavour, full, source)
    spec = spec_of("rgb", align_corners)
    arrays = arrays_of(pixels)
    tensors = [torch.from_numpy(array) for array in arrays]
    module = entry_for(pixels, spec, target)
    compiled = ov.Core().compile_model(
        convert(module, tensors), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    result = compiled(arrays)[0]
    check(result, pixels, spec, target)
    scale = np.array(spec.std)[:, None, None]  # back to 0..255
    difference = (result - module(*tensors).numpy()) * scale
    assert np.abs(difference).max() < TOLERANCE


def test_gray_is_gray_in_every_matrix():
    for matrix in (*KR_KB, "bt2020"):
        pixels = planar(4, 4, matrix)
        pixels.y[:], pixels.u[:], pixels.v[:] = 126, 128, 128
        arrays = [torch.from_numpy(array) for array in arrays_of(pixels)]
        spec = InputSpec(size=(4, 4), mean=(0, 0, 0))
        result = entry_for(pixels, spec, (4, 4))(*arrays)
        torch.testing.assert_close(result, torch.full((1, 3, 4, 4), 110 * 255 / 219))
