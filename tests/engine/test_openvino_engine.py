"""The OpenVINO engine with streamseg's own networks."""

import warnings

import numpy as np
import pytest
import torch
from pictures import packed, planar

from streamseg.engine import openvino_engine
from streamseg.engine.engine import GRAPHS_KEPT
from streamseg.engine.openvino_engine import convert, num_cpus
from streamseg.models.weights import load_model
from streamseg.stream.paint import label_map


def test_logits_are_those_of_the_plain_network(opened, tiny):
    """At the network's own size and in its channel order the entry only subtracts the mean."""
    picture = packed(97, 129)
    engine = opened(tiny)
    logits = engine.infer(engine.prepare(picture))
    mean = torch.tensor(tiny.card.input.mean)
    x = (torch.from_numpy(picture.pixels).float() - mean).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = load_model(tiny)(x)[0].permute(1, 2, 0).numpy()
    assert logits.align_corners
    assert logits.scores.dtype == np.float32
    assert logits.scores.flags.c_contiguous
    np.testing.assert_allclose(logits.scores, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("source", [(90, 122), (211, 285)])
def test_agrees_with_torch_at_every_scale(opened, tiny, source):
    for picture in (packed(*source), planar(*source)):
        logits = []
        for backend in ("torch", "openvino"):
            engine = opened(tiny, backend)
            logits.append(engine.infer(engine.prepare(picture)))
        first, second = (item.scores for item in logits)
        np.testing.assert_allclose(second, first, rtol=0, atol=2e-4 * np.abs(first).max())
        one, other = (label_map(item, source) for item in logits)
        assert len(np.unique(one)) > 3
        assert (one == other).mean() >= 0.999


def test_bf16_stays_close_to_fp32(opened, tiny, pixels):
    exact, rounded = (opened(tiny, precision=precision) for precision in ("fp32", "bf16"))
    if rounded.info.fallbacks:
        pytest.skip(rounded.info.fallbacks[0])
    expected = exact.infer(exact.prepare(pixels)).scores
    result = rounded.infer(rounded.prepare(pixels)).scores
    assert result.dtype == np.float32
    assert 0 < np.abs(result - expected).mean() / expected.std() < 0.05


def test_conversion_warns_of_nothing(tiny):
    """torch's deprecation of its tracer must not reach users, or tests that make errors of warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = convert(load_model(tiny), [torch.zeros(1, 3, 33, 65)])
    assert list(graph.inputs[0].shape) == [1, 3, 33, 65]
    assert list(graph.outputs[0].shape) == [1, 11, 9, 17]


def test_prepare_shares_memory(opened, tiny):
    picture = packed(20, 30)
    _, (tensor,) = opened(tiny).prepare(picture)
    assert np.shares_memory(tensor.data, picture.pixels)


def test_readonly_pictures_run(opened, tiny):
    picture = packed(20, 30)
    engine = opened(tiny)
    expected = engine.infer(engine.prepare(picture)).scores
    picture.pixels.flags.writeable = False
    np.testing.assert_array_equal(engine.infer(engine.prepare(picture)).scores, expected)


def test_logits_outlive_the_next_call(opened, tiny):
    engine = opened(tiny)
    first = engine.infer(engine.prepare(packed(20, 30, seed=1))).scores
    kept = first.copy()
    second = engine.infer(engine.prepare(packed(20, 30, seed=2))).scores
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)


def test_a_graph_is_compiled_once_per_kind_and_size(opened, tiny, monkeypatch):
    engine = opened(tiny, size=(33, 33))
    compiled = []
    monkeypatch.setattr(
        engine, "_compile", lambda pixels: compiled.append(pixels.size) or FakeRequest()
    )
    one, other = packed(16, 20), packed(16, 20, seed=1)
    for picture in (one, other, packed(18, 20), planar(16, 20), one):
        engine.infer(engine.prepare(picture))
    assert compiled == [(16, 20), (18, 20), (16, 20)]


def test_sizes_take_turns_in_one_engine(opened, tiny):
    engine, fresh = opened(tiny), opened(tiny)
    small, large = packed(90, 122), packed(211, 285)
    expected = fresh.infer(fresh.prepare(small)).scores
    for picture in (small, large, small):
        scores = engine.infer(engine.prepare(picture)).scores
    np.testing.assert_array_equal(scores, expected)
    assert len(engine._requests) == 2


def test_graphs_kept_are_bounded(opened, tiny, monkeypatch):
    engine = opened(tiny, size=(33, 33))
    monkeypatch.setattr(engine, "_compile", lambda pixels: FakeRequest())
    for width in range(20, 50):
        engine.infer(engine.prepare(packed(16, width)))
    assert len(engine._requests) == GRAPHS_KEPT


class FakeRequest:
    data = np.zeros((1, 2, 2, 11), np.float32)

    def set_input_tensor(self, index: int, tensor: object) -> None: ...

    def infer(self) -> None: ...

    def get_output_tensor(self, index: int) -> "FakeRequest":
        return self


def test_close_is_idempotent_and_final(opened, tiny):
    engine = opened(tiny)
    ready = engine.prepare(packed(20, 30))
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="open engine; this one is closed"):
        engine.infer(ready)


def test_threads_are_the_processors_this_process_may_use(monkeypatch):
    monkeypatch.setattr(
        openvino_engine.os, "sched_getaffinity", lambda pid: {1, 5, 6}, raising=False
    )
    assert num_cpus() == 3
    monkeypatch.delattr(openvino_engine.os, "sched_getaffinity")
    monkeypatch.setattr(openvino_engine.os, "cpu_count", lambda: 7)
    assert num_cpus() == 7
