"""The way into a network against the same arithmetic written out in numpy, in double precision."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pictures import packed, planar

from streamseg.engine.engine import arrays_of
from streamseg.engine.entry import Entry, grid_for
from streamseg.engine.torch_entry import entry_for
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


def run(implementation: str, pixels: Pixels, spec: InputSpec, size: tuple[int, int]):
    """h x w x 3 float32, by the entry of CPUs ("compiled") or of GPUs ("torch")."""
    if implementation == "compiled":
        result = Entry(pixels, spec, size)(pixels)
        assert result.flags.c_contiguous
        return result[0]
    arrays = [torch.from_numpy(array) for array in arrays_of(pixels)]
    return entry_for(pixels, spec, size)(*arrays)[0].permute(1, 2, 0).numpy()


def expected_of(pixels: Pixels, spec: InputSpec, size: tuple[int, int]) -> NDArray[np.float64]:
    """h x w x 3 in the network's channel order, before normalisation."""
    colors = np.moveaxis(reference(pixels, spec, size), 0, -1)
    return colors[..., ::-1] if spec.color == "bgr" else colors


PICTURES = [
    *(("packed", order, None) for order in ("bgr24", "rgb24")),
    *(("planar", matrix, full) for matrix in KR_KB for full in (False, True)),
]


def picture(kind: str, flavour: str, full: bool, size: tuple[int, int]) -> Pixels:
    return packed(*size, flavour) if kind == "packed" else planar(*size, flavour, full)


@pytest.mark.parametrize("implementation", ["compiled", "torch"])
@pytest.mark.parametrize(("source", "target"), SIZES)
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("color", ["bgr", "rgb"])
@pytest.mark.parametrize(("kind", "flavour", "full"), PICTURES)
def test_entry_is_the_documented_arithmetic(
    kind, flavour, full, color, align_corners, source, target, implementation
):
    pixels = picture(kind, flavour, full, source)
    spec = spec_of(color, align_corners)
    result = run(implementation, pixels, spec, target)
    assert result.shape == (*target, 3)
    assert result.dtype == np.float32
    in_255 = result * np.array(spec.std) + np.array(spec.mean)
    expected = expected_of(pixels, spec, target)
    np.testing.assert_allclose(in_255, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("source", "target"), SIZES)
@pytest.mark.parametrize("color", ["bgr", "rgb"])
@pytest.mark.parametrize(("kind", "flavour", "full"), PICTURES)
def test_steps_are_the_nearest(kind, flavour, full, color, source, target):
    pixels = picture(kind, flavour, full, source)
    spec = spec_of(color, True)
    grid = grid_for(spec)
    steps = Entry(pixels, spec, target, grid)(pixels)[0]
    assert steps.dtype == np.uint8
    values = (steps.astype(np.float64) - grid.zero) * grid.scale
    expected = (expected_of(pixels, spec, target) - spec.mean) / spec.std
    assert np.abs(values - expected).max() <= grid.scale / 2 + TOLERANCE / min(spec.std)


@pytest.mark.parametrize(
    ("mean", "std"),
    [((103.939, 116.779, 123.68), (1, 1, 1)), ((0, 0, 0), (255, 255, 255)), ((300, 300, 300), (50, 60, 70)),
     ((-20, 5, 127.5), (0.5, 2, 1))],
)  # fmt: skip
def test_grid_holds_black_and_white_of_every_channel_and_zero(mean, std):
    spec = InputSpec(size=(1, 1), mean=mean, std=std)
    grid = grid_for(spec)
    ends = [(level - m) / s for level in (0, 255) for m, s in zip(mean, std, strict=True)]
    steps = [end / grid.scale + grid.zero for end in [*ends, 0.0]]
    assert min(steps) >= -0.5
    assert max(steps) <= 255.5
    assert 254 <= max(steps) - min(steps) <= 255 + 1e-9


@pytest.mark.parametrize("implementation", ["compiled", "torch"])
def test_gray_is_gray_in_every_matrix(implementation):
    for matrix in (*KR_KB, "bt2020"):
        pixels = planar(4, 4, matrix)
        pixels.y[:], pixels.u[:], pixels.v[:] = 126, 128, 128
        spec = InputSpec(size=(4, 4), mean=(0, 0, 0))
        result = run(implementation, pixels, spec, (4, 4))
        np.testing.assert_allclose(result, 110 * 255 / 219, rtol=1e-5)


def test_readonly_pictures_and_rows_with_gaps_give_the_same():
    spec = spec_of("bgr", True)
    pixels = planar(20, 24)
    expected = run("compiled", pixels, spec, (9, 9))
    assert not pixels.u.flags.c_contiguous
    for plane in (pixels.y, pixels.u, pixels.v):
        plane.flags.writeable = False
    np.testing.assert_array_equal(run("compiled", pixels, spec, (9, 9)), expected)
