"""OpenVINO graphs: traced from torch modules or read from strangers' files, and fitted with channels last.

picture 1 x h x w x 3, float32 or 8-bit steps ──▶ network 1 x 3 x h x w ──▶ scores 1 x h' x w' x classes

The deep part of a network that splits gives features for scores, its fine part takes such as a second input.
"""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov
import openvino.opset1 as opset1
import openvino.opset13 as ops

from streamseg.engine.entry import Grid
from streamseg.errors import ModelError
from streamseg.models.calibration import GREATEST, WeightBits
from streamseg.models.card import ModelFile

if TYPE_CHECKING:
    from torch import nn


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


def for_8_bits(model: ov.Model, bits: WeightBits) -> ov.Model:
    """Let OpenVINO compute in 8 bits what `models.int8.quantize` rounded in torch, in place.

    It does where it knows the steps of both that a convolution multiplies: those of activations are in the trace,
    those of weights (`models.int8.rounded_weights`) are told here. And it carries steps through max pooling only in
    the operation's first version, which gives no indices.

    Args:
        bits: of the weights. Those of 7 have the inner half of the 255 steps that OpenVINO takes.
    """
    outer = np.float32(GREATEST[8] / GREATEST[bits])
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            weights = node.input_value(1)
            values = weights.get_node().get_data()
            greatest = np.abs(values).max((1, 2, 3), keepdims=True).astype(np.float32) * outer
            low, high = ops.constant(-greatest), ops.constant(greatest)
            steps = ops.fake_quantize(weights, low, high, low, high, 255)
            node.input(1).replace_source_output(steps.output(0))
        elif node.get_type_name() == "MaxPool":
            was = node.get_attributes()
            pooled = opset1.max_pool(
                node.input_value(0),
                was["strides"],
                was["pads_begin"],
                was["pads_end"],
                was["kernel"],
                rounding_type="ceil",
            )
            if pooled.get_output_shape(0) == node.get_output_shape(0):
                node.output(0).replace(pooled.output(0))
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
        raise ModelError(f"OpenVINO cannot read {model.path}: {reason(error)}") from error
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
        raise ModelError(f"OpenVINO cannot run {where}: {reason(error)}") from error
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


def with_channels_last(network: ov.Model, grid: Grid | None) -> ov.Model:
    """Channels last on either side, which is what `entry` and `warp` write and the painter reads fastest.

    Args:
        network: 1 x 3 x h x w, and 1 x C x h' x w' if it takes features, -> 1 x C" x h" x w"; not to be used
            afterwards.
        grid: the picture comes in 8-bit steps of it; None for float32.

    Returns:
        The same, from 1 x h x w x 3 and 1 x h' x w' x C float32 to 1 x h" x w" x C" float32.
    """
    picture, *features = (
        _channels_last(start, ov.Type.u8 if grid and index == 0 else ov.Type.f32)
        for index, start in enumerate(network.get_parameters())
    )
    values = picture.output(0)
    if grid:
        steps = ops.subtract(ops.convert(values, "f32"), ops.constant(np.float32(grid.zero)))
        values = ops.multiply(steps, ops.constant(np.float32(grid.scale))).output(0)
    taken = (values, *(one.output(0) for one in features))
    for start, last in zip(network.get_parameters(), taken, strict=True):
        first = ops.transpose(last, np.array([0, 3, 1, 2]))
        converted = ops.convert(first, start.get_element_type()).output(0)
        for consumer in start.output(0).get_target_inputs():
            consumer.replace_source_output(converted)
    answer = network.get_results()[0].input_value(0)
    channels_last = ops.transpose(ops.convert(answer, "f32"), np.array([0, 2, 3, 1]))
    return ov.Model([channels_last], [picture, *features], "streamseg")


def _channels_last(start: Any, element_type: ov.Type) -> Any:
    batch, channels, height, width = start.get_shape()
    return ops.parameter([batch, height, width, channels], element_type)


def reason(error: RuntimeError) -> str:
    """The last line of OpenVINO's message: the others name its own source files."""
    return (str(error).strip().splitlines() or ["no reason given"])[-1][:200]
