"""The plain way to label an image with a network that looks at one part of it at a time: overlapping windows.

Training scores with it. It is neither the paper's way nor what `streamseg.load` does, which are proposals: it needs
none, and says early whether a network learns.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from streamseg.datasets.augment import PAD_BGR
from streamseg.evaluation.reference import network_input
from streamseg.models.card import InputSpec

LEAST_OVERLAP = 0.25
"""Of neighbouring windows, as a share of their side."""


@torch.inference_mode()
def label_by_windows(
    model: nn.Module, image_bgr: NDArray[np.uint8], spec: InputSpec, *, bf16: bool = False
) -> NDArray[np.uint8]:
    """H x W uint8 class ids: of the greatest probability, averaged where windows overlap.

    Windows have the size of the network's input, at the image's own resolution; beyond a smaller image is the mean.

    Args:
        model: on the CPU, in eval mode: B x 3 x h x w in, B x classes x h x w out.
        image_bgr: H x W x 3 uint8.
        spec: the network's input.
        bf16: run the network under bf16 autocast.

    Raises:
        ValueError: the model is in training mode.
    """
    if model.training:
        raise ValueError("expected a model in eval mode, got training mode; call model.eval()")
    height, width = image_bgr.shape[:2]
    rows, columns = spec.size
    whole = np.full((max(height, rows), max(width, columns), 3), PAD_BGR, np.uint8)
    whole[:height, :width] = image_bgr
    places = [
        (slice(top, top + rows), slice(left, left + columns))
        for top in starts(whole.shape[0], rows)
        for left in starts(whole.shape[1], columns)
    ]
    x = torch.cat([network_input(whole[place], spec, spec.size) for place in places])
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits_BCHW = model(x.contiguous(memory_format=torch.channels_last))
    probability_BCHW = logits_BCHW.float().softmax(1)
    total_CHW = torch.zeros(probability_BCHW.shape[1], *whole.shape[:2])
    count_HW = torch.zeros(whole.shape[:2])
    for place, probability_CHW in zip(places, probability_BCHW, strict=True):
        total_CHW[:, *place] += probability_CHW
        count_HW[place] += 1
    labels_HW = (total_CHW / count_HW).argmax(0)[:height, :width]
    return labels_HW.to(torch.uint8).numpy()


def starts(extent: int, side: int) -> list[int]:
    """First pixels of windows evenly spread over `extent` pixels, as few as overlap by `LEAST_OVERLAP`."""
    step = (1 - LEAST_OVERLAP) * side
    count = 1 + int(np.ceil((extent - side) / step))
    return [round(start) for start in np.linspace(0, extent - side, count).tolist()]
