"""Mean field in a fully connected CRF. Comes in: a network's probabilities and the picture's own pixels. Goes out:
probabilities that follow the picture's edges. Runs on threads of its own, as many as there are CPUs, and ends them.

What it computes and why so: `reference`, which it equals up to small errors (bounds: `bilateral`; the measured ones:
docs/crf.md). Time and memory grow with the number of pixels, and with how many of them look alike.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.crf.bilateral import BilateralFilter
from streamseg.crf.gaussian import GaussianFilter
from streamseg.crf.parallel import Threads
from streamseg.crf.parameters import CRF
from streamseg.crf.reference import LEAST_PROBABILITY

BYTES_PER_VALUE, BYTES_PER_PIXEL = 50, 1000
"""Of memory: of each class's value at a pixel, and of the pixel itself."""

_vector = partial(compiled, error_model="numpy", fastmath=True)


def refined(
    probabilities_HWC: NDArray[np.float32], image_HW3: NDArray[np.uint8], crf: CRF
) -> NDArray[np.float32]:
    """Marginals after `crf.iterations` of mean field (Krähenbühl and Koltun 2011, algorithm 1; Potts).

    Args:
        probabilities_HWC: float32, not below 0; of sum 1 over C, or they are made so.
        image_HW3: uint8, the pixels that they are of; the order of colours makes no difference.
        crf: parameters.

    Returns:
        H x W x C float32, of sum 1.

    Raises:
        ValueError: other shapes or types, or values that are no probabilities.
    """
    _check(probabilities_HWC, image_HW3)
    height, width, classes = probabilities_HWC.shape
    planes_CHW = np.maximum(np.moveaxis(probabilities_HWC, 2, 0), np.float32(LEAST_PROBABILITY))
    unary_CHW = np.log(np.ascontiguousarray(planes_CHW))
    found_CHW, messages_CHW = np.empty_like(unary_CHW), np.zeros_like(unary_CHW)
    with Threads() as threads:
        filters: list[GaussianFilter | BilateralFilter] = []
        if crf.gaussian_weight > 0:
            filters.append(GaussianFilter((height, width), crf.gaussian_sxy, crf.gaussian_weight))
        if crf.bilateral_weight > 0:
            kernel = crf.bilateral_sxy, crf.bilateral_srgb, crf.bilateral_weight
            filters.append(BilateralFilter(image_HW3, *kernel, classes, threads))
        step = partial(_softmax, unary_CHW, messages_CHW, found_CHW)
        threads.each(step, height)
        for _ in range(crf.iterations):
            for one in filters:
                one.add(found_CHW, messages_CHW, threads)
            threads.each(step, height)
    return np.ascontiguousarray(np.moveaxis(found_CHW, 0, 2))


def memory_bytes(size: tuple[int, int], classes: int) -> int:
    """About what `refined` takes at most for a picture of `size` (height, width): planes, and what pivots need."""
    return size[0] * size[1] * (BYTES_PER_VALUE * classes + BYTES_PER_PIXEL)


def _check(probabilities: NDArray[Any], image: NDArray[Any]) -> None:
    if probabilities.ndim != 3 or probabilities.dtype != np.float32 or 0 in probabilities.shape:
        raise ValueError(
            f"expected probabilities of height x width x classes float32, got {probabilities.dtype} "
            f"{probabilities.shape}"
        )
    if image.dtype != np.uint8 or image.shape != (*probabilities.shape[:2], 3):
        raise ValueError(
            f"expected an image of {probabilities.shape[0]} x {probabilities.shape[1]} x 3 uint8, as the "
            f"probabilities are, got {image.dtype} {image.shape}"
        )
    # Written so that it is false of NaN, too.
    if not (probabilities.min() >= 0 and probabilities.max() < np.inf):
        raise ValueError("expected probabilities, finite and not below 0")


@_vector
def _softmax(unary: Any, messages: Any, found: Any, first: Any, last: Any) -> None:
    """Of rows first..last: `found` from the others' sum; `messages` are cleared."""
    classes, _, width = unary.shape
    greatest, total = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(first, last):
        for c in range(classes):
            ours, theirs, out = unary[c, y], messages[c, y], found[c, y]
            for x in range(width):
                out[x] = ours[x] + theirs[x]
                theirs[x] = np.float32(0)
                greatest[x] = out[x] if c == 0 else max(greatest[x], out[x])
        total[:] = np.float32(0)
        for c in range(classes):
            out = found[c, y]
            for x in range(width):
                out[x] = np.exp(out[x] - greatest[x])
                total[x] += out[x]
        for c in range(classes):
            out = found[c, y]
            for x in range(width):
                out[x] /= total[x]
