"""The OpenVINO engine: compiled CPU graphs per network size, run for one picture or for several side by side.

`prepare` runs on the caller's thread, as does moving features; networks run on OpenVINO's pool.
torch is needed to make a graph, not to run it: see `graph_cache`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from streamseg.compiled import num_cpus
from streamseg.engine.engine import (
    EngineInfo,
    Made,
    RecentlyUsed,
    Running,
    SizeChoice,
    entry_key,
    network_size,
)
from streamseg.engine.entry import Entry, grid_for
from streamseg.engine.graph_cache import cached, file_digest
from streamseg.engine.openvino_graph import (
    convert,
    fixed_size,
    for_8_bits,
    read_network,
    read_scores,
    reason,
    with_channels_last,
)
from streamseg.engine.processor import weight_bits
from streamseg.engine.warp import move
from streamseg.errors import ModelError
from streamseg.frames import Logits, Moved
from streamseg.models.calibration import Calibration, WeightBits
from streamseg.models.card import ModelFile
from streamseg.models.memory import allocation_failures
from streamseg.models.registry import splits
from streamseg.picture.pixels import Pixels

MOST_PARALLEL = 4
"""Pictures computed side by side, at most: each takes memory for activations of its own."""

Picture = NDArray[np.float32] | NDArray[np.uint8]
"""1 x h x w x 3."""

Features = NDArray[np.float32]
"""h x w x C."""

Part = Literal["whole", "context", "refine"]
"""Of the network: all of it, or one of its two halves (see `Engine`)."""


class OpenVINOEngine:
    """Implements `engine.Engine`. Graphs are compiled on first sight of a size.

    Raises:
        ModelError: an ONNX or OpenVINO file cannot be read, or does not take one picture; or the calibration is of
            other weights.
    """

    paints = False

    def __init__(
        self,
        model: ModelFile,
        info: EngineInfo,
        size: SizeChoice,
        calibration: Calibration | None = None,
        bits: WeightBits | None = None,
    ) -> None:
        self.card = model.card
        self.info = info
        self.parallel = min(num_cpus(), MOST_PARALLEL)
        self.splits = model.is_torch and model.branch is None and splits(model.card.architecture)
        self._model = model
        self._size = size
        self._calibration = calibration
        self._bits = bits or weight_bits()
        self._grid = grid_for(model.card.input) if info.precision == "int8" else None
        self._core = ov.Core()
        self._own = model.is_torch
        self._origin = file_digest(model.path) if self._own else ""
        self._entries: RecentlyUsed[Entry] = RecentlyUsed()
        self._graphs: RecentlyUsed[Requests[Any]] = RecentlyUsed()
        self._closed = False
        if calibration and calibration.weights != self._origin:
            raise ModelError(
                f"the calibration beside {model.path} was made for other weights; "
                f"make it anew: streamseg calibrate --model {model.path} --data DIR"
            )
        if not self._own:
            spec = model.card.input
            if fixed := fixed_size(read_network(self._core, model)):
                self.card = replace(model.card, input=replace(spec, size=fixed, fixed=True))
            # Read for its checks alone: a file that cannot be used is refused now, not at the first frame.
            read_scores(self._core, model, self.network_size(self.card.input.size))

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """See `Engine`."""
        return network_size(self.card.input, self._size, size)

    def prepare(self, pixels: Pixels) -> Picture:
        """See `Engine`: resized, converted and normalised, in memory of its own."""
        size = self.network_size(pixels.size)
        entry = self._entries.get(
            (entry_key(pixels), size), lambda: Entry(pixels, self.card.input, size, self._grid)
        )
        return entry(pixels)

    def infer(self, network_input: Picture) -> Logits:
        """See `Engine`."""
        return self._scores("whole", network_input, streams=1).start(network_input)()

    def submit(self, network_input: Picture) -> Running[Logits]:
        """See `Engine`."""
        return self._scores("whole", network_input, self.parallel).start(network_input)

    def context(self, network_input: Picture) -> Features:
        """See `Engine`."""
        return self._features(network_input, streams=1).start(network_input)()

    def submit_context(self, network_input: Picture) -> Running[Features]:
        """See `Engine`."""
        return self._features(network_input, self.parallel).start(network_input)

    def refine(self, network_input: Picture, moved: Sequence[Moved]) -> Logits:
        """See `Engine`."""
        return self._refine(network_input, moved, streams=1)()

    def submit_refine(self, network_input: Picture, moved: Sequence[Moved]) -> Running[Logits]:
        """See `Engine`."""
        return self._refine(network_input, moved, self.parallel)

    def close(self) -> None:
        """See `Engine`."""
        self._entries.clear()
        self._graphs.clear()
        self._closed = True

    def _refine(self, picture: Picture, moved: Sequence[Moved], streams: int) -> Running[Logits]:
        def fill(fine: Features) -> None:
            move(moved, self.card.input.align_corners, fine)

        return self._scores("refine", picture, streams).start(picture, fill)

    def _scores(self, part: Part, picture: Picture, streams: int) -> "Requests[Logits]":
        align_corners = self.card.input.align_corners
        return self._requests(
            part,
            picture,
            streams,
            lambda scores: Logits(scores=scores, align_corners=align_corners),
        )

    def _features(self, picture: Picture, streams: int) -> "Requests[Features]":
        return self._requests("context", picture, streams, lambda features: features)

    def _requests(
        self,
        part: Part,
        picture: Picture,
        streams: int,
        read: Callable[[NDArray[np.float32]], Made],
    ) -> "Requests[Made]":
        if self._closed:
            raise ValueError("expected an open engine; this one is closed, load the model again")
        size = (picture.shape[1], picture.shape[2])
        return self._graphs.get(
            (part, size, streams), lambda: Requests(self._compile(part, size, streams), read)
        )

    @allocation_failures("compile the network")
    def _compile(self, part: Part, size: tuple[int, int], streams: int) -> ov.CompiledModel:
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self._float_type(),
            "INFERENCE_NUM_THREADS": num_cpus(),
            # Decoder, painter and encoder need the cores, too: a thread tied to one would have to wait there.
            "ENABLE_CPU_PINNING": False,
        }
        if streams == 1:
            settings["PERFORMANCE_HINT"] = "LATENCY"
        else:
            settings["NUM_STREAMS"] = streams
        if self._own:
            digest = ""
            if self._calibration:
                digest = repr((dict(self._calibration.maxima), self._bits))
            made_of = (part, self._model.branch, self._origin, self.card.to_json(), size, digest)
            network = cached(self._core, made_of, lambda: self._network(part, size))
            return self._core.compile_model(
                with_channels_last(network, self._grid), "CPU", settings
            )
        graph = with_channels_last(read_scores(self._core, self._model, size), self._grid)
        try:
            return self._core.compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO cannot compile {self._model.path}: {reason(error)}"
            ) from error

    def _float_type(self) -> str:
        """What is computed in floating point; beside 8 bits, whatever the processor is quickest in."""
        if self.info.precision == "int8":
            default: ov.Type = self._core.get_property("CPU", "INFERENCE_PRECISION_HINT")
            return str(default.get_type_name())
        return {"fp32": "f32", "bf16": "bf16"}[self.info.precision]

    def _network(self, part: Part, size: tuple[int, int]) -> ov.Model:
        """A part of the network alone at `size`, channels first: see `openvino_graph.with_channels_last`."""
        import torch

        from streamseg.models.weights import load_for_inference

        network: Any = load_for_inference(self._model)
        if file_digest(self._model.path) != self._origin:
            # Else a graph would be kept under a wrong name.
            raise ModelError(f"{self._model.path} was replaced after it was opened; load it again")
        if self._calibration is not None:
            from streamseg.models.int8 import quantize

            stopped = self._model.branch is not None
            network = quantize(network, self._calibration, self._bits, stopped=stopped)
        examples = [torch.zeros(1, 3, *size)]
        if part != "whole":
            from streamseg.models.rearranged import Context, Refine, fine_features

            if part == "refine":
                examples.append(fine_features(network, examples[0]))
            network = Context(network) if part == "context" else Refine(network)
        graph = convert(network, examples)
        return graph if self._calibration is None else for_8_bits(graph, self._bits)


class Requests(Generic[Made]):
    """A compiled graph and the requests that run on it, as many as were ever in flight at once.

    One thread starts and collects.

    Args:
        graph: from a picture, and features if it refines, to something of h x w x C.
        read: makes the answer of a copy of that.
    """

    def __init__(
        self, graph: ov.CompiledModel, read: Callable[[NDArray[np.float32]], Made]
    ) -> None:
        self._graph = graph
        self._read = read
        self._idle: list[ov.InferRequest] = []

    def start(
        self, picture: Picture, fill: Callable[[NDArray[np.float32]], None] | None = None
    ) -> "InFlight[Made]":
        """Begin with a picture; what is returned waits for the answer, which is the caller's to keep.

        Args:
            fill: writes the features that the graph takes, h x w x C, into memory that is the request's own: fresh
                memory would cost as much as what is done with it.
        """
        request = self._idle.pop() if self._idle else self._graph.create_infer_request()
        request.set_input_tensor(0, ov.Tensor(picture, shared_memory=True))
        if fill is not None:
            fill(request.get_input_tensor(1).data[0])
        request.start_async()
        return InFlight(self, request, picture)

    def collect(self, request: ov.InferRequest) -> Made:
        """Wait for a request's answer; the request is free for another picture then."""
        request.wait()
        # Copied: the request's own output is overwritten by its next picture while this one is painted.
        answer = np.array(request.get_output_tensor(0).data[0])
        self._idle.append(request)
        return self._read(answer)


class InFlight(Generic[Made]):
    """A picture on its way through a graph; implements `engine.Running`.

    The picture is only held: the request reads its memory.
    """

    def __init__(
        self, requests: Requests[Made], request: ov.InferRequest, picture: Picture
    ) -> None:
        self._requests = requests
        self._request = request
        self._picture = picture

    def __call__(self) -> Made:
        return self._requests.collect(self._request)

    def done(self) -> bool:
        """See `Running`."""
        return bool(self._request.wait_for(0))
