"""The OpenVINO engine: colour conversion, resize, normalisation and network in one compiled CPU graph.

Runs on the caller's thread, with OpenVINO's own pool underneath. `prepare` copies nothing.
torch is needed to make a graph, not to run it: see `graph_cache`.
"""

import os
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from streamseg.engine.engine import (
    EngineInfo,
    RecentlyUsed,
    SizeChoice,
    arrays_of,
    entry_key,
    network_size,
)
from streamseg.engine.graph_cache import cached, file_digest
from streamseg.errors import ModelError
from streamseg.frames import Logits
from streamseg.models.card import ModelFile
from streamseg.picture.pixels import Pixels

if TYPE_CHECKING:
    from torch import nn

HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVINOEngine:
    """Implements `engine.Engine`. One compiled graph per kind and size of picture, made on first sight.

    Raises:
        ModelError: an ONNX or OpenVINO file cannot be read, or does not take one picture.
    """

    def __init__(self, model: ModelFile, info: EngineInfo, size: SizeChoice) -> None:
        self.card = model.card
        self.info = info
        self._model = model
        self._size = size
        self._core = ov.Core()
        self._own = model.is_torch
        self._origin = file_digest(model.path) if self._own else ""
        self._module: nn.Module | None = None
        self._requests: RecentlyUsed[ov.InferRequest] = RecentlyUsed()
        self._closed = False
        if not self._own:
            spec = model.card.input
            if fixed := fixed_size(read_network(self._core, model)):
                self.card = replace(model.card, input=replace(spec, size=fixed, fixed=True))
            # Read for its checks alone: a file that cannot be used is refused now, not at the first frame.
            read_scores(self._core, model, self.network_size(self.card.input.size))

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """See `Engine`."""
        return network_size(self.card.input, self._size, size)

    def prepare(self, pixels: Pixels) -> tuple[Pixels, list[ov.Tensor]]:
        """See `Engine`: tensors that share the pixels' memory."""
        tensors = [ov.Tensor(array, shared_memory=True) for array in arrays_of(pixels)]
        return pixels, tensors

    def infer(self, network_input: tuple[Pixels, list[ov.Tensor]]) -> Logits:
        """See `Engine`."""
        if self._closed:
            raise ValueError("expected an open engine; this one is closed, load the model again")
        pixels, tensors = network_input
        request = self._requests.get(entry_key(pixels), lambda: self._compile(pixels))
        for index, tensor in enumerate(tensors):
            request.set_input_tensor(index, tensor)
        request.infer()
        # Copied, because the next call overwrites the request's own output while this one is being painted.
        scores = np.array(request.get_output_tensor(0).data[0])
        return Logits(scores=scores, align_corners=self.card.input.align_corners)

    def close(self) -> None:
        """See `Engine`."""
        self._requests.clear()
        self._module = None
        self._closed = True

    def _compile(self, pixels: Pixels) -> ov.InferRequest:
        size = self.network_size(pixels.size)
        spec = self.card.input
        entry = cached(
            self._core, ("entry", spec, entry_key(pixels), size), lambda: self._entry(pixels, size)
        )
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[self.info.precision],
            "INFERENCE_NUM_THREADS": num_cpus(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        if self._own:
            made_of = ("network", self._origin, self.card.to_json(), size)
            graph = join(entry, cached(self._core, made_of, lambda: self._network(size)))
            return self._core.compile_model(graph, "CPU", settings).create_infer_request()
        graph = join(entry, read_scores(self._core, self._model, size))
        try:
            return self._core.compile_model(graph, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO cannot compile {self._model.path}: {_reason(error)}"
            ) from error

    def _entry(self, pixels: Pixels, size: tuple[int, int]) -> ov.Model:
        import torch

        from streamseg.engine.entry import entry_for

        examples = [torch.from_numpy(array) for array in arrays_of(pixels)]
        return convert(entry_for(pixels, self.card.input, size), examples)

    def _network(self, size: tuple[int, int]) -> ov.Model:
        """The network alone at `size`: one input 1 x 3 x h x w, one output 1 x classes x h' x w'."""
        import torch

        if self._module is None:
            from streamseg.models.weights import load_model

            module = load_model(self._model)
            if (
                file_digest(self._model.path) != self._origin
            ):  # else a graph would be kept under a wrong name
                raise ModelError(
                    f"{self._model.path} was replaced after it was opened; load it again"
                )
            self._module = module
        return convert(self._module, [torch.zeros(1, 3, *size)])


def num_cpus() -> int:
    """Logical CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def convert(module: "nn.Module", examples: list[Any]) -> ov.Model:
    """Trace a torch module at the examples' shapes and convert it."""
    import torch

    with torch.inference_mode(), warnings.catch_warnings():
        # torch calls its tracer, which OpenVINO's converter needs, deprecated; and it warns that shapes become
        # constants of the trace, as they are meant to: a graph is compiled per size.
        warnings.simplefilter("ignore")
        trace: Any = torch.jit.trace
        traced = torch.jit.freeze(trace(module.eval(), tuple(examples), check_trace=False))
        model: ov.Model = ov.convert_model(traced, example_input=tuple(examples))
    for parameter, example in zip(model.get_parameters(), examples, strict=True):
        parameter.set_partial_shape(ov.PartialShape(list(example.shape)))
    model.validate_nodes_and_infer_types()
    return model


def read_network(core: ov.Core, model: ModelFile) -> ov.Model:
    """Read an ONNX or OpenVINO file.

    Raises:
        ModelError: unreadable, or not one float input of 1 x 3 x height x width.
    """
    try:
        network = core.read_model(str(model.path))
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot read {model.path}: {_reason(error)}") from error
    if len(network.inputs) != 1:
        raise ModelError(f"expected one input in {model.path}, got {len(network.inputs)}")
    start = network.inputs[0]
    shape = start.get_partial_shape()
    if (
        not shape.compatible(ov.PartialShape([1, 3, -1, -1]))
        or not start.get_element_type().is_real()
    ):
        raise ModelError(
            f"expected {model.path} to take 1 x 3 x height x width floating-point numbers, "
            f"got {start.get_element_type().get_type_name()} {shape}"
        )
    return network


def fixed_size(network: ov.Model) -> tuple[int, int] | None:
    """(height, width) if the file was written for that alone."""
    shape = network.inputs[0].get_partial_shape()
    if shape.rank.is_dynamic or shape[2].is_dynamic or shape[3].is_dynamic:
        return None
    return shape[2].get_length(), shape[3].get_length()


def read_scores(core: ov.Core, model: ModelFile, size: tuple[int, int]) -> ov.Model:
    """Read a file for one image of `size`, its first output as 1 x classes x h x w float32 scores.

    Class ids (an arg-max inside the file) become one-hot scores, so that the painter needs no second way. That
    is `classes` times the memory of a float32 map of the ids' size, written and read once per frame: 0.09 GB at
    1024 x 2048 with 11 classes. A file that gives its logits at 1/4 is faster and has finer edges. Ids that the
    card has no class for score 0 everywhere, and become class 0.

    Raises:
        ModelError: as `read_network`; not runnable at this size; or the output is something else.
    """
    network = read_network(core, model)
    try:
        network.reshape([1, 3, *size])
        output = network.outputs[0].get_node().input_value(0)
        shape = list(output.get_shape())
    except RuntimeError as error:
        where = f"{model.path} at {size[0]}x{size[1]}"
        raise ModelError(f"OpenVINO cannot run {where}: {_reason(error)}") from error
    classes = len(model.card.labels)
    four = len(shape) == 4
    if four and shape[1] == classes > 1:
        scores = ops.convert(output, "f32")
    elif (four and shape[1] == 1) or (len(shape) == 3 and output.get_element_type().is_integral()):
        ids = ops.convert(ops.squeeze(output, np.array([1])) if four else output, "i64")
        scores = ops.one_hot(ids, np.int64(classes), np.float32(1), np.float32(0), axis=1)
    else:
        raise ModelError(
            f"expected {model.path} to answer with 1 x {classes} x h x w scores (classes of its card) "
            f"or with class ids, got shape {shape}"
        )
    return ov.Model([scores], network.get_parameters(), model.card.name)


def join(entry: ov.Model, network: ov.Model) -> ov.Model:
    """One graph: `entry`'s inputs, `network`'s answer as h x w x classes (what the painter reads fastest)."""
    start = network.get_parameters()[0]
    answer = ops.convert(entry.get_results()[0].input_value(0), start.get_element_type())
    for consumer in start.output(0).get_target_inputs():
        consumer.replace_source_output(answer.output(0))
    scores = network.get_results()[0].input_value(0)
    channels_last = ops.transpose(ops.convert(scores, "f32"), np.array([0, 2, 3, 1]))
    return ov.Model([channels_last], entry.get_parameters(), "streamseg")


def _reason(error: RuntimeError) -> str:
    """The last line of OpenVINO's message: the others name its own source files."""
    return (str(error).strip().splitlines() or ["no reason given"])[-1][:200]
