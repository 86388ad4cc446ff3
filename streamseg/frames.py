"""The records that move between stages, in the order of their making.

    decode ──Frame──▶ transfer ──Prepared──▶ infer ──Inferred──▶ overlay ──Painted──▶ encode, or the caller

Every later record carries the `Frame` it came from: pixels are referred to, never copied.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamseg.picture.pixels import Planar

if TYPE_CHECKING:
    from fractions import Fraction

    import av

    from streamseg.picture.orientation import Orientation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One decoded picture. Produced by the source's decoder; consumed by every stage after it.

    Attributes:
        image: what networks and users see: 8-bit yuv420p, upright, standard dynamic range.
        pixels: views of its planes; they live as long as `image`.
        decoded: what the decoder left, as stored: what is painted on. Mostly `image` itself. Both carry
            PTS and time base.
        orientation: how `decoded` was turned to give `image`.
        index: position in the stream, from 0.
        time_seconds: PTS in seconds.
        captured_seconds: monotonic clock when the frame arrived (camera) or was decoded (file).
        corrupt: the decoder reported damage in it.
        interlaced: it holds two fields, of different times.
    """

    image: "av.VideoFrame"
    pixels: Planar
    decoded: "av.VideoFrame"
    orientation: "Orientation"
    index: int
    time_seconds: float
    captured_seconds: float
    corrupt: bool = False
    interlaced: bool = False

    @property
    def pts(self) -> int:
        """Timestamp in units of `time_base`."""
        assert self.decoded.pts is not None  # the source gives one to every frame
        return self.decoded.pts

    @property
    def time_base(self) -> "Fraction":
        """Unit of `pts`, seconds."""
        assert self.decoded.time_base
        return self.decoded.time_base


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
        labels: height x width uint8 class ids at the upright source's size.
        overlay: the frame blended with the classes' colours, as stored, in the pixel format that the
            writer asked for; None when not asked for.
        color: the colours alone, likewise; None when not asked for.
    """

    frame: Frame
    labels: NDArray[np.uint8]
    is_keyframe: bool
    overlay: "av.VideoFrame | None" = None
    color: "av.VideoFrame | None" = None
