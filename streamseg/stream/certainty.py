"""How sure a network is of its labels. Comes in: logits and the label map made of them. Goes out: a probability
per pixel of the label map. Runs on the caller's thread, compiled, without the GIL.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.errors import ModelError
from streamseg.frames import Logits
from streamseg.picture.bilinear import interpolation_taps

ONE = np.float32(1)


def certainty_map(logits: Logits, labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Softmax of the logits, interpolated as `label_map` does, at each pixel's own label.

    Args:
        labels: H x W uint8, `label_map`'s of these logits.

    Returns:
        H x W float32, above 0, at most 1.

    Raises:
        ModelError: these are class ids (one-hot, as engines give them) or probabilities, not what softmax takes.
    """
    scores = logits.scores
    if not logits.raw:
        raise ModelError(
            "expected a model that answers with raw scores, this one gives class ids or probabilities: how sure it "
            "is cannot be told by their softmax"
        )
    rows, columns = (
        interpolation_taps(nodes, pixels, logits.align_corners)
        for nodes, pixels in zip(scores.shape[:2], labels.shape, strict=True)
    )
    out = np.empty(labels.shape, np.float32)
    _certainty(scores, *rows, *columns, labels, out)
    return out


@compiled
def _certainty(
    scores: Any, top: Any, down: Any, left: Any, right: Any, labels: Any, out: Any
) -> None:
    height, width, classes = scores.shape
    values = np.empty(classes, np.float32)
    for y in range(labels.shape[0]):
        row, below = top[y], min(top[y] + 1, height - 1)
        weight, rest = down[y], ONE - down[y]
        for x in range(labels.shape[1]):
            at, behind = left[x], min(left[x] + 1, width - 1)
            u, v = right[x], ONE - right[x]
            for k in range(classes):
                upper = scores[row, at, k] * v + scores[row, behind, k] * u
                lower = scores[below, at, k] * v + scores[below, behind, k] * u
                values[k] = upper * rest + lower * weight
            won = values[labels[y, x]]
            total = np.float32(0)
            for k in range(classes):
                total += np.exp(values[k] - won)
            out[y, x] = ONE / total
