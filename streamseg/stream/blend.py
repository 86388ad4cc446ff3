"""Blending of samples with the colours of their labels. Comes in: a picture's samples, a label map, colours. Goes
out: blended samples, exactly as cv2.addWeighted rounds them for the same weights.

Looking up colours pixel by pixel is slow, and blending a row of samples with a row of colours is quick. So the row of
colours is kept from one row of labels to the next, and only looked up anew where labels changed.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from streamseg.compiled import compiled

SHIFT = 8
"""Blending is done in fixed point with this many fractional bits: alpha is a multiple of 1/256."""

WORD = 8
"""Pixels that are looked up anew together: as many flags as there are bytes in a machine's word."""

InMemory = tuple[NDArray[Any], int]
"""A plane's samples as one row of memory, gaps between its rows included; samples from row to row."""


def in_memory(plane: NDArray[Any], *, writeable: bool = False) -> InMemory:
    """A plane as loops take it.

    One form for planes with and without gaps, and not known to be writeable unless so asked: machine code is made
    anew for every form.

    Raises:
        ValueError: samples of a row do not touch.
    """
    (height, width), (step, sample) = plane.shape, plane.strides
    if sample != plane.itemsize or step % sample or step < width * sample:
        raise ValueError(
            f"expected a plane whose rows are whole in memory, got strides {plane.strides} for "
            f"{plane.dtype} {plane.shape}; copy it first"
        )
    length = (height - 1) * (step // sample) + width
    return as_strided(plane, (length,), (sample,), writeable=writeable), step // sample


@compiled
def blend_samples(plane: Any, labels: Any, keep: Any, colors: Any, out: Any) -> None:
    """out = (keep * plane + colors[label]) / 256, for every sample of every pixel.

    Args:
        plane, out: `InMemory`; H rows of W x channels samples.
        labels: H x W uint8.
        keep: weight of the plane, 0..256.
        colors: 256 x channels, times the weight of the colour; uint16 for samples of 8 bits, else uint32.
    """
    (samples, step), (target, target_step) = plane, out
    height, width = labels.shape
    channels = colors.shape[1]
    row = np.empty(width * channels, colors.dtype)
    changed = np.ones((width + WORD - 1) // WORD * WORD, np.uint8)  # in whole words
    words = changed.view(np.uint64)
    for y in range(height):
        here = labels[y]
        if y:
            _mark(here, labels[y - 1], changed)
        word = _next(words, 0)
        while word < len(words):
            for channel in range(channels):
                for x in range(WORD * word, min(WORD * word + WORD, width)):
                    row[x * channels + channel] = colors[here[x], channel]
            word = _next(words, word + 1)
        start, goal = y * step, y * target_step
        _mix(samples[start : start + len(row)], keep, row, target[goal : goal + len(row)])


@compiled
def blend_chroma(
    u: Any, v: Any, labels: Any, keep: Any, colors: Any, out_u: Any, out_v: Any
) -> None:
    """As `blend_samples`, for planes of half the size. Each sample is blended with the mean colour of the up to four
    pixels that it covers.

    Args:
        colors: 256 x 2, Cb and Cr.
    """
    height, width = labels.shape
    half = (width + 1) // 2
    row_u, row_v = np.empty(half, colors.dtype), np.empty(half, colors.dtype)
    changed = np.ones((width + WORD - 1) // WORD * WORD, np.uint8)  # in whole words
    words = changed.view(np.uint64)
    for y in range((height + 1) // 2):
        upper, lower = labels[2 * y], labels[min(2 * y + 1, height - 1)]
        if y:
            _mark_either(upper, labels[2 * y - 2], lower, labels[2 * y - 1], changed)
        word = _next(words, 0)
        while word < len(words):
            for x in range(WORD // 2 * word, min(WORD // 2 * (word + 1), half)):
                left, right = 2 * x, min(2 * x + 1, width - 1)
                a, b, c, d = upper[left], upper[right], lower[left], lower[right]
                row_u[x] = _mean(colors[a, 0], colors[b, 0], colors[c, 0], colors[d, 0])
                row_v[x] = _mean(colors[a, 1], colors[b, 1], colors[c, 1], colors[d, 1])
            word = _next(words, word + 1)
        for plane, row, out in ((u, row_u, out_u), (v, row_v, out_v)):
            (samples, step), (target, target_step) = plane, out
            start, goal = y * step, y * target_step
            _mix(samples[start : start + half], keep, row, target[goal : goal + half])


@compiled
def _mix(samples: Any, keep: Any, colors: Any, out: Any) -> None:
    """A row. Halves go to the even number. All in the type of `colors`: the narrower, the more at once."""
    number = colors.dtype.type
    keep, shift, below_half, one = number(keep), number(SHIFT), number(127), number(1)
    for x in range(len(colors)):
        total = number(number(number(samples[x]) * keep) + colors[x])
        odd = number(number(total >> shift) & one)
        out[x] = number(number(total + below_half) + odd) >> shift


@compiled
def _mean(a: Any, b: Any, c: Any, d: Any) -> Any:
    return (np.uint64(a) + np.uint64(b) + np.uint64(c) + np.uint64(d)) >> np.uint64(2)


@compiled
def _mark(labels: Any, before: Any, changed: Any) -> None:
    for x in range(len(labels)):
        changed[x] = labels[x] ^ before[x]


@compiled
def _mark_either(
    upper: Any, upper_before: Any, lower: Any, lower_before: Any, changed: Any
) -> None:
    for x in range(len(upper)):
        changed[x] = (upper[x] ^ upper_before[x]) | (lower[x] ^ lower_before[x])


@compiled
def _next(words: Any, word: Any) -> Any:
    """The next word from `word` on that holds a flag; their number if none does. Most are empty: four at a time."""
    while word + 4 <= len(words) and not (
        words[word] | words[word + 1] | words[word + 2] | words[word + 3]
    ):
        word += 4
    while word < len(words) and not words[word]:
        word += 1
    return word
