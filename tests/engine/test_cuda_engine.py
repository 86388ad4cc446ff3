"""The CUDA engine's batches, rings and bytes, on streams whose copies come as late as they may; and on a GPU."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from late_lanes import HostPainter, LateLanes
from media import write_clip
from pictures import packed, planar, touching

from streamseg.engine import cuda_engine as module
from streamseg.engine.cuda_engine import UPLOADS, CudaEngine
from streamseg.engine.engine import EngineInfo
from streamseg.engine.pinned import PinnedRing
from streamseg.errors import ModelError
from streamseg.frames import Displacement, Drawing, Labelled, Logits, Moved
from streamseg.labels import CAMVID
from streamseg.picture.pixels import Planar
from streamseg.segmenter import Segmenter
from streamseg.stream.paint import blend_of, blend_planar, label_map

INFO = EngineInfo(backend="torch", device="cuda:0", precision="fp32")
BATCH = 3
PALETTE = CAMVID.palette_rgb()


@pytest.fixture
def lanes() -> LateLanes:
    return LateLanes()


@pytest.fixture
def engine(
    tiny: Any, lanes: LateLanes, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> Iterator[CudaEngine]:
    monkeypatch.setattr(module, "BATCH", BATCH)
    monkeypatch.setattr(CudaEngine, "parallel", 2 * BATCH)
    made = CudaEngine(tiny, INFO, (65, 97), lanes=lanes, painter=HostPainter)  # type: ignore[arg-type]
    yield made
    made.close()


@pytest.fixture
def expected(tiny: Any, opened: Callable[..., Any]) -> Callable[[Any], np.ndarray]:
    """Logits by the engine for CPUs. Its entry resizes with other roundings."""
    cpu = opened(tiny, "torch", size=(65, 97))
    return lambda pixels: cpu.infer(cpu.prepare(pixels)).scores


def close(found: Logits, scores: np.ndarray) -> None:
    assert isinstance(found, Logits)
    np.testing.assert_allclose(found.scores, scores, rtol=0, atol=2e-3 * np.abs(scores).max())


def blended(picture: Planar, labels: np.ndarray, alpha: float) -> Planar:
    """By the CPU's painter."""
    whole, drawn = touching(picture), touching(picture)
    blend_planar(whole, labels, PALETTE, alpha, drawn)
    return drawn


