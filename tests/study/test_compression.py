from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamseg.compression.compress import Step
from streamseg.labels import CAMVID
from streamseg.models.card import InputSpec, ModelCard
from streamseg.models.registry import build
from streamseg.models.weights import read_card, save_weights
from streamseg.study import compression
from streamseg.study.compression import run
from streamseg.study.compression_plan import PLAN, Compressed, CompressionPlan
from streamseg.study.records import Network, Score, Speed
from streamseg.study.session import StudySession
from streamseg.training.recipe import Recipe

TINY = CompressionPlan(width=0.25, steps=(0.75, 0.5), compared=(0.5,))


@pytest.mark.slow
def test_all_ways_are_trained_and_compared(session: StudySession) -> None:
    found = run(session, TINY)
    networks = [
        (network.way, network.keep, network.width, network.epochs) for network in found.rows
    ]
    assert networks == [
        ("uncompressed", 1.0, 0.25, 1),
        ("progressive", 0.75, 0.1875, 2),
        ("progressive", 0.5, 0.125, 3),
        ("one-shot", 0.5, 0.125, 3),
        ("from scratch", 0.5, 0.125, 3),
    ]
    rows: tuple[Compressed, ...] = found.rows
    sizes = [network.parameters for network in rows]
    assert sizes[0] > sizes[1] > sizes[2] == sizes[3] == sizes[4]
    assert [row.pruned_miou is None for row in rows] == [True, False, False, False, True]
    assert {row.network_size for row in rows} == {(65, 97)}
    assert min(row.milliseconds for row in rows) > 0
    # Equally many epochs in all.
    out = session.out
    one_shot = out / "compression" / "one-shot-0.5" / "keep-0.5" / "icnet-width0.25-0.5.safetensors"
    scratch = out / "networks" / "icnet-scratch-0.5" / "icnet-scratch-0.5.safetensors"
    assert (read_card(one_shot).notes["epochs"], read_card(scratch).notes["epochs"]) == (2, 3)
    assert "from random weights" in read_card(scratch).notes["trained_on"]
    assert [table.right_from for table in found.tables] == [0, 1]


def test_a_given_network_is_not_trained(
    session: StudySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training from scratch still has as many epochs as training and fine-tuning together."""
    model = tmp_path / "mine.safetensors"
    network = build("icnet", len(CAMVID), width=0.25)
    card = ModelCard(
        name="mine", architecture="icnet", labels=CAMVID, input=InputSpec(size=(33, 65)), width=0.25
    )
    save_weights(model, network.state_dict(), card)
    trained, pruned = [], []

    def train_nothing(self: StudySession, name: str, recipe: Recipe) -> Network:
        trained.append((name, recipe.width, recipe.epochs, recipe.input.size))
        return session.given(model)

    def prune_nothing(path: Path, steps: Sequence[Step], *rest: object, **options: object) -> Any:
        pruned.append([(step.keep, step.recipe.epochs) for step in steps])
        scores = {"miou": 0.25}
        return {"steps": [{"keep": s.keep, "weights": str(path), "pruned": scores} for s in steps]}

    def score(self: StudySession, network: Network) -> Score:
        return Score(
            images=3, network_size=(33, 65), backend="torch", precision="fp32", miou=0.5,
            pixel_accuracy=0.5, iou={},
        )  # fmt: skip

    def speeds(self: StudySession, subjects: dict[str, object]) -> dict[str, Speed]:
        one = Speed(
            size=(33, 65), backend="torch", device="cpu", precision="fp32", gflop=1.0,
            milliseconds=2.0, date="", load_average=None,
        )  # fmt: skip
        return dict.fromkeys(subjects, one)

    for name, stand_in in (("network", train_nothing), ("score", score), ("speeds", speeds)):
        monkeypatch.setattr(StudySession, name, stand_in)
    monkeypatch.setattr(compression, "compress", prune_nothing)
    session.model, session.epochs, session.tuning_epochs = model, 10, 2
    found = run(session, TINY)
    assert trained == [("icnet-scratch-0.5", 0.125, 14, (33, 65))]
    assert pruned == [[(0.75, 2), (0.5, 2)], [(0.5, 4)]]
    assert [row.epochs for row in found.rows] == [0, 2, 4, 4, 14]
    assert [row.pruned_miou for row in found.rows] == [None, *[0.25] * 3, None]


def test_fine_tuning_is_as_long_as_the_schedule_says(session: StudySession) -> None:
    assert session.tuning_epochs_of(PLAN.tuning) == 1
    session.schedule = replace(session.schedule, reduced=None)
    assert session.tuning_epochs_of(PLAN.tuning) == 40


def test_the_plan_compares_shares_that_it_prunes_to() -> None:
    for plan in (PLAN, TINY):
        assert set(plan.compared) <= set(plan.steps)
        assert list(plan.steps) == sorted(plan.steps, reverse=True)
