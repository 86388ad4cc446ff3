"""The engine of networks that look at one object at a time, as DeconvNet does: a picture is cut into proposals, which
pass the network in batches, and their answers are put together. On torch.

    picture ──propose──▶ boxes ──squared, padded, resized──▶ network ──▶ scores ──aggregate──▶ Logits

`prepare` converts on the caller's thread; all else happens in `infer`.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamseg.engine.engine import (
    EngineInfo,
    Finished,
    Progress,
    RecentlyUsed,
    Running,
    RunsWhole,
    SizeChoice,
    entry_key,
    network_size,
    working_size,
)
from streamseg.engine.entry import Entry
from streamseg.engine.lanes import exact_convolutions
from streamseg.engine.torch_engine import DTYPES
from streamseg.errors import ModelError
from streamseg.frames import Logits
from streamseg.models.card import ModelFile
from streamseg.models.memory import allocation_failures
from streamseg.models.weights import load_for_inference
from streamseg.picture.pixels import Pixels
from streamseg.proposals.aggregate import Aggregate
from streamseg.proposals.boxes import Box
from streamseg.proposals.choice import How, Proposals
from streamseg.proposals.crops import crop
from streamseg.proposals.propose import Proposer, has_background

BATCH, BATCH_PIXELS = 8, 8 * 224 * 224
"""Proposals that pass the network together, at most, and their pixels: activations of so many are alive."""

Picture = NDArray[np.float32]
"""H x W x 3, channels in the network's order, 0..255: a picture at its working size."""


class ProposalEngine(RunsWhole):
    """Implements `engine.Engine`, for streamseg's own networks of fixed input.

    Args:
        proposals: where it looks.
        compile: let torch compile the network.
        progress: told after every batch how many proposals of the picture are done.

    Raises:
        ModelError: the weights cannot be used, or their card names no fixed input.
        BackendError: proposals that this machine cannot find.
    """

    parallel = 1

    def __init__(
        self,
        model: ModelFile,
        info: EngineInfo,
        size: SizeChoice,
        proposals: Proposals,
        *,
        compile: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if not model.card.input.fixed:
            raise ModelError(
                f'expected "fixed": true in the input of {model.card.name}\'s card: it sees proposals, all of one size'
            )
        self.card = model.card
        self._info = info
        self._input_size = network_size(model.card.input, size, model.card.input.size)
        self._proposer = Proposer(proposals, model.card.labels)
        self._device, self._dtype = torch.device(info.device), DTYPES[info.precision]
        network: Any = load_for_inference(model)
        with allocation_failures(f"hold {model.path.name} on {info.device}"):
            network = network.to(self._device, self._dtype).to(memory_format=torch.channels_last)
        self._network: Any = torch.compile(network, dynamic=False) if compile else network
        area = self._input_size[0] * self._input_size[1]
        self._batch = max(1, min(BATCH, BATCH_PIXELS // area))
        self._progress: Progress = progress or (lambda done, total: None)
        self._entries: RecentlyUsed[Entry] = RecentlyUsed()

    @property
    def info(self) -> EngineInfo:
        """See `Engine`: with what became of proposals so far."""
        return replace(self._info, fallbacks=(*self._info.fallbacks, *self._proposer.notes))

    @property
    def proposals(self) -> Proposals:
        """Where it looks: the source that is in use, instead of "auto"."""
        return self._proposer.choice

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """See `Engine`: that of a proposal, whatever the picture."""
        return self._input_size

    def prepare(self, pixels: Pixels) -> Picture:
        """See `Engine`."""
        entry = self._entries.get(entry_key(pixels), lambda: self._entry(pixels))
        return np.asarray(entry(pixels)[0], np.float32)

    def infer(self, network_input: Picture) -> Logits:
        """See `Engine`: at the working size."""
        aggregate = self.aggregate(network_input)
        for square, scores_ChW in self.scored(network_input):
            aggregate.add(scores_ChW, square)
        scores_HWC = aggregate.scores()
        if self._proposer.follows:
            self._proposer.answered(scores_HWC.argmax(2).astype(np.uint8))
        return Logits(scores=scores_HWC, align_corners=self.card.input.align_corners)

    def submit(self, network_input: Picture) -> Running[Logits]:
        """See `Engine`: one after the other, computed now."""
        return Finished(self.infer(network_input))

    def scored(self, network_input: Picture) -> Iterator[tuple[Box, Tensor]]:
        """Every proposal's square, best first, and its scores: C x h x w float32 on the device.

        Raises:
            ValueError: the engine is closed.
        """
        bgr = self.card.input.color == "bgr"
        boxes = self._proposer(network_input[..., ::-1] if bgr else network_input)
        squares = iter([box.squared() for box in boxes])
        done = 0
        self._progress(done, len(boxes))
        while batch := list(islice(squares, self._batch)):
            scores_BChw = self._scores(network_input, batch)
            yield from zip(batch, scores_BChw, strict=True)
            done += len(batch)
            self._progress(done, len(boxes))

    def aggregate(self, network_input: Picture, how: How | None = None) -> Aggregate:
        """What `scored` is added to, empty; put together as `how` says, or as was chosen."""
        height, width = network_input.shape[:2]
        labels = self.card.labels
        return Aggregate(
            len(labels),
            (height, width),
            how or self.proposals.aggregate,
            background=has_background(labels),
            device=self._device,
        )

    def close(self) -> None:
        """See `Engine`."""
        self._entries.clear()
        self._network = None

    @allocation_failures("run the network on proposals")
    @torch.inference_mode()
    def _scores(self, picture: Picture, squares: list[Box]) -> Tensor:
        if self._network is None:
            raise ValueError("expected an open engine; this one is closed, load the model again")
        spec = self.card.input
        mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
        crops = [crop(picture, square, self._input_size, spec.mean) for square in squares]
        normalised = (np.stack(crops) - mean) / std
        image_BCHW = torch.from_numpy(normalised).permute(0, 3, 1, 2).to(self._device, self._dtype)
        with exact_convolutions(self._info.precision):
            logits: Tensor = self._network(image_BCHW)
        return logits.float()

    def _entry(self, pixels: Pixels) -> Entry:
        as_it_is = replace(self.card.input, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        return Entry(pixels, as_it_is, working_size(pixels.size))
