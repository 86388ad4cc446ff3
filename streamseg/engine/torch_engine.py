"""The torch engine: any CUDA device, and the CPU where OpenVINO is not wanted.

`prepare` uploads (pinned, without waiting) on CUDA, and resizes, converts and normalises on the CPU; `infer` runs on
the current stream.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from streamseg.engine.engine import (
    EngineInfo,
    RecentlyUsed,
    SizeChoice,
    arrays_of,
    entry_key,
    network_size,
)
from streamseg.engine.entry import Entry
from streamseg.engine.torch_entry import entry_for
from streamseg.frames import Logits
from streamseg.models.card import ModelFile
from streamseg.models.weights import load_for_inference
from streamseg.picture.pixels import Pixels

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """Implements `engine.Engine`, for streamseg's own networks.

    Args:
        compile: fuse the network's operations with `torch.compile` at the first picture of a size.
    """

    parallel = 1

    def __init__(
        self, model: ModelFile, info: EngineInfo, size: SizeChoice, *, compile: bool = False
    ) -> None:
        self.card = model.card
        self.info = info
        self._size = size
        self._device = torch.device(info.device)
        self._dtype = DTYPES[info.precision]
        network: Any = load_for_inference(model).to(self._device, self._dtype)
        network = network.to(memory_format=torch.channels_last)
        self._network: Any = torch.compile(network, dynamic=False) if compile else network
        self._entries: RecentlyUsed[Any] = RecentlyUsed()

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """See `Engine`."""
        return network_size(self.card.input, self._size, size)

    def prepare(self, pixels: Pixels) -> tuple[Pixels, list[Tensor]]:
        """See `Engine`."""
        if self._device.type != "cuda":
            entry = self._entries.get(entry_key(pixels), lambda: self._cpu_entry(pixels))
            return pixels, [torch.from_numpy(entry(pixels)).permute(0, 3, 1, 2)]
        tensors = [torch.from_numpy(array) for array in arrays_of(pixels)]
        return pixels, [
            tensor.pin_memory().to(self._device, non_blocking=True) for tensor in tensors
        ]

    @torch.inference_mode()
    def infer(self, network_input: tuple[Pixels, list[Tensor]]) -> Logits:
        """See `Engine`."""
        if self._network is None:
            raise ValueError("expected an open engine; this one is closed, load the model again")
        pixels, tensors = network_input
        with self._exact_convolutions():
            if self._device.type == "cuda":
                entry = self._entries.get(entry_key(pixels), lambda: self._cuda_entry(pixels))
                tensors = [entry(*tensors)]
            x = tensors[0].to(self._dtype, memory_format=torch.channels_last)
            logits: Tensor = self._network(x)
        scores = logits[0].permute(1, 2, 0).float().contiguous().cpu().numpy()
        return Logits(scores=scores, align_corners=self.card.input.align_corners)

    def submit(self, network_input: tuple[Pixels, list[Tensor]]) -> Callable[[], Logits]:
        """See `Engine`: one after the other, each on all cores, computed now."""
        logits = self.infer(network_input)
        return lambda: logits

    def close(self) -> None:
        """See `Engine`."""
        self._entries.clear()
        self._network = None

    def _cpu_entry(self, pixels: Pixels) -> Entry:
        return Entry(pixels, self.card.input, self.network_size(pixels.size))

    def _cuda_entry(self, pixels: Pixels) -> nn.Module:
        return entry_for(pixels, self.card.input, self.network_size(pixels.size)).to(self._device)

    def _exact_convolutions(self) -> AbstractContextManager[None]:
        """cuDNN rounds float32 to TF32 unless told otherwise; who asks for fp32 gets fp32."""
        if self._device.type == "cuda" and self.info.precision == "fp32":
            return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        return nullcontext()
