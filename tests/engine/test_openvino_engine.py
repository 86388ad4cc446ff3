"""The OpenVINO engine with streamseg's own networks."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import packed, planar

from streamseg.compiled import num_cpus
from streamseg.engine import choose, openvino_engine
from streamseg.engine.engine import GRAPHS_KEPT, EngineInfo
from streamseg.engine.entry import Entry, grid_for
from streamseg.engine.openvino_engine import OpenVINOEngine
from streamseg.engine.openvino_graph import convert
from streamseg.engine.processor import weight_bits
from streamseg.errors import ModelError
from streamseg.models.calibration import Calibration, calibration_path
from streamseg.models.int8 import measure_maxima, quantize
from streamseg.models.weights import load_for_inference, load_model
from streamseg.stream.paint import label_map


def test_logits_are_those_of_the_plain_network(opened, tiny):
    """At the network's own size and in its channel order the entry only subtracts the mean."""
    picture = packed(97, 129)
    engine = opened(tiny)
    logits = engine.infer(engine.prepare(picture))
    mean = torch.tensor(tiny.card.input.mean)
    x = (torch.from_numpy(picture.pixels).float() - mean).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = load_for_inference(tiny)(x)[0].permute(1, 2, 0).numpy()
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


def test_prepared_pictures_outlive_their_pixels(opened, tiny):
    """A decoder's buffers go back to it while requests still wait."""
    engine, picture = opened(tiny), packed(20, 30)
    expected = engine.infer(engine.prepare(picture)).scores
    ready = engine.prepare(picture)
    picture.pixels[:] = 0
    np.testing.assert_array_equal(engine.infer(ready).scores, expected)


def test_submitted_pictures_are_those_inferred_in_whatever_order_they_are_collected(opened, tiny):
    engine = opened(tiny)
    pictures = [packed(20, 30, seed=seed) for seed in range(6)]
    expected = [engine.infer(engine.prepare(picture)).scores for picture in pictures]
    waiting = [engine.submit(engine.prepare(picture)) for picture in pictures]
    for index in (3, 0, 1, 5, 4, 2):
        np.testing.assert_array_equal(waiting[index]().scores, expected[index])
    assert engine.parallel == min(num_cpus(), openvino_engine.MOST_PARALLEL)


def test_requests_are_used_again(opened, tiny):
    engine = opened(tiny)
    for _ in range(3):
        waiting = [engine.submit(engine.prepare(packed(20, 30))) for _ in range(4)]
        for wait in waiting:
            wait()
    (requests,) = engine._graphs._made.values()
    assert len(requests._idle) == 4


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


def test_a_graph_is_compiled_once_per_network_size_and_way_to_run(opened, tiny, monkeypatch):
    engine = opened(tiny, size=(33, 33))
    compiled = []
    real = engine._compile
    monkeypatch.setattr(engine, "_compile", lambda *of: compiled.append(of[2]) or real(*of))
    for picture in (packed(16, 20), packed(16, 20, seed=1), packed(18, 20), planar(16, 20)):
        engine.infer(engine.prepare(picture))
    engine.submit(engine.prepare(packed(16, 20)))()
    assert compiled == [1] if engine.parallel == 1 else [1, engine.parallel]


def test_sizes_take_turns_in_one_engine(opened, tiny):
    engine, fresh = opened(tiny, size="native"), opened(tiny, size="native")
    small, large = packed(65, 97), packed(129, 161)
    expected = fresh.infer(fresh.prepare(small)).scores
    for picture in (small, large, small):
        scores = engine.infer(engine.prepare(picture)).scores
    np.testing.assert_array_equal(scores, expected)
    assert len(engine._graphs) == 2


def test_graphs_and_entries_kept_are_bounded(opened, tiny, monkeypatch):
    engine = opened(tiny, size="native")
    monkeypatch.setattr(engine, "_compile", lambda *of: None)
    for width in range(33, 33 + 32 * (GRAPHS_KEPT + 2), 32):
        engine._scores("whole", engine.prepare(packed(33, width)), streams=1)
    assert len(engine._graphs) == len(engine._entries) == GRAPHS_KEPT


@pytest.fixture
def calibrated(tiny, tmp_path):
    """A copy of `tiny` with a calibration beside it, and that calibration."""
    path = tmp_path / "calibrated.safetensors"
    path.write_bytes(tiny.path.read_bytes())
    image = torch.from_numpy(opened_input(tiny))
    maxima = measure_maxima(load_for_inference(tiny), [image])
    digest = openvino_engine.file_digest(path)
    calibration = Calibration(maxima=maxima, weights=digest, data="noise")
    calibration.write(calibration_path(path))
    return replace(tiny, path=path), calibration


