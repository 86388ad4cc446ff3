"""`CRFEngine`: what is refined, by which pixels, and when; and that all else is the engine's it stands around."""

import numpy as np
import pytest
import torch
from fakes import Begun, FakeEngine, luma_of
from numpy.typing import NDArray
from pictures import packed, planar

from streamseg.crf.mean_field import refined
from streamseg.crf.parameters import CRF
from streamseg.engine import crf_engine
from streamseg.engine.crf_engine import CRFEngine, probabilities_at
from streamseg.errors import ModelError
from streamseg.frames import Logits, Moved
from streamseg.picture.pixels import Pixels
from streamseg.picture.planes import ycbcr_to_rgb

QUICK = CRF(iterations=2)


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return torch.from_numpy(scores).softmax(2).numpy()


def random_logits(size: tuple[int, int], align_corners: bool = True) -> Logits:
    scores = np.random.default_rng(0).normal(0, 3, (*size, 5)).astype(np.float32)
    return Logits(scores=scores, align_corners=align_corners)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("nodes", [(5, 7), (1, 7), (5, 1), (1, 1), (21, 30), (40, 50)])
def test_probabilities_are_those_of_interpolated_logits(
    nodes: tuple[int, int], align_corners: bool
) -> None:
    logits = random_logits(nodes, align_corners)
    found = probabilities_at(logits, (21, 30))
    scores = torch.from_numpy(logits.scores).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(
        scores, (21, 30), mode="bilinear", align_corners=align_corners
    )
    np.testing.assert_allclose(found, expected.softmax(1)[0].permute(1, 2, 0), atol=1e-4)


def test_answers_are_log_marginals_at_the_pictures_size() -> None:
    inner, picture = FakeEngine(), packed(24, 40)
    engine = CRFEngine(inner, QUICK)
    answer = engine.infer(engine.prepare(picture))
    expected = refined(softmax(inner.infer(picture).scores), picture.pixels, QUICK)
    assert answer.scores.shape == (24, 40, 11)
    np.testing.assert_allclose(np.exp(answer.scores), expected, atol=1e-5)
    assert answer.raw


@pytest.mark.parametrize(
    "picture",
    [packed(9, 14), packed(9, 14, "rgb24"), planar(9, 14), planar(10, 14, "bt709", True)],
    ids=["bgr24", "rgb24", "planar", "planar, full range"],
)
def test_the_pictures_own_colours_draw_the_edges(
    picture: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def record(probabilities: NDArray[np.float32], image: NDArray[np.uint8], crf: CRF) -> object:
        seen.append(image)
        return probabilities

    monkeypatch.setattr(crf_engine, "refined", record)
    engine = CRFEngine(FakeEngine(), QUICK)
    engine.infer(engine.prepare(picture))
    (image,) = seen
    assert (image.shape, image.dtype) == ((*picture.size, 3), np.uint8)
    if not hasattr(picture, "y"):
        np.testing.assert_array_equal(image, picture.pixels)
        return
    matrix, offset = ycbcr_to_rgb(picture.matrix, picture.full_range)
    chroma = [
        torch.nn.functional.interpolate(
            torch.from_numpy(plane.astype(np.float32))[None, None], picture.size, mode="bilinear"
        )[0, 0].numpy()
        for plane in (picture.u, picture.v)
    ]
    rgb = np.clip(np.stack([luma_of(picture), *chroma], 2) @ matrix.T + offset, 0, 255)
    assert np.abs(image[..., ::-1] - rgb).max() <= 0.51


def test_what_is_submitted_is_refined_when_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = FakeEngine()
    engine = CRFEngine(inner, QUICK)
    first, second = engine.prepare(packed(16, 16)), engine.prepare(packed(16, 16, seed=1))
    begun = [engine.submit(first), engine.submit(second)]
    assert (inner.calls, inner.most_running) == (["submit", "submit"], 2)
    assert not begun[0].done()
    answers = [wait() for wait in begun]
    assert begun[0].done()
    for answer, picture in zip(answers, (first, second), strict=True):
        np.testing.assert_array_equal(answer.scores, engine.infer(picture).scores)


def test_all_else_is_the_engines_that_it_stands_around() -> None:
    inner = FakeEngine()
    engine = CRFEngine(inner, CRF())
    assert (engine.info, engine.parallel, engine.splits) == (inner.info, 2, False)
    assert engine.card.labels == inner.card.labels
    assert engine.network_size((30, 40)) == (30, 40)
    engine.close()
    assert inner.closed


def test_its_name_tells_of_the_crf() -> None:
    assert CRFEngine(FakeEngine(), CRF()).card.name == "fake + CRF"
    assert CRFEngine(FakeEngine(), CRF.parse("pydensecrf")).card.name == "fake + CRF pydensecrf"
    other = CRFEngine(FakeEngine(), CRF(iterations=3)).card.name
    assert other == "fake + CRF gaussian=3:3,bilateral=20:3:5,iterations=3"


def test_a_picture_that_would_take_all_memory_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = FakeEngine()
    monkeypatch.setattr(inner, "prepare", lambda pixels: pytest.fail("it was prepared"))
    blank = np.broadcast_to(np.uint8(0), (8000, 8000, 3))
    with pytest.raises(ValueError, match=r"up to 16 GB of memory, one of 8000x8000 takes \d+ GB"):
        CRFEngine(inner, CRF()).prepare(crf_engine.Packed(pixels=blank))


def test_class_ids_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = FakeEngine()
    one_hot = np.eye(11, dtype=np.float32)[np.zeros((8, 8), int)]
    answer = Logits(scores=one_hot, align_corners=False)
    monkeypatch.setattr(inner, "submit", lambda picture: Begun(lambda: answer))
    engine = CRFEngine(inner, CRF())
    running = engine.submit(engine.prepare(packed(8, 8)))
    with pytest.raises(ModelError, match="drop --crf"):
        running()


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_the_fine_part_is_refined_and_the_deep_part_is_not(opened, tiny, pixels, backend):
    inner = opened(tiny, backend)
    engine = CRFEngine(inner, QUICK)
    assert engine.splits
    picture = engine.prepare(pixels)
    context = engine.context(picture)
    np.testing.assert_array_equal(context, inner.context(picture.network_input))
    whole = np.exp(engine.infer(picture).scores)
    moved = [Moved(features=context)]
    np.testing.assert_allclose(np.exp(engine.refine(picture, moved).scores), whole, atol=1e-2)
    running = engine.submit_refine(picture, [Moved(features=engine.submit_context(picture)())])
    np.testing.assert_allclose(np.exp(running().scores), whole, atol=1e-2)
