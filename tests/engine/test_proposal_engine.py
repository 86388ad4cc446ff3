"""The engine of networks that run by proposals, its network replaced by one whose answers can be said by hand."""

import dataclasses
import re
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pictures import noise, packed, planar
from proposal_models import OBJECTS, SPEC, write_deconvnet

from streamseg.engine.choose import open_engine
from streamseg.engine.engine import WORKING_PIXELS, WORKING_SIDE, working_size
from streamseg.engine.proposal_engine import BATCH, ProposalEngine
from streamseg.errors import BackendError, ModelError
from streamseg.frames import Logits
from streamseg.models.card import ModelFile
from streamseg.models.find import find_model
from streamseg.models.weights import load_for_inference
from streamseg.picture.pixels import Packed
from streamseg.proposals.boxes import whole
from streamseg.proposals.choice import Proposals
from streamseg.proposals.crops import crop
from streamseg.proposals.windows import windows

NEUTRAL = np.full((24, 32), 128, np.uint8)
"""A plane of chroma that has no color."""

Opened = Callable[..., ProposalEngine]


@pytest.fixture(scope="module")
def deconvnet(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """Of three classes, the first of them background."""
    path = tmp_path_factory.mktemp("deconvnet") / "objects.safetensors"
    return find_model(write_deconvnet(path, OBJECTS))


@pytest.fixture(scope="module")
def of_camvid(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """Of CamVid's eleven classes, none of them background."""
    return find_model(write_deconvnet(tmp_path_factory.mktemp("camvid") / "street.safetensors"))


@pytest.fixture
def opened_by(deconvnet: ModelFile) -> Opened:
    """An engine on the CPU in fp32."""

    def open_it(
        words: str = "windows:3", aggregate: str = "max", **options: object
    ) -> ProposalEngine:
        options.setdefault("precision", "fp32")
        model = options.pop("model", deconvnet)
        choice = Proposals.parse(words, aggregate=aggregate)
        engine = open_engine(model, device="cpu", proposals=choice, **options)  # type: ignore[arg-type]
        assert isinstance(engine, ProposalEngine)
        return engine

    return open_it


def red(image_BCHW: torch.Tensor) -> torch.Tensor:
    """A network: class 1 scores by what is red, class 2 by what is blue, of BGR minus mean; class 0 has 0."""
    blue, red = image_BCHW[:, :1], image_BCHW[:, 2:]
    return torch.cat([torch.zeros_like(red), red, blue], 1)


def infer(engine: ProposalEngine, pixels: Packed) -> NDArray[np.float32]:
    logits = engine.infer(engine.prepare(pixels))
    assert isinstance(logits, Logits)
    return logits.scores


def test_it_is_chosen_by_the_registry(deconvnet, tiny):
    engine = open_engine(deconvnet, device="cpu")
    assert isinstance(engine, ProposalEngine)
    assert (engine.info.backend, engine.parallel, engine.splits) == ("torch", 1, False)
    assert engine.proposals.count == 50
    assert not isinstance(open_engine(tiny, device="cpu", backend="torch"), ProposalEngine)


@pytest.mark.parametrize("size", [(360, 480), (1080, 1920), (3, 5)])
def test_its_network_has_one_size(opened_by, size):
    assert opened_by().network_size(size) == (224, 224)
    assert opened_by(size="native").network_size(size) == (224, 224)
    with pytest.raises(ValueError, match="runs at 224x224 only, got --size 361x481"):
        opened_by(size=(361, 481))


def test_one_proposal_is_the_network_on_the_squared_picture(opened_by, deconvnet):
    """Padded by the mean above and below, normalised, and the answer resized back: by hand."""
    picture = packed(90, 120)
    engine = opened_by("windows:1")
    square = whole((90, 120)).squared()
    image = crop(picture.pixels, square, (224, 224), SPEC.mean)
    x = torch.from_numpy(image - np.array(SPEC.mean, np.float32)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        scores = load_for_inference(deconvnet)(x)
    expected = torch.nn.functional.interpolate(scores, (120, 120), mode="bilinear")[0, :, 15:105]
    found = infer(engine, picture)
    assert (found.dtype, found.shape) == (np.float32, (90, 120, 3))
    np.testing.assert_allclose(
        found, expected.clamp_min(0).permute(1, 2, 0).numpy(), atol=1e-4 * float(scores.abs().max())
    )


@pytest.mark.parametrize("aggregate", ["max", "sum"])
def test_several_proposals_by_hand(opened_by, aggregate):
    picture = packed(48, 64)
    engine = opened_by("windows:4", aggregate)
    engine._network = red
    expected = np.zeros((48, 64, 3), np.float32)
    pixels = picture.pixels.astype(np.float32)
    for box in windows((48, 64), 4):
        square = box.squared()
        small = crop(pixels, square, (224, 224), SPEC.mean) - np.array(SPEC.mean, np.float32)
        back = cv2.resize(small, (square.width, square.height), interpolation=cv2.INTER_LINEAR)
        seen = back[box.top - square.top :, box.left - square.left :][: box.height, : box.width]
        scores = np.stack([np.zeros_like(seen[..., 0]), seen[..., 2], seen[..., 0]], -1)
        place = expected[box.top : box.bottom, box.left : box.right]
        place[:] = np.maximum(place, scores) if aggregate == "max" else place + scores
    np.testing.assert_allclose(infer(engine, picture), expected, atol=0.05)


def test_where_no_proposal_looks_it_is_background(opened_by, monkeypatch):
    engine = opened_by("windows:3")
    engine._network = red
    monkeypatch.setattr(engine, "_proposer", Looking([windows((48, 64), 9)[5]]))
    image = np.full((48, 64, 3), (0, 0, 255), np.uint8)
    box = windows((48, 64), 9)[5]
    labels = infer(engine, Packed(pixels=image)).argmax(2)
    expected = np.zeros((48, 64), np.int64)
    expected[box.top : box.bottom, box.left : box.right] = 1
    np.testing.assert_array_equal(labels, expected)


class Looking:
    """A proposer that always says the same."""

    follows = False
    notes = ()
    choice = Proposals(source="windows")

    def __init__(self, boxes: list) -> None:
        self.boxes = boxes

    def __call__(self, picture_HWC: NDArray[np.float32]) -> list:
        return self.boxes


def test_without_background_every_pixel_has_the_best_of_its_scores(opened_by, of_camvid):
    """All scores below 0: with zeros in the maximum the first class, sky, would be everywhere."""
    engine = opened_by("windows:5", model=of_camvid)

    def eleven(image_BCHW: torch.Tensor) -> torch.Tensor:
        scores = torch.full((len(image_BCHW), 11, 224, 224), -5.0)
        scores[:, 4] = -1.0
        return scores

    engine._network = eleven
    scores = infer(engine, packed(48, 64))
    assert (scores.argmax(2) == 4).all()
    np.testing.assert_allclose(scores[..., 4], -1.0, rtol=1e-6)


@pytest.mark.parametrize("count", [1, BATCH, BATCH + 1])
def test_progress_rises_batch_by_batch(opened_by, count):
    told: list[tuple[int, int]] = []
    engine = opened_by(f"windows:{count}", progress=lambda done, total: told.append((done, total)))
    sizes: list[int] = []

    def network(image_BCHW: torch.Tensor) -> torch.Tensor:
        sizes.append(len(image_BCHW))
        return image_BCHW

    engine._network = network
    infer(engine, packed(48, 64))
    steps = [0, *range(BATCH, count, BATCH), count]
    assert told == [(done, count) for done in steps]
    assert sizes == list(np.diff(steps))


def test_fewer_of_larger_proposals_pass_together(opened_by, deconvnet):
    spec = dataclasses.replace(SPEC, size=(448, 448))
    card = dataclasses.replace(deconvnet.card, input=spec)
    sizes: list[torch.Size] = []
    engine = opened_by("windows:3", model=dataclasses.replace(deconvnet, card=card))
    engine._network = lambda image: sizes.append(image.shape) or image
    infer(engine, packed(48, 64))
    assert sizes == [(2, 3, 448, 448), (1, 3, 448, 448)]


def test_pictures_of_all_kinds_are_seen_alike(opened_by):
    """RGB as BGR; planes by their own matrix, which an engine of whole pictures would use, too."""
    engine = opened_by("windows:3")
    image = noise(48, 64)
    bgr = infer(engine, Packed(pixels=image))
    rgb = infer(engine, Packed(pixels=np.ascontiguousarray(image[..., ::-1]), order="rgb24"))
    np.testing.assert_array_equal(bgr, rgb)
    gray = dataclasses.replace(planar(48, 64, full_range=True), **dict.fromkeys("uv", NEUTRAL))
    np.testing.assert_allclose(
        engine.prepare(gray), np.repeat(gray.y[..., None], 3, 2).astype(np.float32), atol=1e-4
    )
    image.flags.writeable = False
    np.testing.assert_array_equal(infer(engine, Packed(pixels=image)), bgr)


def test_proposers_see_red_green_blue(opened_by, monkeypatch):
    engine = opened_by()
    shown = []
    look = Looking([whole((8, 9))])
    monkeypatch.setattr(engine, "_proposer", lambda picture: shown.append(picture) or look.boxes)
    image = np.zeros((8, 9, 3), np.uint8)
    image[..., 2] = 200
    next(engine.scored(engine.prepare(Packed(pixels=image))))
    assert shown[0][0, 0].tolist() == [200, 0, 0]


def test_large_pictures_are_answered_at_a_working_size(opened_by, monkeypatch):
    monkeypatch.setattr("streamseg.engine.engine.WORKING_PIXELS", 48 * 64)
    engine = opened_by("windows:2")
    assert infer(engine, packed(96, 128)).shape == (48, 64, 3)
    assert infer(engine, packed(48, 64)).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((360, 480), (360, 480)),
        ((768, 1024), (768, 1024)),
        ((1080, 1920), (665, 1182)),
        ((100, 5120), (25, 1280)),
        ((1, 100_000), (1, 1280)),
    ],
)
def test_working_sizes_are_bounded(size, expected):
    assert working_size(size) == expected
    assert expected[0] * expected[1] <= WORKING_PIXELS
    assert max(expected) <= WORKING_SIDE


def test_logits_outlive_the_next_picture_and_submitted_ones_are_those_inferred(opened_by):
    engine = opened_by("windows:2")
    first = infer(engine, packed(20, 30, seed=1))
    kept = first.copy()
    second = engine.submit(engine.prepare(packed(20, 30, seed=2)))().scores
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(second, infer(engine, packed(20, 30, seed=2)))


def test_what_was_seen_is_where_it_looks_next(opened_by):
    engine = opened_by("previous:9")
    engine._network = red
    image = np.full((60, 80, 3), (100, 100, 20), np.uint8)
    image[20:40, 30:50] = (20, 100, 250)
    picture = engine.prepare(Packed(pixels=image))
    first = [square for square, _ in engine.scored(picture)]
    assert first == [box.squared() for box in windows((60, 80), 9)]
    engine.infer(picture)
    (whole_picture, around) = [square for square, _ in engine.scored(picture)]
    assert whole_picture == whole((60, 80)).squared()
    for side, expected in zip(dataclasses.astuple(around), (28, 18, 52, 42), strict=True):
        assert abs(side - expected) <= 1  # what is resized may lose a pixel at its outline
    assert "windows used" in engine.info.fallbacks[-1]


def test_bf16_goes_in_and_float32_comes_out(opened_by):
    picture = packed(60, 80)
    rounded = opened_by("windows:2", precision="bf16")
    if rounded.info.fallbacks:
        pytest.skip(rounded.info.fallbacks[0])
    taken: list[torch.dtype] = []
    rounded._network = lambda image: taken.append(image.dtype) or red(image)
    found = infer(rounded, picture)
    assert taken == [torch.bfloat16]
    exact = opened_by("windows:2")
    exact._network = red
    difference = np.abs(found - infer(exact, picture)).max()
    assert found.dtype == np.float32
    assert 0 < difference <= 152 * 2**-8  # eight bits of at most 255 - 104


def test_what_it_cannot_do_is_refused(opened_by, tiny, deconvnet):
    for options, came in (
        ({"backend": "openvino"}, "--backend openvino"),
        ({"precision": "int8"}, "--precision int8"),
    ):
        line = f"objects runs by proposals, on torch only, got {came}; drop it"
        with pytest.raises(BackendError, match=re.escape(line)):
            opened_by(**options)
    with pytest.raises(ModelError, match="such as deconvnet, and tiny is icnet; drop --proposals"):
        open_engine(tiny, device="cpu", proposals=Proposals())
    loose = dataclasses.replace(SPEC, fixed=False)
    card = dataclasses.replace(deconvnet.card, input=loose)
    with pytest.raises(ModelError, match='expected "fixed": true in the input of objects'):
        open_engine(dataclasses.replace(deconvnet, card=card), device="cpu")
    engine = opened_by()
    for ask in (engine.context, engine.submit_context):
        with pytest.raises(ValueError, match="runs as a whole"):
            ask(None)
    for ask in (engine.refine, engine.submit_refine):
        with pytest.raises(ValueError, match="runs as a whole"):
            ask(None, [])


def test_edges_that_are_not_there_are_one_line(opened_by, monkeypatch):
    monkeypatch.delattr(cv2, "ximgproc", raising=False)
    with pytest.raises(BackendError, match="edge boxes need"):
        opened_by("edges:5")


def test_close_is_idempotent_and_final(opened_by):
    engine = opened_by("windows:1")
    ready = engine.prepare(packed(20, 30))
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="open engine; this one is closed"):
        engine.infer(ready)


@pytest.mark.needs_cuda
def test_cuda_agrees_with_the_cpu(deconvnet, opened_by):
    cpu = opened_by("windows:9")
    gpu = open_engine(
        deconvnet, device="cuda", precision="fp32", proposals=Proposals(source="windows", count=9)
    )
    expected = infer(cpu, packed(90, 122))
    result = infer(gpu, packed(90, 122))
    assert np.abs(result - expected).mean() / expected.std() < 1e-4
