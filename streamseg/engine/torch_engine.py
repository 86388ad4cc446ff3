"""The torch engine: any CUDA device, and the CPU where OpenVINO is not wanted.

`prepare` uploads (pinned, without waiting) on CUDA, and resizes, converts and normalises on the CPU; networks run on
the current stream.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from streamseg.engine.engine import (
    EngineInfo,
    Finished,
    RecentlyUsed,
    Running,
    SizeChoice,
    arrays_of,
    entry_key,
    network_size,
)
from streamseg.engine.entry import Entry
from streamseg.engine.torch_entry import entry_for
from streamseg.engine.torch_warp import at_fine_size
from streamseg.frames import Logits, Moved
from streamseg.models.card import ModelFile
from streamseg.models.memory import allocation_failures
from streamseg.models.rearranged import Context, Refine, fine_size
from streamseg.models.registry import splits
from streamseg.models.weights import load_for_inference
from streamseg.picture.pixels import Pixels

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Uploaded = tuple[Pixels, list[Tensor]]
"""A picture and its arrays on the device."""


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
        network: Any = load_for_inference(model)
        with allocation_failures(f"hold {model.path.name} on {info.device}"):
            network = network.to(self._device, self._dtype)
            network = network.to(memory_format=torch.channels_last)
        self.splits = model.branch is None and splits(model.card.architecture)
        self._network: Any = network
        self._compile = compile
        self._parts: dict[str, Any] = {}
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

    @allocation_failures("run the network")
    @torch.inference_mode()
    def infer(self, network_input: Uploaded) -> Logits:
        """See `Engine`."""
        with exact_convolutions(self.info):
            return self._read(self._part("whole")(self._image(network_input)))

    def submit(self, network_input: Uploaded) -> Running[Logits]:
        """See `Engine`: one after the other, each on all cores, computed now. So are all that follow."""
        return Finished(self.infer(network_input))

    @allocation_failures("run the network")
    @torch.inference_mode()
    def context(self, network_input: Uploaded) -> Tensor:
        """See `Engine`: 1 x C x h x w, on the device."""
        with exact_convolutions(self.info):
            features: Tensor = self._part("context")(self._image(network_input))
        return features

    def submit_context(self, network_input: Uploaded) -> Running[Tensor]:
        """See `Engine`."""
        return Finished(self.context(network_input))

    @allocation_failures("run the network")
    @torch.inference_mode()
    def refine(self, network_input: Uploaded, moved: Sequence[Moved]) -> Logits:
        """See `Engine`."""
        with exact_convolutions(self.info):
            image = self._image(network_input)
            features: Tensor = moved[0].features
            if len(moved) > 1 or moved[0].displacement is not None:
                align_corners = self.card.input.align_corners
                features = at_fine_size(moved, fine_size(image), align_corners)
            return self._read(self._part("refine")(image, features))

    def submit_refine(self, network_input: Uploaded, moved: Sequence[Moved]) -> Running[Logits]:
        """See `Engine`."""
        return Finished(self.refine(network_input, moved))

    def close(self) -> None:
        """See `Engine`."""
        self._entries.clear()
        self._parts.clear()
        self._network = None

    def _image(self, network_input: Uploaded) -> Tensor:
        pixels, tensors = network_input
        if self._device.type == "cuda":
            entry = self._entries.get(entry_key(pixels), lambda: self._cuda_entry(pixels))
            tensors = [entry(*tensors)]
        return tensors[0].to(self._dtype, memory_format=torch.channels_last)

    def _part(self, name: str) -> Any:
        if self._network is None:
            raise ValueError("expected an open engine; this one is closed, load the model again")
        if name not in self._parts:
            makers = {"whole": lambda network: network, "context": Context, "refine": Refine}
            part = makers[name](self._network)
            self._parts[name] = torch.compile(part, dynamic=False) if self._compile else part
        return self._parts[name]

    def _read(self, logits: Tensor) -> Logits:
        scores = logits[0].permute(1, 2, 0).float().contiguous().cpu().numpy()
        return Logits(scores=scores, align_corners=self.card.input.align_corners)

    def _cpu_entry(self, pixels: Pixels) -> Entry:
        return Entry(pixels, self.card.input, self.network_size(pixels.size))

    def _cuda_entry(self, pixels: Pixels) -> nn.Module:
        return entry_for(pixels, self.card.input, self.network_size(pixels.size)).to(self._device)


def exact_convolutions(info: EngineInfo) -> AbstractContextManager[None]:
    """cuDNN rounds float32 to TF32 unless told otherwise; who asks for fp32 gets fp32."""
    if info.device != "cpu" and info.precision == "fp32":
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return nullcontext()
