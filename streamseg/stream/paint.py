"""The painter. Comes in: logits at a quarter of the network's size and the frame's own planes. Goes out: a
label map at the frame's size and the frame blended with the classes' colours. Runs on one thread, without the GIL.

Two ideas make it cheap. Where the four corners of a cell of the logits' grid agree on the arg-max, bilinear
interpolation inside the cell cannot disagree, so only boundary cells are interpolated, and that is
exact. And colour conversion is affine, so blending the palette's Y'CbCr onto the decoder's planes is
blending in RGB: pixels never leave the format that decoder and encoder share.
"""

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.frames import Frame, Inferred, Logits, Painted
from streamseg.labels import LabelSet
from streamseg.picture.convert import Converter, with_times_and_tags
from streamseg.picture.format import Transfer, transfer_of
from streamseg.picture.pixels import Planar
from streamseg.picture.planes import (
    DEEP_FORMAT,
    gray_frame,
    planar_view,
    rgb_to_ycbcr,
    with_gaps,
)

SHIFT = 8
"""Blending is done in fixed point with this many fractional bits: alpha is a multiple of 1/256."""


def interpolation_taps(
    source: int, target: int, align_corners: bool
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Bilinear interpolation along one axis, as `torch.nn.functional.interpolate` has it.

    Returns:
        For every target pixel the left source pixel (int32) and the weight of the one right of it (float32).
        The left pixel is at most source - 2, so that the right one always exists (source >= 2).
    """
    pixels = np.arange(target, dtype=np.float64)
    if align_corners:
        position = pixels * ((source - 1) / max(target - 1, 1))
    else:
        position = np.clip((pixels + 0.5) * (source / target) - 0.5, 0, source - 1)
    left = np.minimum(np.floor(position), max(source - 2, 0)).astype(np.int32)
    return left, (position - left).astype(np.float32)


def label_map(logits: Logits, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Interpolate logits to `size` (height, width) and take the arg-max: H x W uint8 class ids."""
    scores = logits.scores
    # A single row or column is repeated, so that every cell has four corners.
    if scores.shape[0] == 1 or scores.shape[1] == 1:
        scores = np.repeat(scores, 2, axis=0) if scores.shape[0] == 1 else scores
        scores = np.repeat(scores, 2, axis=1) if scores.shape[1] == 1 else scores
        scores = np.ascontiguousarray(scores)
    height, width, _ = scores.shape
    top, down = interpolation_taps(height, size[0], logits.align_corners)
    left, right = interpolation_taps(width, size[1], logits.align_corners)
    labels = np.empty(size, np.uint8)
    _label_map(scores, top, down, left, right, labels)
    return labels


@compiled
def _best_class(scores: Any) -> Any:
    """Arg-max over classes at every node of the grid; the first of equals."""
    height, width, classes = scores.shape
    best = np.empty((height, width), np.uint8)
    for row in range(height):
        for column in range(width):
            winner = 0
            highest = scores[row, column, 0]
            for k in range(1, classes):
                if scores[row, column, k] > highest:
                    highest = scores[row, column, k]
                    winner = k
            best[row, column] = winner
    return best


@compiled
def _label_map(scores: Any, top: Any, down: Any, left: Any, right: Any, labels: Any) -> None:
    """Fill `labels`; see `label_map`. Columns of one cell are handled together."""
    best = _best_class(scores)
    classes = scores.shape[2]
    height, width = labels.shape
    left_edge = np.empty(classes, np.float32)
    right_edge = np.empty(classes, np.float32)
    for y in range(height):
        row = top[y]
        weight_y = down[y]
        x = 0
        while x < width:
            column = left[x]
            stop = x + 1
            while stop < width and left[stop] == column:
                stop += 1
            label = best[row, column]
            if (
                best[row, column + 1] == label
                and best[row + 1, column] == label
                and best[row + 1, column + 1] == label
            ):
                for pixel in range(x, stop):
                    labels[y, pixel] = label
            else:
                for k in range(classes):
                    a = scores[row, column, k]
                    b = scores[row, column + 1, k]
                    left_edge[k] = a + (scores[row + 1, column, k] - a) * weight_y
                    right_edge[k] = b + (scores[row + 1, column + 1, k] - b) * weight_y
                for pixel in range(x, stop):
                    weight_x = right[pixel]
                    winner = 0
                    highest = left_edge[0] + (right_edge[0] - left_edge[0]) * weight_x
                    for k in range(1, classes):
                        score = left_edge[k] + (right_edge[k] - left_edge[k]) * weight_x
                        if score > highest:
                            highest = score
                            winner = k
                    labels[y, pixel] = winner
            x = stop


@compiled
def _blend_luma(plane: Any, labels: Any, keep: Any, color: Any, out: Any) -> None:
    """out = (keep * plane + color[label]) / 256; `color` holds alpha * palette and the rounding."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            out[y, x] = (plane[y, x] * keep + color[labels[y, x]]) >> SHIFT


@compiled
def _blend_chroma(
    u: Any, v: Any, labels: Any, keep: Any, color_u: Any, color_v: Any, out_u: Any, out_v: Any
) -> None:
    """Each chroma sample is blended with the mean colour of the up to four pixels that it covers."""
    height, width = labels.shape
    for y in range(u.shape[0]):
        top = 2 * y
        bottom = min(top + 1, height - 1)
        for x in range(u.shape[1]):
            left = 2 * x
            right = min(left + 1, width - 1)
            a, b = labels[top, left], labels[top, right]
            c, d = labels[bottom, left], labels[bottom, right]
            mean_u = (color_u[a] + color_u[b] + color_u[c] + color_u[d]) >> 2
            mean_v = (color_v[a] + color_v[b] + color_v[c] + color_v[d]) >> 2
            out_u[y, x] = (u[y, x] * keep + mean_u) >> SHIFT
            out_v[y, x] = (v[y, x] * keep + mean_v) >> SHIFT


@compiled
def _blend_packed(pixels: Any, labels: Any, keep: Any, color: Any, out: Any) -> None:
    """As `_blend_luma`, for three interleaved channels; `color` is 256 x 3."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            for channel in range(3):
                blended = pixels[y, x, channel] * keep + color[label, channel]
                out[y, x, channel] = blended >> SHIFT


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
        palette_rgb: 256 x 3, R'G'B' 0..255 in the planes' own primaries and transfer.
    """
    keep, weight = fixed_point_alpha(alpha)
    forward, offset = rgb_to_ycbcr(planes.matrix, planes.full_range)
    depth = 1 << planes.bits - 8
    # In full range, pure red and blue lie half a step outside what a byte can hold.
    palette = np.clip((palette_rgb @ forward.T + offset) * depth, 0, 256 * depth - 1)
    scaled = np.rint(palette * weight).astype(np.int32) + (1 << SHIFT - 1)
    y, u, v = (np.ascontiguousarray(scaled[:, channel]) for channel in range(3))
    _blend_luma(planes.y, labels, np.int32(keep), y, out.y)
    _blend_chroma(planes.u, planes.v, labels, np.int32(keep), u, v, out.u, out.v)


def blend_packed(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], palette: NDArray[np.uint8], alpha: float
) -> NDArray[np.uint8]:
    """A new H x W x 3 uint8 image; `palette` is 256 x 3 in the pixels' channel order."""
    keep, weight = fixed_point_alpha(alpha)
    color = palette.astype(np.int32) * weight + (1 << SHIFT - 1)
    out = np.empty_like(pixels, order="C")
    _blend_packed(pixels, labels, np.int32(keep), color, out)
    return out


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

    def process(self, inferred: Inferred) -> Painted:
        """Label map at the upright frame's size, and the drawings asked for."""
        frame = inferred.frame
        labels = label_map(inferred.logits, frame.pixels.size)
        overlay = color = None
        if self._overlay or self._color:
            canvas = self._canvas_of(frame)
            stored = np.ascontiguousarray(frame.orientation.stored(labels))
            overlay = self._draw(canvas, stored, self._alpha) if self._overlay else None
            color = self._draw(canvas, stored, 1.0) if self._color else None
        return Painted(
            frame=frame,
            labels=labels,
            is_keyframe=inferred.is_keyframe,
            overlay=overlay,
            color=color,
        )

    def warm_up(self, logits: Logits, size: tuple[int, int], color_tags: tuple[int, int]) -> None:
        """Compile the loops for pictures of `size` before the first one is due."""
        labels = label_map(logits, size)
        blank = planar_view(gray_frame(size, color_tags, self._canvas))
        # numba compiles for rows with gaps between them apart; decoders make either kind.
        for planes in (blank, with_gaps(blank)):
            out = planar_view(gray_frame(size, color_tags, self._canvas))
            blend_planar(planes, labels, self._palette_rgb, self._alpha, out)

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
        with_times_and_tags(painted, canvas)
        if planes.full_range:
            painted.color_range = int(ColorRange.JPEG)  # yuvj420p may say so by its name alone
        return painted

    def _palette_for(self, canvas: av.VideoFrame) -> NDArray[np.uint8] | NDArray[np.float64]:
        transfer = transfer_of(canvas.color_trc)
        if transfer == "sdr":
            return self._palette_rgb
        if transfer not in self._hdr_palettes:
            from streamseg.picture.hdr import painted_colors

            self._hdr_palettes[transfer] = painted_colors(self._palette_rgb, transfer)
        return self._hdr_palettes[transfer]
