"""The way into a network on the CPU: from a picture's own pixels to the numbers it was trained on.

Comes in: planes or interleaved pixels. Goes out: 1 x h x w x 3, float32 or 8-bit steps. Runs on the caller's
thread, compiled, without the GIL. `torch_entry` is the same on GPUs, from which tests compare it.

Row by row: two source rows are mixed (a contiguous pass), then columns, then colour, clamp and normalisation, which
are one multiplication and addition each. Resizing comes before the colour matrix (both are linear, so only the
clamp could tell), so that chroma is interpolated once, from its own resolution to the network's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.models.card import InputSpec
from streamseg.picture.bilinear import interpolation_taps
from streamseg.picture.pixels import Packed, Pixels
from streamseg.picture.planes import ycbcr_to_rgb


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """8-bit steps for network input: value = (step - zero) * scale. Made by `grid_for`.

    Attributes:
        scale: size of a step, in units of the network's input.
        zero: the step that means 0 (what convolutions are padded with).
    """

    scale: float
    zero: int


def grid_for(spec: InputSpec) -> Grid:
    """The finest steps that hold every picture: 0..255 in each channel, minus mean, divided by std."""
    mean, std = np.array(spec.mean), np.array(spec.std)
    low = min(float((-mean / std).min()), 0.0)
    high = max(float(((255 - mean) / std).max()), 0.0)
    scale = (high - low) / 255
    return Grid(scale=scale, zero=round(-low / scale))


class Entry:
    """Resizes, converts and normalises pictures of one kind and size. Thread-safe.

    Args:
        pixels: a picture of that kind and size.
        spec: what the network takes.
        size: its input, (height, width).
        grid: give 8-bit steps of it; None for float32.
    """

    def __init__(
        self, pixels: Pixels, spec: InputSpec, size: tuple[int, int], grid: Grid | None = None
    ) -> None:
        self._size = size
        self._dtype = np.uint8 if grid else np.float32
        self._taps = _taps(pixels.size, size, spec.align_corners)
        std = np.array(spec.std)
        scale, shift = 1 / std, -np.array(spec.mean) / std
        if grid:
            scale, shift = scale / grid.scale, shift / grid.scale + grid.zero + 0.5
        if isinstance(pixels, Packed):
            self._order = np.arange(3)[:: 1 if pixels.order[:3] == spec.color else -1].copy()
            self._affine = np.stack([scale, shift], 1).astype(np.float32)
            return
        chroma = tuple((side + 1) // 2 for side in pixels.size)
        self._chroma_taps = _taps((chroma[0], chroma[1]), size, spec.align_corners)
        matrix, offset = ycbcr_to_rgb(pixels.matrix, pixels.full_range)
        if spec.color == "bgr":
            matrix, offset = matrix[::-1], offset[::-1]
        columns = [*matrix.T, offset, scale, shift]
        self._affine = np.stack(columns, 1).astype(np.float32)

    def __call__(self, pixels: Pixels) -> NDArray[np.float32] | NDArray[np.uint8]:
        """1 x h x w x 3: channels in the network's order, normalised; float32, or uint8 steps of the grid."""
        out = np.empty((1, *self._size, 3), self._dtype)
        if isinstance(pixels, Packed):
            picture = _contiguous(pixels.pixels)
            _packed(
                picture.reshape(len(picture), -1), *self._taps, self._order, self._affine, out[0]
            )
        else:
            planes = (_contiguous(plane) for plane in (pixels.y, pixels.u, pixels.v))
            _planar(*planes, *self._taps, *self._chroma_taps, self._affine, out[0])
        return out


def _contiguous(pixels: NDArray[Any]) -> NDArray[Any]:
    """Loops are compiled for one layout. Rows with gaps are copied, and so is what may not be written."""
    return np.require(pixels, requirements=["C", "W"])


