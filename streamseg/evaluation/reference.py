"""The plain way to label an image with torch: resize, network, interpolate, arg-max, all in full.

Slow and obvious. Training scores with it, and tests hold the fast path equal to it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamseg.models.blocks import resize
from streamseg.models.card import InputSpec


def network_input(image_bgr: NDArray[np.uint8], spec: InputSpec, size: tuple[int, int]) -> Tensor:
    """1 x 3 x h x w float32 of an H x W x 3 uint8 image: resized bilinearly, mean subtracted,
    divided by std, in the card's channel order.
    """
    image = image_bgr if spec.color == "bgr" else image_bgr[..., ::-1]
    x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0).float()
    x = resize(x, size, spec.align_corners)
    mean = torch.tensor(spec.mean).view(1, 3, 1, 1)
    std = torch.tensor(spec.std).view(1, 3, 1, 1)
    return (x - mean) / std


@torch.inference_mode()
def label_image(
    model: nn.Module,
    image_bgr: NDArray[np.uint8],
    spec: InputSpec,
    *,
    size: tuple[int, int] | None = None,
    bf16: bool = False,
) -> NDArray[np.uint8]:
    """H x W uint8 class ids at the image's own size.

    Args:
        model: on the CPU, in eval mode: B x 3 x h x w in, B x classes x any size out.
        image_bgr: H x W x 3 uint8.
        spec: the network's input.
        size: (height, width) of the network input; the card's area in the image's aspect if None.
        bf16: run the network under bf16 autocast.

    Raises:
        ValueError: the model is in training mode.
    """
    if model.training:
        raise ValueError("expected a model in eval mode, got training mode; call model.eval()")
    height, width = image_bgr.shape[:2]
    x = network_input(image_bgr, spec, size or spec.size_for(height, width))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(x.contiguous(memory_format=torch.channels_last))
    labels = resize(logits.float(), (height, width), spec.align_corners).argmax(1)
    return labels[0].to(torch.uint8).numpy()
