from typing import Any

import numpy as np
import openvino as ov
import pytest

from streamseg.benchmark.ceiling import Ceiling, convolutions
from streamseg.benchmark.plan import Convolutions
from streamseg.engine.choose import has_bf16

TINY = Convolutions(channels=16, size=(8, 8), layers=3)


def executed(graph: ov.Model) -> list[tuple[str, str]]:
    """(precision computed in, precision written) of every convolution as compiled."""
    compiled: Any = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    return [
        (str(info["runtimePrecision"].value), str(info["outputPrecisions"].value))
        for info in infos
        if str(info["layerType"].value) == "Convolution"
    ]


def test_bytes_stay_bytes_between_layers() -> None:
    found = executed(convolutions(TINY, as_bytes=True))
    assert found == [("u8", "u8")] * 3


def test_floats_stay_floats() -> None:
    assert executed(convolutions(TINY, as_bytes=False)) == [("f32", "f32")] * 3


def test_bytes_compute_about_what_floats_do() -> None:
    x = np.random.default_rng(3).random((1, 16, 8, 8), np.float32)
    core = ov.Core()
    answers = [
        core.compile_model(convolutions(TINY, as_bytes=as_bytes), "CPU")(x)[0]
        for as_bytes in (False, True)
    ]
    assert answers[0].shape == (1, 16)
    np.testing.assert_allclose(answers[1], answers[0], atol=0.1)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_ceiling_times_one_run(precision: str) -> None:
    if precision == "bf16" and not has_bf16("openvino"):
        pytest.skip("this CPU has no bf16 units")
    timing = Ceiling(precision, TINY)()
    assert timing.milliseconds > 0
    assert timing.gflop_per_second == pytest.approx(1000 * TINY.gflop / timing.milliseconds)