def equal(found: Planar, expected: Planar) -> None:
    for name in ("y", "u", "v"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def pictures(count: int, size: tuple[int, int] = (64, 96)) -> list[Planar]:
    return [planar(*size, seed=seed) for seed in range(count)]


def test_logits_are_those_of_the_cpu(engine, expected, pixels):
    close(engine.infer(engine.prepare(pixels)), expected(pixels))


def test_pictures_are_computed_in_batches_and_answered_in_order(engine, expected, lanes):
    given = pictures(7)
    waiting = [engine.submit(engine.prepare(picture)) for picture in given]
    assert lanes.launches == [BATCH, BATCH]
    for picture, wait in zip(given, waiting, strict=True):
        close(wait(), expected(picture))
    assert lanes.launches == [BATCH, BATCH, BATCH]  # the last one was not full
    assert lanes.captures == 1


def test_what_is_waited_for_is_not_held_back(engine, expected, lanes):
    first, second = (engine.submit(engine.prepare(picture)) for picture in pictures(2))
    assert not first.done()
    close(second(), expected(pictures(2)[1]))
    assert lanes.launches == [BATCH]
    assert first.done()
    close(first(), expected(pictures(1)[0]))


def test_kinds_are_not_mixed(engine, expected, lanes):
    given = [planar(64, 96, seed=1), planar(64, 96, "bt709", seed=2), packed(64, 96, seed=3)]
    waiting = [engine.submit(engine.prepare(picture)) for picture in given]
    for picture, wait in zip(given, waiting, strict=True):
        close(wait(), expected(picture))
    assert lanes.launches == [BATCH, BATCH, BATCH]


def test_large_pictures_go_fewer_at_a_time(engine, lanes, monkeypatch):
    monkeypatch.setattr(module, "BATCH_PIXELS", 2 * 64 * 96)
    waiting = [engine.submit(engine.prepare(picture)) for picture in pictures(4)]
    assert lanes.launches == [2, 2]
    assert all(isinstance(wait(), Logits) for wait in waiting)


def test_answers_outlive_the_next_ones(engine):
    first = engine.infer(engine.prepare(pictures(1)[0])).scores
    kept = first.copy()
    for picture in pictures(5)[1:]:
        engine.infer(engine.prepare(picture))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("draw", [(True, True), (True, False), (False, True), (False, False)])
def test_labels_and_drawings_come_back_as_asked(engine, expected, draw):
    overlay, color = (
        blend_of(PALETTE, alpha, "bt601", False) if asked else None
        for asked, alpha in zip(draw, (0.5, 1.0), strict=True)
    )
    drawing = Drawing(overlay=overlay, color=color)
    given = pictures(4)
    waiting = [engine.submit(engine.prepare_drawn(picture, drawing)) for picture in given]
    for picture, wait in zip(given, waiting, strict=True):
        answer = wait()
        assert isinstance(answer, Labelled)
        logits = Logits(scores=expected(picture), align_corners=True)
        assert (answer.labels == label_map(logits, (64, 96))).mean() > 0.99
        drawn = (answer.overlay, answer.color)
        assert tuple(planes is not None for planes in drawn) == draw
        for planes, alpha in zip(drawn, (0.5, 1.0), strict=True):
            if planes is not None:
                equal(planes, blended(picture, answer.labels, alpha))


def test_packed_pictures_are_labelled(engine, expected):
    picture = packed(64, 96)
    answer = engine.infer(engine.prepare_drawn(picture, Drawing()))
    logits = Logits(scores=expected(picture), align_corners=True)
    assert (answer.labels == label_map(logits, (64, 96))).mean() > 0.99
    assert (answer.overlay, answer.color) == (None, None)


def test_the_parts_make_the_whole(engine, expected):
    picture = pictures(1)[0]
    uploaded = engine.prepare(picture)
    features = engine.submit_context(uploaded)()
    close(engine.refine(uploaded, [Moved(features=features)]), expected(picture))
    still = Displacement(field=np.zeros((8, 12, 2), np.float32), size=(64, 96))
    moved = Moved(features=features, displacement=still)
    close(engine.submit_refine(uploaded, [moved])(), expected(picture))


def raced(engine: CudaEngine, count: int) -> list[np.ndarray]:
    """As a stream does it: pictures are uploaded ahead of what is computed."""
    uploaded = [engine.prepare(picture) for picture in pictures(count)]
    return [engine.infer(one).scores for one in uploaded]


def test_a_pinned_buffer_is_not_refilled_while_it_is_copied(engine, expected):
    found = raced(engine, 3 * UPLOADS)
    for scores, picture in zip(found, pictures(3 * UPLOADS), strict=True):
        close(Logits(scores=scores, align_corners=True), expected(picture))


def test_without_its_guard_it_would_be(engine, expected, monkeypatch):
    monkeypatch.setattr(PinnedRing, "_wait", staticmethod(lambda event: None))
    found = raced(engine, 3 * UPLOADS)
    right = [
        np.allclose(scores, expected(picture), rtol=0, atol=2e-3 * np.abs(scores).max())
        for scores, picture in zip(found, pictures(3 * UPLOADS), strict=True)
    ]
    assert not all(right)


def test_rings_do_not_grow(engine):
    for _ in range(4):
        waiting = [engine.submit(engine.prepare(picture)) for picture in pictures(BATCH)]
        for wait in waiting:
            wait()
    assert len(engine._uploads) <= UPLOADS
    assert len(engine._downloads) == 1


def test_a_closed_engine_says_so(engine):
    uploaded = engine.prepare(pictures(1)[0])
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="open engine; this one is closed"):
        engine.infer(uploaded)


def test_a_failed_wait_leaves_others_alone(engine, monkeypatch):
    """A picture that cannot be computed fails for whoever waits for it."""

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    wait = engine.submit(engine.prepare(pictures(1)[0]))
    with monkeypatch.context() as patch:
        patch.setattr(CudaEngine, "_plan", fail)
        with pytest.raises(ModelError, match="not enough memory to run the network"):
            wait()
    assert isinstance(engine.infer(engine.prepare(pictures(1)[0])), Logits)


