"""The records that move between stages, in the order of their making.

    decode ──Frame──▶ transfer ──Prepared──▶ infer ──Inferred──▶ overlay ──Painted──▶ encode, or the caller

With keyframe reuse `motion` stands before `infer` and adds a `Step` to `Prepared`.
Every later record carries the `Frame` it came from: pixels are referred to, never copied.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamseg.picture.pixels import Planar

if TYPE_CHECKING:
    from fractions import Fraction

    import av

    from streamseg.picture.orientation import Orientation

CELL = 8
"""Motion is known per cell of so many pixels each way: the smallest block that codecs commonly move."""


@dataclass(slots=True, kw_only=True, eq=False)
class CodecMotion:
    """The motion vectors that came with a coded picture. Produced by the source's decoder; consumed by `motion`.

    Attributes:
        vectors: FFmpeg's AVMotionVector records, as PyAV gives them, in pixels of the stored picture; None: this
            picture has none, it is intra-coded.
        kind: "I", "P", "B", or "?" for what FFmpeg calls otherwise.
        luma: of the upright picture, in squares: see `motion.cells.squares`. For pictures that are dropped, too: it
            tells to which other pictures vectors lead.
        previous: that of the picture shown before; pictures that were dropped in between stay reachable. Set to
            None once used, and by the source where nobody does, so that the chain does not grow.
    """

    vectors: "NDArray[np.void] | None"
    kind: str
    luma: NDArray[np.uint8]
    previous: "CodecMotion | None" = field(default=None, repr=False)


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
        motion: the vectors it was coded with; None when the source was not asked for them, or has none to give.
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
    motion: CodecMotion | None = None

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
class Displacement:
    """Where a picture's contents are in another picture, older or newer. Produced by `infer`, consumed by engines.

    Attributes:
        field: cells x cells x 2 (x, y) float32, C-contiguous: what is at a cell's centre is there + field, in pixels
            of the upright picture.
        size: its (height, width).
    """

    field: NDArray[np.float32]
    size: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moved:
    """Deep features of one picture, on their way to another one. Produced by `infer`, consumed by engines.

    Attributes:
        features: as the engine's `context` made them.
        displacement: where the other picture's contents are in that picture; None: at the same places.
        share: how much they count where there are others, too; above 0.
    """

    features: Any
    displacement: Displacement | None = None
    share: float = 1.0


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

    @property
    def raw(self) -> bool:
        """Whether these are what softmax takes: not class ids (one-hot, as engines give them), nor probabilities."""
        return bool(self.scores.min() < 0 or np.abs(self.scores.sum(2) - 1).max() >= 1e-2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blend:
    """How planes are blended with the colours of their labels, in fixed point with 8 fractional bits.

    Attributes:
        keep: weight of the planes, 0..256.
        luma: 256 x 1, a colour's Y' times its weight; chroma: 256 x 2, Cb and Cr. uint16 for samples of 8 bits, else
            uint32.
    """

    keep: int
    luma: NDArray[Any]
    chroma: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawing:
    """What is to be drawn of a picture besides its label map. Produced by the painter, consumed by engines that paint.

    The same object for all pictures that are drawn alike.
    """

    overlay: Blend | None = None
    color: Blend | None = None

    @property
    def blends(self) -> tuple[Blend | None, Blend | None]:
        return self.overlay, self.color


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """A picture that an engine labelled and drew itself. Produced by such an engine, consumed by the painter.

    Attributes:
        labels: height x width uint8 class ids.
        overlay, color: what its `Drawing` asked for, in the picture's matrix and range; None when not asked for.
    """

    labels: NDArray[np.uint8]
    overlay: Planar | None = None
    color: Planar | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """How the picture moved since the last one that was processed. Produced by `motion`, consumed by `infer`.

    Attributes:
        field: cells x cells x 2 (x, y) float32, one node in the middle of each cell of 8 pixels of the upright
            picture: what is seen there was at the middle + field, in pixels, in the picture before. None: not
            known (the first picture, another scene, pictures between that nobody saw).
        unknown: share of the cells without a motion of their own, 0..1. At 1 the whole field is a guess: codec
            keyframes have no vectors.
        residual: how much the luma differs from that of the picture before, moved by `field` (or by the best guess
            where that is None): mean absolute difference of squares of 4 pixels, 0..255.
        contrast: standard deviation of the luma of these squares, 0..128.
        cut: another scene begins with this picture.
        since: index of the frame before. If it is lost on its way, this step leads from nowhere.
    """

    field: NDArray[np.float32] | None
    unknown: float
    residual: float
    contrast: float
    cut: bool
    since: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A frame whose pixels are where the network is. Produced by `transfer`, consumed by `infer`.

    Attributes:
        network_input: the engine's own form of the pixels; only the engine that made it can read it.
        step: how the picture moved; None when nobody asked.
    """

    frame: Frame
    network_input: Any
    step: Step | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """Whose deep features a frame's labels are of. Produced by `infer`; ends in the user's result.

    Attributes:
        is_keyframe: the frame is a segmentation keyframe: the whole network ran on it.
        age: frames between the one whose deep features were used and this one, 0 for its own.
        change: how wrong carried features are thought to be, 0 (not at all) to 1 (of another scene).
    """

    is_keyframe: bool
    age: int
    change: float


WHOLE = Reuse(is_keyframe=True, age=0, change=0.0)
"""Nothing was carried over."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inferred:
    """A frame with its logits, or labelled already. Produced by `infer`, consumed by `overlay`."""

    frame: Frame
    logits: Logits | Labelled
    reuse: Reuse = WHOLE


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
    reuse: Reuse = WHOLE
    overlay: "av.VideoFrame | None" = None
    color: "av.VideoFrame | None" = None
