"""The painter on a GPU, exactly what `stream.paint` does on a CPU. Comes in: logits and a picture's planes, on the
device. Goes out: a label map and blended planes, on the device.

Two kernels in Triton. One interpolates every class at every pixel, in registers, and keeps the greatest: enlarged
logits are never in memory. The other blends 2x2 pixels of luma and their sample of both chroma planes.

B = pictures, H, W = height and width, C = classes.
"""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from streamseg.frames import Blend, Drawing
from streamseg.picture.bilinear import interpolation_taps

BLOCK = 256
"""Pixels of a row, or samples of a row of chroma, that one program computes."""


@triton.jit  # type: ignore[untyped-decorator]
def _label(
    scores: Any,  # B x C x h x w, any strides
    step_b: Any,
    step_c: Any,
    step_h: Any,
    step_w: Any,
    left_x: Any,
    weight_x: Any,
    left_y: Any,
    weight_y: Any,
    labels: Any,  # uint8: a row of memory for each picture
    labels_step: Any,
    width: Any,
    classes: Any,
    block: tl.constexpr,
) -> None:
    x = tl.program_id(0) * block + tl.arange(0, block)
    y, picture = tl.program_id(1), tl.program_id(2).to(tl.int64)
    inside = x < width
    x0, u = tl.load(left_x + x, inside, 0), tl.load(weight_x + x, inside, 0.0)
    y0, v = tl.load(left_y + y), tl.load(weight_y + y)
    corner = scores + picture * step_b + y0 * step_h + x0 * step_w
    best = tl.full((block,), float("-inf"), tl.float32)
    label = tl.zeros((block,), tl.int32)
    for c in range(classes):
        at = corner + c * step_c
        a = tl.load(at, inside, 0.0).to(tl.float32)
        b = tl.load(at + step_w, inside, 0.0).to(tl.float32)
        d = tl.load(at + step_h, inside, 0.0).to(tl.float32)
        e = tl.load(at + step_h + step_w, inside, 0.0).to(tl.float32)
        upper, lower = a * (1 - u) + b * u, d * (1 - u) + e * u
        score = upper * (1 - v) + lower * v
        label = tl.where(score > best, c, label)  # the first of equals
        best = tl.maximum(score, best)
    tl.store(labels + picture * labels_step + y * width + x, label.to(tl.uint8), inside)


@triton.jit  # type: ignore[untyped-decorator]
def _mixed(sample: Any, keep: Any, color: Any) -> Any:
    total = sample.to(tl.int32) * keep + color
    return ((total + 127 + ((total >> 8) & 1)) >> 8).to(tl.uint8)


@triton.jit  # type: ignore[untyped-decorator]
def _blend(
    planes: Any,  # uint8: Y', Cb and Cr one after the other, a row of memory for each picture
    planes_step: Any,
    labels: Any,
    labels_step: Any,
    luma: Any,
    blue: Any,
    red: Any,  # int32: 256 colours, times their weight
    keep: Any,
    out: Any,  # as planes
    out_step: Any,
    height: Any,
    width: Any,
    block: tl.constexpr,
) -> None:
    half_width, half_height = (width + 1) // 2, (height + 1) // 2
    x, y = tl.program_id(0) * block + tl.arange(0, block), tl.program_id(1)
    picture = tl.program_id(2).to(tl.int64)
    source, target = planes + picture * planes_step, out + picture * out_step
    here = labels + picture * labels_step
    inside = x < half_width
    mean_blue = tl.zeros((block,), tl.int32)
    mean_red = tl.zeros((block,), tl.int32)
    for corner in tl.static_range(4):
        column, row = 2 * x + corner % 2, tl.zeros_like(x) + 2 * y + corner // 2
        # Beyond an odd edge the last pixel counts twice, and is written once.
        at = tl.minimum(row, height - 1) * width + tl.minimum(column, width - 1)
        label = tl.load(here + at, inside, 0).to(tl.int32)
        mean_blue += tl.load(blue + label)
        mean_red += tl.load(red + label)
        sample = tl.load(source + at, inside, 0)
        drawn = inside & (column < width) & (row < height)
        tl.store(target + at, _mixed(sample, keep, tl.load(luma + label)), drawn)
    cb = height * width + y * half_width + x
    cr = cb + half_height * half_width
    tl.store(target + cb, _mixed(tl.load(source + cb, inside, 0), keep, mean_blue >> 2), inside)
    tl.store(target + cr, _mixed(tl.load(source + cr, inside, 0), keep, mean_red >> 2), inside)


