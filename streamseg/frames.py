"""The records that move between stages, in the order of their making.

    decode ──Frame──▶ transfer ──Prepared──▶ infer ──Inferred──▶ overlay ──Painted──▶ encode, or the caller

Every later record carries the `Frame` it came from: pixels are referred to, never copied.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planar:
    """8-bit Y'CbCr 4:2:0 pixels, as the decoder left them.

    Attributes:
        y: height x width uint8. u, v: half of it, rounded up. May be views into the decoder's buffers,
            rows further apart than they are long.
        matrix: "bt601", "bt709" or "bt2020": how the planes relate to RGB.
        full_range: luma spans 0..255 (JPEG) rather than 16..235 (MPEG).
    """

    y: NDArray[np.uint8]
    u: NDArray[np.uint8]
    v: NDArray[np.uint8]
    matrix: str
    full_range: bool

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One decoded picture. Produced by the source's decoder; consumed by every stage after it.

    Attributes:
        image: the decoder's frame, 8-bit yuv420p; carries PTS and time base.
        pixels: views of its planes; they live as long as `image`.
        index: position in the stream, from 0.
        time_seconds: PTS in seconds.
        captured_seconds: monotonic clock when the frame arrived (camera) or was decoded (file).
        corrupt: the decoder reported damage in it.
    """

    image: "av.VideoFrame"
    pixels: Planar
    index: int
    time_seconds: float
    captured_seconds: float
    corrupt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Logits:
    """A network's answer. Produced by an engine; consumed by the painter.

    Attributes:
        scores: h x w x classes float32, C-contiguous, on the CPU; h and w are the network's own output size.
        align_corners: how its grid lies on the picture: corner centres coincide, or outer edges.
    """

    scores: NDArray[np.float32]
    align_corners: bool

    def __post_init__(self) -> None:
        scores = self.scores
        if scores.ndim != 3 or scores.dtype != np.float32 or 0 in scores.shape:
            raise ValueError(
                f"expected logits of h x w x classes float32, got {scores.dtype} {scores.shape}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A frame whose pixels are where the network is. Produced by `transfer`, consumed by `infer`.

    Attributes:
        network_input: the engine's own form of the pixels; only the engine that made it can read it.
    """

    frame: Frame
    network_input: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inferred:
    """A frame with its logits. Produced by `infer`, consumed by `overlay`."""

    frame: Frame
    logits: Logits
    is_keyframe: bool = True
    """Whether the whole network ran on this frame (a segmentation keyframe)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Painted:
    """A frame's label map and what was asked to be drawn of it. Produced by `overlay`.

    Attributes:
        labels: height x width uint8 class ids at the source's size.
        overlay: the frame blended with the classes' colours, yuv420p; None when not asked for.
        color: the colours alone, yuv420p; None when not asked for.
    """

    frame: Frame
    labels: NDArray[np.uint8]
    is_keyframe: bool
    overlay: "av.VideoFrame | None" = None
    color: "av.VideoFrame | None" = None
