"""The painter. Comes in: logits at a fraction of the network's size and the frame's own planes. Goes out: a
label map at the frame's size and the frame blended with the classes' colours. Runs on one thread, without the GIL.

Three ideas make it cheap. Where the four corners of a cell of the logits' grid agree on the arg-max, bilinear
interpolation inside the cell cannot disagree (cells.py). Colours are looked up only where labels change from row to
row (blend.py). And colour conversion is affine, so blending the palette's Y'CbCr onto the decoder's planes is
blending in RGB: pixels never leave the format that decoder and encoder share.
"""

from collections.abc import Sequence

import av
import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from streamseg.frames import Blend, Drawing, Frame, Inferred, Labelled, Logits, Painted
from streamseg.labels import LabelSet
from streamseg.picture.bilinear import interpolation_taps
from streamseg.picture.convert import Converter, with_times_and_tags
from streamseg.picture.format import Transfer, transfer_of
from streamseg.picture.pixels import Planar
from streamseg.picture.planes import (
    DEEP_FORMAT,
    gray_frame,
    is_full_range,
    planar_view,
    rgb_to_ycbcr,
)
from streamseg.stream.blend import SHIFT, blend_chroma, blend_samples, in_memory
from streamseg.stream.cells import cells_along, label_cells, label_nodes


def label_map(logits: Logits, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Interpolate logits to `size` (height, width) and take the arg-max: H x W uint8 class ids.

    Equal to the arg-max of every class interpolated in float32, along x and then along y; the first of equals wins.
    """
    scores = logits.scores
    labels = np.empty(size, np.uint8)
    if scores.shape[:2] == size:
        label_nodes(scores, labels)
        return labels
    # A single row or column is repeated, so that every cell has four corners.
    if scores.shape[0] == 1 or scores.shape[1] == 1:
        scores = np.repeat(scores, 2, axis=0) if scores.shape[0] == 1 else scores
        scores = np.repeat(scores, 2, axis=1) if scores.shape[1] == 1 else scores
        scores = np.ascontiguousarray(scores)
    rows, columns = (
        cells_along(*interpolation_taps(nodes, pixels, logits.align_corners))
        for nodes, pixels in zip(scores.shape[:2], size, strict=True)
    )
    label_cells(scores, rows, columns, labels)
    return labels


def fixed_point_alpha(alpha: float) -> tuple[int, int]:
    """(weight of the frame, weight of the colour), together 256.

    Raises:
        ValueError: alpha is outside 0..1.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"expected alpha from 0 (frame alone) to 1 (colours alone), got {alpha}")
    color = round(alpha * (1 << SHIFT))
    return (1 << SHIFT) - color, color


def blend_planar(
    planes: Planar,
    labels: NDArray[np.uint8],
    palette_rgb: NDArray[np.uint8] | NDArray[np.float64],
    alpha: float,
    out: Planar,
) -> None:
    """Write `planes` blended with the labels' colours into `out`, in the planes' own matrix and range.

    Args:
        labels: H x W uint8, C-contiguous.
        palette_rgb: 256 x 3, R'G'B' 0..255 in the planes' own primaries and transfer.
        alpha: share of colour, 0..1, in steps of 1/256.
        out: planes of the same size and bits.
    """
    blend = blend_of(palette_rgb, alpha, planes.matrix, planes.full_range, planes.bits)
    y, u, v = (in_memory(plane) for plane in (planes.y, planes.u, planes.v))
    out_y, out_u, out_v = (in_memory(plane, writeable=True) for plane in (out.y, out.u, out.v))
    blend_samples(y, labels, blend.keep, blend.luma, out_y)
    blend_chroma(u, v, labels, blend.keep, blend.chroma, out_u, out_v)


def blend_of(
    palette_rgb: NDArray[np.uint8] | NDArray[np.float64],
    alpha: float,
    matrix: str,
    full_range: bool,
    bits: int = 8,
) -> Blend:
    """What `blend_planar` blends planes of that matrix, range and depth with."""
    keep, weight = fixed_point_alpha(alpha)
    forward, offset = rgb_to_ycbcr(matrix, full_range)
    depth = 1 << bits - 8
    # In full range, pure red and blue lie half a step outside what a byte can hold.
    palette = np.clip((palette_rgb @ forward.T + offset) * depth, 0, 256 * depth - 1)
    scaled = np.rint(palette * weight).astype(np.uint16 if depth == 1 else np.uint32)
    return Blend(keep=keep, luma=scaled[:, :1].copy(), chroma=scaled[:, 1:].copy())


def blend_packed(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], palette: NDArray[np.uint8], alpha: float
) -> NDArray[np.uint8]:
    """What cv2.addWeighted makes of a picture and its labels' colours, for alpha in steps of 1/256.

    Args:
        pixels: H x W x 3 uint8.
        labels: H x W uint8, C-contiguous, as `label_map` gives it.
        palette: 256 x 3 uint8 in the pixels' channel order.
        alpha: share of colour, 0..1.

    Returns:
        A new H x W x 3 uint8 image.
    """
    keep, weight = fixed_point_alpha(alpha)
    colors = palette.astype(np.uint16) * np.uint16(weight)
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    out = np.empty_like(rows)
    blend_samples(in_memory(rows), labels, keep, colors, in_memory(out, writeable=True))
    return out.reshape(pixels.shape)


