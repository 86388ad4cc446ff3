"""What this machine can do at best: large convolutions in a row, compiled by OpenVINO, one for each precision."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from streamseg.benchmark.plan import Convolutions
from streamseg.benchmark.timing import Timing, milliseconds
from streamseg.compiled import num_cpus

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""OpenVINO's words. With int8 it is the precision of what is left beside the convolutions: nothing."""

TOP = np.float32(2.55)
"""Activations lie in 0..TOP, in 256 steps if they are bytes."""


class Ceiling:
    """Call it to run the convolutions once, on all cores."""

    def __init__(self, precision: str, work: Convolutions) -> None:
        self._gflop = work.gflop
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": num_cpus(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        graph = convolutions(work, as_bytes=precision == "int8")
        self._request = ov.Core().compile_model(graph, "CPU", settings).create_infer_request()
        start = np.random.default_rng(0).random((1, work.channels, *work.size), np.float32) * TOP
        self._request.set_input_tensor(ov.Tensor(start))
        self._request.infer()

    def __call__(self) -> Timing:
        one = milliseconds(self._request.infer, 1)
        return Timing(milliseconds=one, gflop_per_second=self._gflop * 1000 / one)


def convolutions(work: Convolutions, *, as_bytes: bool) -> ov.Model:
    """3x3 convolutions and ReLUs; one number comes out for each channel, which costs nothing to write.

    Args:
        as_bytes: activations are unsigned bytes from layer to layer, weights signed ones with a scale for each
            channel: `FakeQuantize`, which OpenVINO turns into int8 arithmetic.
    """
    rng = np.random.default_rng(0)
    shape = (work.channels, work.channels, 3, 3)
    start = ops.parameter([1, work.channels, *work.size], np.float32)
    x: Any = _bytes(start) if as_bytes else start
    for _ in range(work.layers):
        weights = rng.normal(0, (2 / (9 * work.channels)) ** 0.5, shape).astype(np.float32)
        kernel = _signed_bytes(weights) if as_bytes else ops.constant(weights)
        x = ops.relu(ops.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1]))
        x = _bytes(x) if as_bytes else x
    return ov.Model([ops.reduce_max(x, np.array([2, 3]))], [start], "ceiling")


def _bytes(x: Any) -> Any:
    return ops.fake_quantize(x, np.float32(0), TOP, np.float32(0), TOP, 256)


def _signed_bytes(weights: NDArray[np.float32]) -> Any:
    top = np.abs(weights).max((1, 2, 3), keepdims=True)
    return ops.fake_quantize(ops.constant(weights), -top, top, -top, top, 255)