def opened_input(model):
    """The network's input for a picture of its own size, as the 8-bit steps have it: 1 x 3 x h x w."""
    grid = grid_for(model.card.input)
    steps = Entry(packed(97, 129), model.card.input, (97, 129), grid)(packed(97, 129))
    values = (steps.astype(np.float32) - grid.zero) * np.float32(grid.scale)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("bits", sorted({7, weight_bits()}))
def test_int8_is_the_arithmetic_of_8_bits(opened, calibrated, bits):
    """Against the fake-quantised torch network."""
    model, calibration = calibrated
    info = EngineInfo(backend="openvino", device="cpu", precision="int8")
    engine = OpenVINOEngine(model, info, "auto", calibration, bits)
    engine._float_type = lambda: "f32"  # of what is not 8 bits: bf16 would add its own rounding
    ready = engine.prepare(packed(97, 129))
    assert ready.dtype == np.uint8
    result = engine.infer(ready).scores
    network = quantize(load_for_inference(model), calibration, bits)
    with torch.inference_mode():
        expected = network(torch.from_numpy(opened_input(model)))[0].permute(1, 2, 0).numpy()
    exact = opened(model).infer(opened(model).prepare(packed(97, 129))).scores
    error = np.abs(result - expected).mean() / expected.std()
    rounding = np.abs(expected - exact).mean() / exact.std()
    print(f"against fake quantisation {error:.4f}, that against fp32 {rounding:.4f}")
    assert error < rounding / 10
    assert rounding < 0.3


def test_int8_cuts_off_no_sum_of_products(opened, calibrated):
    """Where two products are added in 16 bits, greatest activations on greatest weights are the first to be cut off."""
    model, calibration = calibrated
    tight = replace(calibration, maxima=dict.fromkeys(calibration.maxima, 0.001))
    info = EngineInfo(backend="openvino", device="cpu", precision="int8")
    engine = OpenVINOEngine(model, info, "auto", tight)
    engine._float_type = lambda: "f32"
    result = engine.infer(engine.prepare(packed(97, 129))).scores
    network = quantize(load_for_inference(model), tight, weight_bits())
    with torch.inference_mode():
        expected = network(torch.from_numpy(opened_input(model)))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(result, expected, atol=0.01 * expected.std())


def test_a_calibration_of_other_weights_is_refused(opened, calibrated):
    model, calibration = calibrated
    other = replace(calibration, weights="0" * 64)
    other.write(calibration_path(model.path))
    with pytest.raises(ModelError, match=r"made for other weights; .*streamseg calibrate --model"):
        opened(model, precision="int8")
    assert opened(model, precision="fp32").info.precision == "fp32"


def test_auto_leaves_a_calibration_of_other_weights_alone_and_says_so(
    opened, calibrated, monkeypatch
):
    """Training on overwrites weights; their calibration stays beside them."""
    model, calibration = calibrated
    monkeypatch.setattr(choose, "int8_is_fast", lambda: True)
    good = replace(calibration, miou={"fp32": 0.5, "int8_7": 0.5, "data": "noise"})
    good.write(calibration_path(model.path))
    assert opened(model, precision="auto").info.precision == "int8"
    replace(good, weights="0" * 64).write(calibration_path(model.path))
    info = opened(model, precision="auto").info
    assert info.precision in ("bf16", "fp32")
    (note,) = info.fallbacks
    assert note.startswith(
        f"precision auto, {info.precision} used, calibrated.int8.json was made for other weights"
    )


def test_a_calibration_of_another_network_is_refused(opened, calibrated):
    model, calibration = calibrated
    maxima = {**calibration.maxima, "elsewhere": 1.0}
    replace(calibration, maxima=maxima).write(calibration_path(model.path))
    engine = opened(model, precision="int8")
    with pytest.raises(ModelError, match=r"its activations are others \(first: elsewhere\)"):
        engine.infer(engine.prepare(packed(20, 30)))


def test_precisions_have_graphs_of_their_own_on_disk(opened, calibrated, cache):
    model, _ = calibrated
    for precision in ("fp32", "int8"):
        engine = opened(model, precision=precision)
        engine.infer(engine.prepare(packed(97, 129)))
    assert len(list(cache.glob("*.graph"))) == 2


def test_close_is_idempotent_and_final(opened, tiny):
    engine = opened(tiny)
    ready = engine.prepare(packed(20, 30))
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="open engine; this one is closed"):
        engine.infer(ready)
