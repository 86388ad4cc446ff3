"""What is computed of pictures of one kind, so many at a time. Comes in: their bytes, on the device. Goes out: the
answers' bytes, on the device.

    bytes ─▶ planes ─▶ entry ─▶ network ─▶ logits, or ─▶ painter ─▶ label map and drawings

All of it is one CUDA graph over memory that stays in place: launching its hundreds of kernels one by one takes a CPU
longer than a GPU takes to run them.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamseg.engine.engine import entry_key
from streamseg.engine.lanes import CudaLanes
from streamseg.frames import Drawing
from streamseg.picture.pixels import Packed, Pixels, Planar

Painter = Callable[[Tensor, Tensor | None], Tensor]
"""`triton_paint.TritonPainter`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """What pictures share that can be computed together.

    Attributes:
        pixels: of any one of them; its size, form and colours count.
        drawing: None for logits.
    """

    pixels: Pixels
    drawing: Drawing | None

    @property
    def key(self) -> Hashable:
        """Kinds with equal keys are the same."""
        return (*entry_key(self.pixels), None if self.drawing is None else id(self.drawing))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the arrays that the entry takes, for one picture; they lie one after the other in its bytes."""
        if isinstance(self.pixels, Packed):
            return [self.pixels.pixels.shape]
        return [(1, *plane.shape) for plane in (self.pixels.y, self.pixels.u, self.pixels.v)]

    @property
    def num_bytes(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes)

    def arrays(self, bytes_BN: Tensor) -> list[Tensor]:
        """Views of the pictures' bytes in those shapes, B in front."""
        views, start = [], 0
        for shape in self.shapes:
            stop = start + math.prod(shape)
            views.append(bytes_BN[:, start:stop].view(len(bytes_BN), *shape))
            start = stop
        return views


def fill(bytes_N: NDArray[np.uint8], pixels: Pixels) -> None:
    """Copy a picture's samples, whose rows may lie apart, one after the other."""
    planes: Sequence[NDArray[Any]]
    planes = [pixels.pixels] if isinstance(pixels, Packed) else [pixels.y, pixels.u, pixels.v]
    start = 0
    for plane in planes:
        np.copyto(bytes_N[start : start + plane.size].reshape(plane.shape), plane)
        start += plane.size


def planar_of(bytes_N: NDArray[np.uint8], like: Planar) -> Planar:
    """Views of a drawing's bytes as planes."""
    planes, start = [], 0
    for plane in (like.y, like.u, like.v):
        planes.append(bytes_N[start : start + plane.size].reshape(plane.shape))
        start += plane.size
    y, u, v = planes
    return Planar(y=y, u=u, v=v, matrix=like.matrix, full_range=like.full_range)


class Plan:
    """A captured computation.

    Args:
        kind: of the pictures.
        batch: most of them at a time.
        entry, network: from the arrays to logits.
        painter: of a kind that is drawn.
        dtype: of the network.
    """

    def __init__(
        self,
        kind: Kind,
        batch: int,
        *,
        entry: Callable[..., Tensor],
        network: Callable[[Tensor], Tensor],
        painter: Painter | None,
        dtype: torch.dtype,
        lanes: CudaLanes,
    ) -> None:
        self._drawing = kind.drawing  # kept, for a plan is known by its identity
        self._input = torch.zeros(batch, kind.num_bytes, dtype=torch.uint8, device=lanes.device)
        planar = isinstance(kind.pixels, Planar)

        def run() -> Tensor:
            x = entry(*kind.arrays(self._input))
            logits_BCHW = network(x.to(dtype, memory_format=torch.channels_last))
            if painter is not None:
                return painter(logits_BCHW, self._input if planar else None)
            return logits_BCHW.permute(0, 2, 3, 1).float().contiguous()

        self._run = lanes.captured(run)

    def __call__(self, pictures: Sequence[Tensor]) -> Tensor:
        """Answers of up to `batch` pictures' bytes, B x ...; the caller's own. Within `lanes.computing`."""
        for slot, picture in enumerate(pictures):
            self._input[slot].copy_(picture)
        return self._run()[: len(pictures)].clone()