class TritonPainter:
    """Labels and draws pictures of one size.

    Args:
        size: (height, width) of the pictures.
        align_corners: how the logits' grid lies on them.
        drawing: what is drawn besides label maps.
        device: of all tensors.
    """

    def __init__(
        self, size: tuple[int, int], align_corners: bool, drawing: Drawing, device: torch.device
    ) -> None:
        self._size = size
        self._align_corners = align_corners
        self._device = device
        self._taps: dict[tuple[int, int], tuple[Tensor, ...]] = {}
        self._blends = [
            (blend.keep, *self._tables(blend)) for blend in drawing.blends if blend is not None
        ]

    def __call__(self, logits_BCHW: Tensor, planes_BN: Tensor | None) -> Tensor:
        """Label maps, and behind each its drawings: B x bytes uint8, see `drawn_bytes`.

        Args:
            logits_BCHW: of any floating type and strides.
            planes_BN: uint8, every picture's Y', Cb and Cr one after the other; None where nothing is drawn.
        """
        height, width = self._size
        pixels, samples = height * width, planar_bytes(self._size)
        out_BN = torch.empty(
            len(logits_BCHW), pixels + len(self._blends) * samples,
            dtype=torch.uint8, device=self._device,
        )  # fmt: skip
        self._label(logits_BCHW, out_BN)
        for index, (keep, luma, blue, red) in enumerate(self._blends):
            assert planes_BN is not None
            drawn_BN = out_BN[:, pixels + index * samples :]
            grid = (triton.cdiv((width + 1) // 2, BLOCK), (height + 1) // 2, len(out_BN))
            _blend[grid](
                planes_BN, planes_BN.stride(0), out_BN, out_BN.stride(0), luma, blue, red, keep,
                drawn_BN, out_BN.stride(0), height, width, block=BLOCK,
            )  # fmt: skip
        return out_BN

    def _label(self, logits_BCHW: Tensor, out_BN: Tensor) -> None:
        height, width = self._size
        # A single row or column is repeated, so that every cell has four corners.
        for axis in (2, 3):
            if logits_BCHW.shape[axis] == 1:
                logits_BCHW = logits_BCHW.repeat_interleave(2, axis)
        grid = (triton.cdiv(width, BLOCK), height, len(logits_BCHW))
        rows, columns = logits_BCHW.shape[2:]
        _label[grid](
            logits_BCHW, *logits_BCHW.stride(), *self._taps_of(rows, columns), out_BN,
            out_BN.stride(0), width, logits_BCHW.shape[1], block=BLOCK,
        )  # fmt: skip

    def _taps_of(self, rows: int, columns: int) -> tuple[Tensor, ...]:
        if (rows, columns) not in self._taps:
            (down, below), (along, beside) = (
                interpolation_taps(nodes, pixels, self._align_corners)
                for nodes, pixels in zip((rows, columns), self._size, strict=True)
            )
            self._taps[rows, columns] = tuple(map(self._there, (along, beside, down, below)))
        return self._taps[rows, columns]

    def _tables(self, blend: Blend) -> tuple[Tensor, ...]:
        columns = (blend.luma[:, 0], blend.chroma[:, 0], blend.chroma[:, 1])
        return tuple(self._there(column.astype(np.int32)) for column in columns)

    def _there(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)


def planar_bytes(size: tuple[int, int]) -> int:
    """Of a picture of `size` (height, width) as Y', Cb and Cr one after the other."""
    height, width = size
    return height * width + 2 * ((height + 1) // 2) * ((width + 1) // 2)
