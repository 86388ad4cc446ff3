"""Ensembles: arithmetic by hand, answers on different grids, and what a report says."""

import re

import numpy as np
import pytest
import torch
from fakes import Begun, FakeEngine, label_of_luma, luma_of
from model_files import write_model
from pictures import packed
from proposal_models import OBJECTS, write_deconvnet

from streamseg.engine.engine import EngineInfo
from streamseg.engine.ensemble_engine import (
    EnsembleEngine,
    interpolated,
    open_ensemble,
    softmax,
    together,
)
from streamseg.engine.proposal_engine import ProposalEngine
from streamseg.errors import ModelError
from streamseg.frames import Logits
from streamseg.models.find import find_model
from streamseg.proposals.choice import Proposals


def logits(*values: tuple[float, ...], align_corners: bool = False) -> Logits:
    """One row of pixels, each with its classes' scores."""
    return Logits(scores=np.array([values], np.float32), align_corners=align_corners)


def test_the_mean_is_that_of_probabilities():
    one, other = logits((0.0, np.log(3.0))), logits((np.log(9.0), 0.0))  # (1/4, 3/4), (9/10, 1/10)
    found = together([one, other], (1, 1), "mean").scores
    np.testing.assert_allclose(np.exp(found), [[[0.575, 0.425]]], rtol=1e-6)
    np.testing.assert_allclose(softmax(found), np.exp(found), rtol=1e-6)


def test_the_product_is_that_of_scores_above_0():
    one, other = logits((2.0, -1.0, 3.0)), logits((4.0, -5.0, 0.5))
    found = together([one, other], (1, 1), "product").scores
    np.testing.assert_array_equal(found, [[[8.0, 0.0, 1.5]]])
    third = together([one, other, logits((0.5, 7.0, -2.0))], (1, 1), "product").scores
    np.testing.assert_array_equal(third, [[[4.0, 0.0, 0.0]]])


def test_the_mean_may_overrule_both_and_the_product_a_loud_one():
    """A network that is sure of nothing counts little in the mean, and much in the product."""
    sure, unsure = logits((9.0, 0.0, 0.1)), logits((0.0, 0.2, 0.1))
    assert together([sure, unsure], (1, 1), "mean").scores.argmax(2) == 0
    assert together([sure, unsure], (1, 1), "product").scores.argmax(2) == 2


def test_impossible_classes_stay_finite():
    found = together([logits((900.0, 0.0))] * 2, (1, 1), "mean").scores
    assert np.isfinite(found).all()
    assert found[0, 0, 1] < -80


def test_answers_of_one_grid_are_left_on_it():
    generator = np.random.default_rng(0)
    answers = [
        Logits(scores=generator.normal(size=(5, 7, 3)).astype(np.float32), align_corners=True)
        for _ in range(2)
    ]
    found = together(answers, (40, 56), "mean")
    assert (found.scores.shape, found.align_corners) == ((5, 7, 3), True)


@pytest.mark.parametrize("align_corners", [False, True])
def test_other_grids_are_interpolated_to_the_picture_as_torch_does(align_corners):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, 3, 6, 9, generator=generator)
    expected = torch.nn.functional.interpolate(
        coarse, (24, 35), mode="bilinear", align_corners=align_corners
    )[0].permute(1, 2, 0)
    one = Logits(
        scores=coarse[0].permute(1, 2, 0).contiguous().numpy(), align_corners=align_corners
    )
    np.testing.assert_allclose(
        interpolated(one, (24, 35), (24, 35)), expected.numpy(), rtol=0, atol=1e-5
    )
    full = Logits(scores=np.zeros((24, 35, 3), np.float32), align_corners=False)
    found = together([one, full], (24, 35), "mean")
    assert (found.scores.shape, found.align_corners) == ((24, 35, 3), False)
    mean = (softmax(expected.numpy()) + 1 / 3) / 2
    np.testing.assert_allclose(np.exp(found.scores), mean, atol=1e-5)


def test_a_smaller_target_lies_between_the_pictures_pixels():
    """Two pixels for four: their centres are the middles of pairs, whatever the corners are of the nodes."""
    four = Logits(scores=np.array([[[0.0], [1], [2], [3]]], np.float32), align_corners=True)
    assert interpolated(four, (1, 4), (1, 2))[0, :, 0].tolist() == [0.5, 2.5]
    two = Logits(scores=np.array([[[0.0], [3]]], np.float32), align_corners=True)
    assert interpolated(two, (1, 4), (1, 2))[0, :, 0].tolist() == [0.5, 2.5]
    single = Logits(scores=np.ones((1, 1, 1), np.float32), align_corners=False)
    assert interpolated(single, (3, 4), (2, 2))[..., 0].tolist() == [[1, 1], [1, 1]]