class TestRing:
    def ring(self, depth: int = 2) -> PinnedRing:
        return PinnedRing(lambda count: torch.zeros(count, dtype=torch.uint8), depth)

    def test_a_buffer_that_is_free_is_taken_again(self):
        ring = self.ring()
        first = ring.take(10)
        ring.give_back(first)
        assert ring.take(8) is first

    def test_a_smaller_one_is_replaced(self):
        ring = self.ring()
        ring.give_back(ring.take(10))
        assert len(ring.take(20)) == 20
        assert len(ring) == 0

    def test_up_to_its_depth_nobody_waits(self):
        ring, lanes = self.ring(), LateLanes()
        buffers = []
        for _ in range(2):
            buffer = ring.take(4)
            assert all(buffer is not other for other in buffers)
            buffers.append(buffer)
            ring.give_back(buffer, lanes.send(buffer)[1])
        again = ring.take(4)  # beyond it, for the oldest
        assert again is buffers[0]

    def test_clear_waits_for_copies(self):
        ring, lanes = self.ring(), LateLanes()
        buffer = ring.take(4)
        _, event = lanes.send(buffer)
        ring.give_back(buffer, event)
        ring.clear()
        assert event.happened
        assert len(ring) == 0

    def test_a_ring_of_none_is_refused(self):
        with pytest.raises(ValueError, match="depth of at least 1"):
            self.ring(0)


def test_a_stream_is_labelled_and_drawn_as_on_the_cpu(engine, tiny, opened, tmp_path):
    """Through the whole pipeline: two kinds of files, in two alphas, with what is left over at the end."""
    clip = write_clip(tmp_path / "in.mp4", num_frames=8, size=(64, 96))
    found = {}
    for name, one in {"gpu": engine, "cpu": opened(tiny, "torch", size=(65, 97))}.items():
        with Segmenter(one, CAMVID) as segmenter:
            out = tmp_path / f"{name}.mkv"
            stream = segmenter.run(clip, out, save=("overlay", "color"), encoder="ffv1", alpha=0.3)
            labels = [result.labels for result in stream]
        assert stream.report()["frames"]["written"] == 8
        found[name] = (labels, frames(out), frames(tmp_path / f"{name}_color.mkv"))
    for gpu, cpu in zip(found["gpu"], found["cpu"], strict=True):
        same = np.mean([(a == b).mean() for a, b in zip(gpu, cpu, strict=True)])
        assert same > 0.99
        # Frames differ from each other, so that none stands for another.
        assert np.mean([(a == b).mean() for a, b in zip(gpu, cpu[1:], strict=False)]) < 0.9


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-4), ("fp16", 0.01), ("bf16", 0.05)])
def test_cuda_agrees_with_the_cpu(opened, tiny, pixels, precision, limit):
    """fp32 means fp32: with TF32 convolutions the difference would be ten times the limit."""
    cpu = opened(tiny, "torch")
    gpu = opened(tiny, "torch", precision, device="cuda:0")
    assert (gpu.info.device, gpu.info.precision, gpu.info.fallbacks) == ("cuda:0", precision, ())
    expected = cpu.infer(cpu.prepare(pixels)).scores
    result = gpu.infer(gpu.prepare(pixels)).scores
    assert np.abs(result - expected).mean() / expected.std() < limit
    gpu.close()


@pytest.mark.needs_cuda
def test_cuda_draws_as_the_cpu_does(opened, tiny):
    gpu = opened(tiny, "torch", "fp32", device="cuda:0")
    picture = pictures(1)[0]
    overlay = blend_of(PALETTE, 0.5, picture.matrix, picture.full_range)
    answer = gpu.infer(gpu.prepare_drawn(picture, Drawing(overlay=overlay)))
    logits = gpu.infer(gpu.prepare(picture))
    assert (answer.labels == label_map(logits, (64, 96))).mean() > 0.999
    assert answer.overlay is not None
    equal(answer.overlay, blended(picture, answer.labels, 0.5))
    gpu.close()


@pytest.mark.needs_cuda
def test_close_frees_the_gpu(opened, tiny):
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    engine = opened(tiny, "torch", "fp16", device="cuda")
    engine.infer(engine.prepare(packed(20, 30)))
    assert torch.cuda.memory_allocated() > before
    engine.close()
    assert torch.cuda.memory_allocated() == before
