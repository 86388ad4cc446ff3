"""The torch engine on the CPU, where OpenVINO is not wanted. `prepare` resizes, converts and normalises."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from streamseg.engine.engine import (
    EngineInfo,
    Finished,
    RecentlyUsed,
    Running,
    SizeChoice,
    entry_key,
    network_size,
)
from streamseg.engine.entry import Entry
from streamseg.engine.torch_parts import TorchParts
from streamseg.frames import Logits, Moved
from streamseg.models.card import ModelFile
from streamseg.models.memory import allocation_failures
from streamseg.models.registry import splits
from streamseg.models.weights import load_for_inference
from streamseg.picture.pixels import Pixels

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """Implements `engine.Engine`, for streamseg's own networks.

    Args:
        compile: fuse the network's operations with `torch.compile` at the first picture of a size.
    """

    parallel = 1
    paints = False

    def __init__(
        self, model: ModelFile, info: EngineInfo, size: SizeChoice, *, compile: bool = False
    ) -> None:
        self.card = model.card
        self.info = info
        self._size = size
        self._dtype = DTYPES[info.precision]
        network: Any = load_for_inference(model)
        with allocation_failures(f"hold {model.path.name}"):
            network = network.to(self._dtype).to(memory_format=torch.channels_last)
        self.splits = model.branch is None and splits(model.card.architecture)
        self._network = TorchParts(
            network, compile=compile, align_corners=model.card.input.align_corners
        )
        self._entries: RecentlyUsed[Any] = RecentlyUsed()

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """See `Engine`."""
        return network_size(self.card.input, self._size, size)

    def prepare(self, pixels: Pixels) -> Tensor:
        """See `Engine`: 1 x 3 x h x w float32."""
        entry = self._entries.get(
            entry_key(pixels),
            lambda: Entry(pixels, self.card.input, self.network_size(pixels.size)),
        )
        return torch.from_numpy(entry(pixels)).permute(0, 3, 1, 2)

    @allocation_failures("run the network")
    @torch.inference_mode()
    def infer(self, network_input: Tensor) -> Logits:
        """See `Engine`."""
        return self._read(self._network.whole(self._image(network_input)))

    def submit(self, network_input: Tensor) -> Running[Logits]:
        """See `Engine`: one after the other, each on all cores, computed now. So are all that follow."""
        return Finished(self.infer(network_input))

    @allocation_failures("run the network")
    @torch.inference_mode()
    def context(self, network_input: Tensor) -> Tensor:
        """See `Engine`: 1 x C x h x w."""
        return self._network.context(self._image(network_input))

    def submit_context(self, network_input: Tensor) -> Running[Tensor]:
        """See `Engine`."""
        return Finished(self.context(network_input))

    @allocation_failures("run the network")
    @torch.inference_mode()
    def refine(self, network_input: Tensor, moved: Sequence[Moved]) -> Logits:
        """See `Engine`."""
        return self._read(self._network.refine(self._image(network_input), moved))

    def submit_refine(self, network_input: Tensor, moved: Sequence[Moved]) -> Running[Logits]:
        """See `Engine`."""
        return Finished(self.refine(network_input, moved))

    def close(self) -> None:
        """See `Engine`."""
        self._entries.clear()
        self._network.close()

    def _image(self, network_input: Tensor) -> Tensor:
        return network_input.to(self._dtype, memory_format=torch.channels_last)

    def _read(self, logits: Tensor) -> Logits:
        scores = logits[0].permute(1, 2, 0).float().contiguous().numpy()
        return Logits(scores=scores, align_corners=self.card.input.align_corners)