class Named(FakeEngine):
    """A fake of another name, backend and number of pictures at a time."""

    def __init__(self, name: str, backend: str = "torch", parallel: int = 2) -> None:
        super().__init__()
        self.card = type(self.card)(
            name=name, architecture="fake", labels=self.card.labels, input=self.card.input
        )
        self.info = EngineInfo(
            backend=backend, device="cpu", precision="fp32", fallbacks=(f"of {name}", "of both")
        )  # type: ignore[arg-type]
        self.parallel = parallel


def test_the_report_tells_of_all_members():
    ensemble = EnsembleEngine([Named("a"), Named("b", "openvino", 1)], "product")
    assert ensemble.card.name == "a + b by product"
    assert (ensemble.info.backend, ensemble.parallel, ensemble.splits) == ("torch", 1, False)
    assert ensemble.info.fallbacks == (
        "of a", "of both",
        "one way for the ensemble, openvino fp32 on cpu used by b, its own best",
        "of b",
    )  # fmt: skip
    assert ensemble.network_size((48, 64)) == (48, 64)


@pytest.mark.parametrize("by", ["mean", "product"])
def test_a_network_with_itself_answers_as_it_does_alone(by):
    picture = packed(48, 64)
    ensemble = EnsembleEngine([FakeEngine(), FakeEngine()], by)
    found = ensemble.infer(ensemble.prepare(picture)).scores
    submitted = ensemble.submit(ensemble.prepare(picture))
    assert not submitted.done()
    np.testing.assert_array_equal(submitted().scores, found)
    assert submitted.done()
    if by == "mean":  # the fake's best score is 0, which no product tells from others
        np.testing.assert_array_equal(found.argmax(2), label_of_luma(luma_of(picture)))


def test_members_run_side_by_side_and_a_failure_waits_for_the_others():
    failing, other = FakeEngine(), FakeEngine()

    def fail(network_input):
        def wait():
            raise ModelError("at this size it does not run")

        return Begun(wait)

    failing.submit = fail  # type: ignore[method-assign]
    ensemble = EnsembleEngine([failing, other])
    begun = ensemble.submit(ensemble.prepare(packed(8, 8)))
    assert other.running == 1
    with pytest.raises(ModelError, match="at this size"):
        begun()
    assert other.running == 0


def test_all_members_are_closed():
    members = [FakeEngine(), FakeEngine()]
    EnsembleEngine(members).close()
    assert all(member.closed for member in members)


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    return find_model(write_deconvnet(tmp_path_factory.mktemp("models") / "street.safetensors"))


@pytest.mark.slow
def test_a_network_of_proposals_answers_with_one_of_whole_pictures(street, tiny):
    seen = []
    choice = Proposals(source="windows", count=2)
    engine = open_ensemble(
        [street, tiny], device="cpu", precision="fp32", size=(97, 129), proposals=choice,
        progress=lambda done, total: seen.append(done),
    )  # fmt: skip
    scores = engine.infer(engine.prepare(packed(60, 80))).scores
    assert scores.shape == (60, 80, 11)
    np.testing.assert_allclose(np.exp(scores).sum(2), 1, rtol=1e-4)
    assert seen == [0, 2]
    assert engine.card.name == "street + tiny by mean"
    assert engine.network_size((60, 80)) == (224, 224)
    engine.close()


def test_a_single_one_is_opened_as_it_is(street):
    assert isinstance(open_ensemble([street], device="cpu"), ProposalEngine)


def test_what_cannot_be_is_said_before_anything_is_loaded(street, tiny, tmp_path):
    objects = find_model(write_deconvnet(tmp_path / "objects.safetensors", OBJECTS))
    line = "expected an ensemble of networks with the same classes (sky, building"
    with pytest.raises(ModelError, match=re.escape(line) + ".*objects has background, cat, dog"):
        open_ensemble([street, objects], device="cpu")
    with pytest.raises(ModelError, match="drop --proposals, --aggregate and --edge-model"):
        open_ensemble([tiny, tiny], device="cpu", proposals=Proposals())
    with pytest.raises(ValueError, match="unknown --ensemble-by 'vote'; known: mean, product"):
        open_ensemble([street, tiny], "vote", device="cpu")


def test_members_are_closed_if_another_cannot_be_opened(street, tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(ProposalEngine, "close", lambda self: closed.append(self.card.name))
    other = find_model(write_model(tmp_path / "other.safetensors"))
    other.path.unlink()
    with pytest.raises(ModelError):
        open_ensemble([street, other], device="cpu", backend="torch")
    assert closed == ["street"]
