"""The OpenVINO engine: a compiled CPU graph per network size, run for one picture or for several side by side.

`prepare` runs on the caller's thread; `infer` and `submit` on OpenVINO's pool.
torch is needed to make a graph, not to run it: see `graph_cache`.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from streamseg.engine.engine import EngineInfo, RecentlyUsed, SizeChoice, entry_key, network_size
from streamseg.engine.entry import Entry, grid_for
from streamseg.engine.graph_cache import cached, file_digest
from streamseg.engine.openvino_graph import (
    convert,
    fixed_size,
    for_8_bits,
    from_picture_to_scores,
    read_network,
    read_scores,
    reason,
)
from streamseg.errors import ModelError
from streamseg.frames import Logits
from streamseg.models.calibration import Calibration
from streamseg.models.card import ModelFile
from streamseg.picture.pixels import Pixels

MOST_PARALLEL = 4
"""Pictures computed side by side, at most: each takes memory for activations of its own."""

Picture = NDArray[np.float32] | NDArray[np.uint8]
"""1 x h x w x 3."""


class OpenVINOEngine:
    """Implements `engine.Engine`. Graphs are compiled on first sight of a size.

    Raises:
        ModelError: an ONNX or OpenVINO file cannot be read, or does not take one picture; or the calibration is of
            other weights.
    """

    def __init__(
        self,
        model: ModelFile,
        info: EngineInfo,
        size: SizeChoice,
        calibration: Calibration | None = None,
    ) -> None:
        self.card = model.card
        self.info = info
        self.parallel = min(num_cpus(), MOST_PARALLEL)
        self._model = model
        self._size = size
        self._calibration = calibration
        self._grid = grid_for(model.card.input) if info.precision == "int8" else None
        self._core = ov.Core()
        self._own = model.is_torch
        self._origin = file_digest(model.path) if self._own else ""
        self._entries: RecentlyUsed[Entry] = RecentlyUsed()
        self._graphs: RecentlyUsed[Requests] = RecentlyUsed()
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
        return self._requests(network_input, streams=1).start(network_input)()

    def submit(self, network_input: Picture) -> Callable[[], Logits]:
        """See `Engine`."""
        return self._requests(network_input, streams=self.parallel).start(network_input)

    def close(self) -> None:
        """See `Engine`."""
        self._entries.clear()
        self._graphs.clear()
        self._closed = True

    def _requests(self, picture: Picture, streams: int) -> "Requests":
        if self._closed:
            raise ValueError("expected an open engine; this one is closed, load the model again")
        size = (picture.shape[1], picture.shape[2])
        return self._graphs.get(
            (size, streams),
            lambda: Requests(self._compile(size, streams), self.card.input.align_corners),
        )

    def _compile(self, size: tuple[int, int], streams: int) -> ov.CompiledModel:
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
            digest = repr(dict(self._calibration.maxima)) if self._calibration else ""
            made_of = ("network", self._origin, self.card.to_json(), size, digest)
            network = cached(self._core, made_of, lambda: self._network(size))
            return self._core.compile_model(
                from_picture_to_scores(network, self._grid), "CPU", settings
            )
        graph = from_picture_to_scores(read_scores(self._core, self._model, size), self._grid)
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

    def _network(self, size: tuple[int, int]) -> ov.Model:
        """The network alone at `size`: one input 1 x 3 x h x w, one output 1 x classes x h' x w'."""
        import torch

        from streamseg.models.weights import load_for_inference

        network = load_for_inference(self._model)
        if file_digest(self._model.path) != self._origin:
            # Else a graph would be kept under a wrong name.
            raise ModelError(f"{self._model.path} was replaced after it was opened; load it again")
        example = [torch.zeros(1, 3, *size)]
        if self._calibration is None:
            return convert(network, example)
        from streamseg.models.int8 import quantize

        return for_8_bits(convert(quantize(network, self._calibration), example))


class Requests:
    """A compiled graph and the requests that run on it, as many as were ever in flight at once.

    One thread starts and collects.
    """

    def __init__(self, graph: ov.CompiledModel, align_corners: bool) -> None:
        self._graph = graph
        self._align_corners = align_corners
        self._idle: list[ov.InferRequest] = []

    def start(self, picture: Picture) -> Callable[[], Logits]:
        """Begin with a picture; what is returned waits for its logits, which are the caller's to keep."""
        request = self._idle.pop() if self._idle else self._graph.create_infer_request()
        request.set_input_tensor(0, ov.Tensor(picture, shared_memory=True))
        request.start_async()
        return partial(self._wait, request, picture)

    def _wait(self, request: ov.InferRequest, picture: Picture) -> Logits:
        """`picture` is only held: the request reads its memory."""
        request.wait()
        # Copied: the request's own output is overwritten by its next picture while this one is painted.
        scores = np.array(request.get_output_tensor(0).data[0])
        self._idle.append(request)
        return Logits(scores=scores, align_corners=self._align_corners)


def num_cpus() -> int:
    """Logical CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
