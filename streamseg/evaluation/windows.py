"""The plain way to label an image with a network that looks at one part of it at a time: overlapping windows.

Training scores with it. It is neither the paper's way nor what `streamseg.load` does, which are proposals: it needs
none, and says early whether a network learns.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from streamseg.evaluation.reference import network_input
from streamseg.models.blocks import resize
from streamseg.models.card import InputSpec

LEAST_OVERLAP = 0.25
"""Of neighbouring windows, as a share of their side."""


@torch.inference_mode()
def label_by_windows(
    model: nn.Module, image_bgr: NDArray[np.uint8], spec: InputSpec, *, bf16: bool = False
) -> NDArray[np.uint8]:
    """H x W uint8 class ids: of the greatest probability, averaged where windows overlap.

    Windows have the aspect of the network's input and are as large as the image takes: of a street it then sees all
    that lies one above the other, as far to the sides as it is used to.

    Args:
        model: on the CPU, in eval mode: B x 3 x h x w in, B x classes x any size out.
        image_bgr: H x W x 3 uint8.
        spec: the network's input.
        bf16: run the network under bf16 autocast.

    Raises:
        ValueError: the model is in training mode.
    """
    if model.training:
        raise ValueError("expected a model in eval mode, got training mode; call model.eval()")
    height, width = image_bgr.shape[:2]
    scale = min(height / spec.size[0], width / spec.size[1])
    rows, columns = (max(1, round(side * scale)) for side in spec.size)
    places = [
        (slice(top, top + rows), slice(left, left + columns))
        for top in starts(height, rows)
        for left in starts(width, columns)
    ]
    x = torch.cat([network_input(image_bgr[place], spec, spec.size) for place in places])
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits_BCHW = model(x.contiguous(memory_format=torch.channels_last))
    logits_BCHW = resize(logits_BCHW.float(), (rows, columns), spec.align_corners)
    total_CHW = torch.zeros(logits_BCHW.shape[1], height, width)
    count_HW = torch.zeros(height, width)
    for place, probability_CHW in zip(places, logits_BCHW.softmax(1), strict=True):
        total_CHW[:, *place] += probability_CHW
        count_HW[place] += 1
    return (total_CHW / count_HW).argmax(0).to(torch.uint8).numpy()


def starts(extent: int, side: int) -> list[int]:
    """First pixels of windows evenly spread over `extent` pixels, as few as overlap by `LEAST_OVERLAP`."""
    step = (1 - LEAST_OVERLAP) * side
    count = 1 + int(np.ceil((extent - side) / step))
    return [round(start) for start in np.linspace(0, extent - side, count).tolist()]