LABELS_ALONE = Drawing()


class Painter:
    """The `overlay` stage. Not thread-safe (it keeps FFmpeg's scaler between frames).

    Args:
        labels: classes and colours.
        alpha: share of colour in the overlay, 0..1.
        overlay, color: what to draw besides the label map.
        canvas: pixel format to draw in, "yuv420p" or "yuv420p10le". HDR stays HDR only in the latter.
    """

    name = "overlay"

    def __init__(
        self,
        labels: LabelSet,
        *,
        alpha: float = 0.5,
        overlay: bool = True,
        color: bool = False,
        canvas: str = "yuv420p",
    ) -> None:
        fixed_point_alpha(alpha)
        self._palette_rgb = labels.palette_rgb()
        self._alpha = alpha
        self._overlay = overlay
        self._color = color
        self._canvas = canvas
        self._converter = Converter()
        self._hdr_palettes: dict[Transfer, NDArray[np.float64]] = {}
        self._drawings: dict[tuple[str, bool], Drawing] = {}

    def drawing(self, frame: Frame) -> Drawing:
        """What an engine that paints is to draw of a frame: nothing of one that is stored turned or with more bits.
        Called on `transfer`'s thread.
        """
        planes = frame.pixels
        if self._canvas == DEEP_FORMAT or not frame.orientation.upright_already:
            return LABELS_ALONE
        key = (planes.matrix, planes.full_range)
        if key not in self._drawings:
            overlay, color = (
                blend_of(self._palette_rgb, alpha, *key) if asked else None
                for asked, alpha in ((self._overlay, self._alpha), (self._color, 1.0))
            )
            self._drawings[key] = Drawing(overlay=overlay, color=color)
        return self._drawings[key]

    def process(self, inferred: Inferred) -> Sequence[Painted]:
        """Label map at the upright frame's size, and the drawings asked for."""
        frame, answer = inferred.frame, inferred.logits
        drawn = answer if isinstance(answer, Labelled) else None
        labels = (
            answer.labels if isinstance(answer, Labelled) else label_map(answer, frame.pixels.size)
        )
        overlay = color = None
        if drawn and (drawn.overlay or drawn.color):
            overlay = _filled(frame.image, drawn.overlay) if drawn.overlay else None
            color = _filled(frame.image, drawn.color) if drawn.color else None
        elif self._overlay or self._color:
            canvas = self._canvas_of(frame)
            stored = np.ascontiguousarray(frame.orientation.stored(labels))
            overlay = self._draw(canvas, stored, self._alpha) if self._overlay else None
            color = self._draw(canvas, stored, 1.0) if self._color else None
        painted = Painted(
            frame=frame,
            labels=labels,
            reuse=inferred.reuse,
            overlay=overlay,
            color=color,
        )
        return [painted]

    def drain(self) -> Sequence[Painted]:
        """Nothing is held back."""
        return ()

    def warm_up(self, logits: Logits, size: tuple[int, int], color_tags: tuple[int, int]) -> None:
        """Compile the loops for pictures of `size` before the first one is due."""
        labels = label_map(logits, size)
        blank = planar_view(gray_frame(size, color_tags, self._canvas))
        out = planar_view(gray_frame(size, color_tags, self._canvas))
        blend_planar(blank, labels, self._palette_rgb, self._alpha, out)

    def close(self) -> None:
        """Nothing to release."""

    def _canvas_of(self, frame: Frame) -> av.VideoFrame:
        """The picture as stored, in the format that is drawn in."""
        if self._canvas == DEEP_FORMAT:
            return self._converter.deep(frame.decoded)
        if frame.orientation.upright_already:
            return frame.image
        return self._converter.flat(frame.decoded)

    def _draw(
        self, canvas: av.VideoFrame, labels: NDArray[np.uint8], alpha: float
    ) -> av.VideoFrame:
        painted = av.VideoFrame(canvas.width, canvas.height, self._canvas)
        planes = planar_view(canvas)
        blend_planar(planes, labels, self._palette_for(canvas), alpha, planar_view(painted))
        return _tagged(painted, canvas)

    def _palette_for(self, canvas: av.VideoFrame) -> NDArray[np.uint8] | NDArray[np.float64]:
        transfer = transfer_of(canvas.color_trc)
        if transfer == "sdr":
            return self._palette_rgb
        if transfer not in self._hdr_palettes:
            from streamseg.picture.hdr import painted_colors

            self._hdr_palettes[transfer] = painted_colors(self._palette_rgb, transfer)
        return self._hdr_palettes[transfer]


def _filled(picture: av.VideoFrame, planes: Planar) -> av.VideoFrame:
    """What was drawn elsewhere of `picture`, as a frame with its times and tags."""
    painted = av.VideoFrame(picture.width, picture.height, "yuv420p")
    target = planar_view(painted)
    for name in ("y", "u", "v"):
        np.copyto(getattr(target, name), getattr(planes, name))
    return _tagged(painted, picture)


def _tagged(painted: av.VideoFrame, picture: av.VideoFrame) -> av.VideoFrame:
    with_times_and_tags(painted, picture)
    if is_full_range(picture):
        painted.color_range = int(ColorRange.JPEG)  # yuvj420p may say so by its name alone
    return painted
