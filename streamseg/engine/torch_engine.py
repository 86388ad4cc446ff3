"""The torch engine: any CUDA device, and the CPU where OpenVINO is not wanted.

`prepare` uploads (pinned, without waiting, on CUDA; a view on the CPU); `infer` runs on the current stream.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from streamseg.engine.engine import (
    EngineInfo,
    RecentlyUsed,
    SizeChoice,
    arrays_of,
    entry_key,
    network_size,
)
from streamseg.engine.entry import entry_for
from streamseg.frames import Logits
from streamseg.models.blocks import ConvBN
from streamseg.models.card import ModelFile
from streamseg.models.weights import load_model
from streamseg.picture.pixels import Pixels

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """Implements `engine.Engine`, for streamseg's own networks."""

    def __init__(self, model: ModelFile, info: EngineInfo, size: SizeChoice) -> None:
        self.card = model.card
        self.info = info
        self._size = size
        self._device = torch.device(info.device)
        self._dtype = DTYPES[info.precision]
        network = fold_batch_norms(load_model(model)).to(self._device, self._dtype)
        self._network: nn.Module | None = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._entries: RecentlyUsed[nn.Module] = RecentlyUsed()

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """See `Engine`."""
        return network_size(self.card.input, self._size, size)

    def prepare(self, pixels: Pixels) -> tuple[Pixels, list[Tensor]]:
        """See `Engine`."""
        tensors = [torch.from_numpy(array) for array in arrays_of(pixels)]
        if self._device.type == "cuda":
            tensors = [
                tensor.pin_memory().to(self._device, non_blocking=True) for tensor in tensors
            ]
        return pixels, tensors

    @torch.inference_mode()
    def infer(self, network_input: tuple[Pixels, list[Tensor]]) -> Logits:
        """See `Engine`."""
        if self._network is None:
            raise ValueError("expected an open engine; this one is closed, load the model again")
        pixels, tensors = network_input
        entry = self._entries.get(entry_key(pixels), lambda: self._entry(pixels))
        with self._exact_convolutions():
            x = entry(*tensors).to(self._dtype, memory_format=torch.channels_last)
            logits: Any = self._network(x)
        scores = logits[0].permute(1, 2, 0).float().contiguous().cpu().numpy()
        return Logits(scores=scores, align_corners=self.card.input.align_corners)

    def close(self) -> None:
        """See `Engine`."""
        self._entries.clear()
        self._network = None

    def _entry(self, pixels: Pixels) -> nn.Module:
        return entry_for(pixels, self.card.input, self.network_size(pixels.size)).to(self._device)

    def _exact_convolutions(self) -> AbstractContextManager[None]:
        """cuDNN rounds float32 to TF32 unless told otherwise; who asks for fp32 gets fp32."""
        if self._device.type == "cuda" and self.info.precision == "fp32":
            return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        return nullcontext()


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Multiply every batch norm into the convolution before it, in place: the same function, one pass fewer."""
    for module in network.modules():
        if isinstance(module, ConvBN):
            convolution: Any = module[0]
            batch_norm: Any = module[1]
            module[0] = fuse_conv_bn_eval(convolution, batch_norm)
            module[1] = nn.Identity()
    return network
