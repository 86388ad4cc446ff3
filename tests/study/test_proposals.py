"""The study of the number of proposals: one pass gives what separate runs would."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from camvid_writer import street, write_camvid
from model_files import write_model
from proposal_models import write_deconvnet

from streamseg.datasets import open_dataset
from streamseg.engine.choose import open_engine
from streamseg.engine.proposal_engine import ProposalEngine
from streamseg.errors import ModelError
from streamseg.evaluation.evaluate import evaluate
from streamseg.models.card import ModelFile
from streamseg.models.find import find_model
from streamseg.picture.pixels import Packed
from streamseg.proposals.choice import How, Proposals
from streamseg.segmenter import load
from streamseg.study import proposals as module
from streamseg.study.proposals import growing, proposal_curves
from streamseg.study.session import StudySession, spread
from streamseg.study.studies import run_study


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return find_model(write_deconvnet(tmp_path_factory.mktemp("model") / "deconvnet.safetensors"))


def opened(model: ModelFile, count: int) -> ProposalEngine:
    choice = Proposals(source="windows", count=count)
    engine = open_engine(model, device="cpu", precision="fp32", proposals=choice)
    assert isinstance(engine, ProposalEngine)
    return engine


@pytest.mark.slow
@pytest.mark.parametrize("how", ["max", "sum"])
def test_one_pass_scores_as_separate_runs_do(model: ModelFile, tmp_path: Path, how: How) -> None:
    # Labels of all classes: what random weights choose is right now and then.
    labels = np.random.default_rng(0).integers(0, 11, (48, 64)).astype(np.uint8)
    write_camvid(tmp_path, "val", [(street(0)[0], labels)])
    images = open_dataset(tmp_path, "val")
    told: list[tuple[int, int]] = []
    curve = proposal_curves(
        opened(model, 4), images, (1, 4), (how,), progress=lambda *at: told.append(at)
    )[how]
    assert (curve.source, curve.aggregate, curve.counts, curve.looks) == (
        "windows", how, (1, 4), (1.0, 4.0),
    )  # fmt: skip
    assert told == [(1, 1)]
    for count, miou, accuracy in zip((1, 4), curve.miou, curve.pixel_accuracy, strict=True):
        asked = {"proposals": f"windows:{count}", "aggregate": how, "precision": "fp32"}
        with load(model.path, device="cpu", **asked) as segmenter:  # type: ignore[arg-type]
            alone = evaluate(segmenter, images)
        assert (miou, accuracy) == (alone["miou"], alone["pixel_accuracy"])
    assert curve.miou[0] != curve.miou[1]


def test_where_there_are_fewer_the_last_answer_stays(model: ModelFile) -> None:
    """A picture of 17x20 has few windows."""
    engine = opened(model, 50)
    picture = Packed(pixels=np.random.default_rng(0).integers(0, 256, (17, 20, 3), np.uint8))
    found = list(growing(engine, picture, (1, 20, 50), ("max",)))
    there_are = found[1][1]
    assert [(count, looks) for count, looks, _ in found] == [
        (1, 1), (20, there_are), (50, there_are),
    ]  # fmt: skip
    assert 1 < there_are < 20
    np.testing.assert_array_equal(found[1][2]["max"], found[2][2]["max"])
    assert found[0][2]["max"].shape == (17, 20)


@pytest.mark.slow
def test_the_study_writes_table_plot_and_pictures(
    session: StudySession, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COUNTS", (1, 3))
    monkeypatch.setattr(module, "has_edge_boxes", lambda: False)
    session.model = model.path
    result = run_study("proposals", session, "streamseg study proposals")
    assert [row.name for row in result.rows] == ["windows, max", "windows, sum"]
    assert all(row.counts == (1, 3) and len(row.miou) == 2 for row in result.rows)
    frames = spread(session.validation, session.schedule.frames)
    layers = [f"proposals/activations_{image.stem}.png" for image, _ in frames.pairs]
    assert result.pictures == ("proposals.png", "proposals/windows.png", *layers)
    for name in result.pictures:
        assert cv2.imread(str(session.out / name)) is not None
    table = (session.out / "proposals.md").read_text()
    assert "| proposals | windows, max | windows, sum |" in table
    assert "This OpenCV has no Edge Boxes" in table
    monkeypatch.setattr(module, "proposal_curves", None)  # measured already: not asked again
    assert run_study("proposals", session, "again").rows == result.rows


def test_a_network_that_looks_at_whole_pictures_is_refused(
    session: StudySession, tmp_path: Path
) -> None:
    for path in (None, write_model(tmp_path / "icnet.safetensors")):
        session.model = path
        with pytest.raises(ModelError, match="expects --model with trained weights of a network"):
            run_study("proposals", session, "streamseg study proposals")
