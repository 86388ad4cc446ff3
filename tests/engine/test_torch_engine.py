"""The torch engine: folding leaves the function alone, precisions stay close, and it is bounded and closable."""

import shutil
import warnings

import numpy as np
import pytest
import torch
from pictures import packed, planar

from streamseg.engine.engine import GRAPHS_KEPT
from streamseg.models.blocks import ConvBN, fold_batch_norms
from streamseg.models.weights import load_for_inference, load_model


def image(height: int = 65, width: int = 97) -> torch.Tensor:
    return 128 * torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3)) - 64


@torch.inference_mode()
def test_folding_batch_norms_leaves_the_function_unchanged(tiny):
    plain, folded = load_model(tiny), fold_batch_norms(load_model(tiny))
    expected = plain(image())
    assert expected.std() > 0.1  # the comparison below would be empty otherwise
    torch.testing.assert_close(
        folded(image()), expected, rtol=0, atol=1e-4 * float(expected.abs().max())
    )
    blocks = [module for module in folded.modules() if isinstance(module, ConvBN)]
    assert len(blocks) > 30
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for block in blocks for part in block)


def test_logits_are_those_of_the_plain_network(opened, tiny):
    """At the network's own size and in its channel order the entry only subtracts the mean."""
    picture = packed(97, 129)
    engine = opened(tiny, "torch")
    logits = engine.infer(engine.prepare(picture))
    mean = torch.tensor(tiny.card.input.mean)
    x = (torch.from_numpy(picture.pixels).float() - mean).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = load_for_inference(tiny)(x)[0].permute(1, 2, 0).numpy()
    assert logits.align_corners
    assert logits.scores.dtype == np.float32
    assert logits.scores.flags.c_contiguous
    np.testing.assert_allclose(logits.scores, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_bf16_stays_close_to_fp32(opened, tiny, pixels):
    exact, rounded = (opened(tiny, "torch", precision) for precision in ("fp32", "bf16"))
    if rounded.info.fallbacks:
        pytest.skip(rounded.info.fallbacks[0])
    expected = exact.infer(exact.prepare(pixels)).scores
    result = rounded.infer(rounded.prepare(pixels)).scores
    assert result.dtype == np.float32
    difference = np.abs(result - expected).mean() / expected.std()
    assert 0 < difference < 0.05


def test_submitted_pictures_are_those_inferred(opened, tiny):
    engine = opened(tiny, "torch")
    pictures = [packed(20, 30, seed=seed) for seed in range(3)]
    waiting = [engine.submit(engine.prepare(picture)) for picture in pictures]
    for picture, wait in zip(pictures, waiting, strict=True):
        expected = engine.infer(engine.prepare(picture)).scores
        np.testing.assert_array_equal(wait().scores, expected)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_gives_the_same(opened, tiny):
    plain = opened(tiny, "torch", size=(33, 33))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own: deprecations inside it, and hints on tuning
        fused = opened(tiny, "torch", size=(33, 33), compile=True)
        fused.infer(fused.prepare(packed(20, 30)))
    for picture in (packed(20, 30, seed=1), planar(20, 30)):
        expected = plain.infer(plain.prepare(picture)).scores
        result = fused.infer(fused.prepare(picture)).scores
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_readonly_pictures_run(opened, tiny):
    picture = packed(20, 30)
    engine = opened(tiny, "torch")
    expected = engine.infer(engine.prepare(picture)).scores
    picture.pixels.flags.writeable = False
    np.testing.assert_array_equal(engine.infer(engine.prepare(picture)).scores, expected)


def test_logits_outlive_the_next_call(opened, tiny):
    engine = opened(tiny, "torch")
    first = engine.infer(engine.prepare(packed(20, 30, seed=1))).scores
    kept = first.copy()
    engine.infer(engine.prepare(packed(20, 30, seed=2)))
    np.testing.assert_array_equal(first, kept)


def test_entries_kept_are_bounded(opened, tiny):
    engine = opened(tiny, "torch", size=(33, 33))
    for width in range(20, 20 + 2 * GRAPHS_KEPT):
        engine.infer(engine.prepare(planar(16, width)))
    assert len(engine._entries) == GRAPHS_KEPT


def test_close_is_idempotent_and_final(opened, tiny):
    engine = opened(tiny, "torch")
    ready = engine.prepare(packed(20, 30))
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="open engine; this one is closed"):
        engine.infer(ready)