def _taps(source: tuple[int, int], target: tuple[int, int], align_corners: bool) -> tuple[Any, ...]:
    """Rows and columns: (top, weight below, left, weight right). Unsigned, so that no index wraps around."""
    top, down = interpolation_taps(source[0], target[0], align_corners)
    left, right = interpolation_taps(source[1], target[1], align_corners)
    return top.astype(np.uint32), down, left.astype(np.uint32), right


@compiled
def _mix_rows(plane: Any, row: Any, weight: Any, out: Any) -> None:
    """Row `row`, and the one below by `weight`; `out` is longer by what a column reads beyond a single one."""
    below = min(row + np.uint32(1), np.uint32(plane.shape[0] - 1))
    first, second = plane[row], plane[below]
    for x in range(plane.shape[1]):
        value = np.float32(first[x])
        out[x] = value + (np.float32(second[x]) - value) * weight


@compiled
def _planar(
    y: Any, u: Any, v: Any,
    top: Any, down: Any, left: Any, right: Any,
    chroma_top: Any, chroma_down: Any, chroma_left: Any, chroma_right: Any,
    affine: Any, out: Any,
) -> None:  # fmt: skip
    """`affine`, per channel: weights of y, u, v, offset (then clamped), scale, shift."""
    height, width = out.shape[:2]
    y_row = np.zeros(y.shape[1] + 1, np.float32)
    u_row, v_row = np.zeros(u.shape[1] + 1, np.float32), np.zeros(u.shape[1] + 1, np.float32)
    luma = np.empty(width, np.float32)
    blue, red = np.empty(width, np.float32), np.empty(width, np.float32)
    channels = np.empty((3, width), out.dtype)
    one = np.uint32(1)
    for row in range(height):
        _mix_rows(y, top[row], down[row], y_row)
        _mix_rows(u, chroma_top[row], chroma_down[row], u_row)
        _mix_rows(v, chroma_top[row], chroma_down[row], v_row)
        for x in range(width):
            at = left[x]
            luma[x] = y_row[at] + (y_row[at + one] - y_row[at]) * right[x]
        for x in range(width):
            at, weight = chroma_left[x], chroma_right[x]
            blue[x] = u_row[at] + (u_row[at + one] - u_row[at]) * weight
            red[x] = v_row[at] + (v_row[at + one] - v_row[at]) * weight
        for k in range(3):
            of_y, of_u, of_v, offset = affine[k, 0], affine[k, 1], affine[k, 2], affine[k, 3]
            scale, shift = affine[k, 4], affine[k, 5]
            channel = channels[k]
            for x in range(width):
                color = luma[x] * of_y + blue[x] * of_u + red[x] * of_v + offset
                color = min(max(color, np.float32(0)), np.float32(255))
                channel[x] = color * scale + shift
        _interleave(channels, out[row])


@compiled
def _packed(
    pixels: Any, top: Any, down: Any, left: Any, right: Any, order: Any, affine: Any, out: Any
) -> None:
    """`pixels` is height x (width * 3); `affine`, per channel: scale, shift."""
    height, width = out.shape[:2]
    mixed = np.zeros(pixels.shape[1] + 3, np.float32)
    channels = np.empty((3, width), out.dtype)
    three = np.uint32(3)
    for row in range(height):
        _mix_rows(pixels, top[row], down[row], mixed)
        for k in range(3):
            scale, shift = affine[k, 0], affine[k, 1]
            first = np.uint32(order[k])
            channel = channels[k]
            for x in range(width):
                at = left[x] * three + first
                color = mixed[at] + (mixed[at + three] - mixed[at]) * right[x]
                channel[x] = color * scale + shift
        _interleave(channels, out[row])


@compiled
def _interleave(channels: Any, out: Any) -> None:
    first, second, third = channels[0], channels[1], channels[2]
    for x in range(out.shape[0]):
        out[x, 0], out[x, 1], out[x, 2] = first[x], second[x], third[x]
