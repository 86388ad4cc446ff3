"""DeconvNet's two stages: batches of objects, what is minimised, and whole runs, at a size that a test can pay."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from camvid_writer import UNLABELLED, street, write_camvid
from safetensors.torch import load_file
from torch import Tensor
from voc_writer import write_voc

from streamseg.datasets import LabelledImages, open_dataset
from streamseg.datasets.augment import View
from streamseg.datasets.centroids import Uniform
from streamseg.datasets.mix import Mix
from streamseg.datasets.objects import Objects
from streamseg.datasets.paste import Paste
from streamseg.errors import DataError
from streamseg.labels import IGNORE
from streamseg.models.deconvnet import DeconvNetLogits
from streamseg.models.find import find_model
from streamseg.models.weights import load_model, read_card
from streamseg.training.batches import Batches
from streamseg.training.losses import soft_jaccard
from streamseg.training.objective import Objective
from streamseg.training.recipe import Recipe
from streamseg.training.recipes import find_recipe
from streamseg.training.stage import Stage
from streamseg.training.trainer import TrainingPaths, train

CENTRED = Objects(kind="centred", least_side=8)
PROPOSALS = Objects(kind="proposals", extend=1.0, least_side=8)
VIEW = View(crop=(32, 48), color=0.3)


def stage(objects: Objects = CENTRED, **changes: Any) -> Stage:
    values: dict[str, Any] = {"epochs": 1, "batch": 2, "view": VIEW, "learning_rate": 0.01}
    return Stage(**{**values, "objects": objects, **changes})


@pytest.fixture
def dataset(tmp_path: Path) -> LabelledImages:
    """Four streets, and one image without labels."""
    samples = [street(seed) for seed in range(5)]
    samples[2][1][:] = UNLABELLED
    write_camvid(tmp_path / "data", "train", samples)
    return open_dataset(tmp_path / "data", "train")


@pytest.fixture
def voc(tmp_path: Path) -> LabelledImages:
    write_voc(tmp_path / "voc", "train", ["a", "b"])
    return open_dataset(tmp_path / "voc", "train")


def test_an_epoch_is_one_view_of_each_image_with_objects(dataset: LabelledImages) -> None:
    batches = Batches(dataset, 0)
    assert batches.per_epoch(stage()) == 2
    assert batches.per_epoch(stage(batch=4)) == 1
    assert batches.per_epoch(replace(stage(), objects=None)) == 2
    picked = [pick for chosen in batches._chosen(stage(), 3) for pick in chosen]
    assert sorted(picked) == [
        (0,),
        (1,),
        (3,),
        (4,),
    ]  # the list is in reverse: 2 is the image without labels


@pytest.mark.parametrize("objects", [CENTRED, PROPOSALS])
def test_views_depend_on_seed_epoch_and_image_alone(
    dataset: LabelledImages, objects: Objects
) -> None:
    whole = list(Batches(dataset, 3).epoch(stage(objects), 5))
    (tail,) = Batches(dataset, 3).epoch(stage(objects), 5, start=1)
    (other, _) = Batches(dataset, 3).epoch(stage(objects), 6)
    assert torch.equal(whole[1][0], tail[0]) and torch.equal(whole[1][1], tail[1])
    assert not torch.equal(whole[0][0], other[0])
    assert whole[0][0].shape == (2, 3, 32, 48)


def test_without_a_class_for_background_it_is_one_more(
    dataset: LabelledImages, voc: LabelledImages
) -> None:
    batches, of_voc = Batches(dataset, 0), Batches(voc, 0)
    assert batches.adds_background(stage())
    assert not batches.adds_background(stage(PROPOSALS))
    assert not of_voc.adds_background(stage())
    centred = torch.cat([label for _, label in batches.epoch(stage(), 0)])
    assert 11 in centred
    proposals = torch.cat([label for _, label in batches.epoch(stage(PROPOSALS), 0)])
    assert set(proposals.unique().tolist()) <= {0, 2, 3, 8, IGNORE}
    (_, label) = next(iter(of_voc.epoch(stage(), 0)))
    assert {0} < set(label.unique().tolist()) <= {0, 12, 15, IGNORE}


def test_data_without_objects_is_refused(dataset: LabelledImages) -> None:
    huge = replace(CENTRED, least_side=65)
    with pytest.raises(
        DataError,
        match="objects of at least 100 pixels and 65 from side to side in camvid train to",
    ):
        Batches(dataset, 0).per_epoch(stage(huge))


def test_a_damaged_map_of_objects_is_said(voc: LabelledImages) -> None:
    file = voc.pairs[0][1].parent.with_name("SegmentationObject") / "a.png"
    file.write_bytes(b"")
    with pytest.raises(DataError, match=r"SegmentationObject/a\.png; it is missing or damaged"):
        Batches(voc, 0).per_epoch(stage())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"paste": Paste()}, "without paste, mix, uniform, extra_share, got paste"),
        ({"mix": Mix(), "uniform": Uniform()}, "got mix, uniform"),
        ({"extra_share": 0.5}, "got extra_share"),
        ({"view": replace(VIEW, scale=(1.0, 2.0))}, "crop, flip, color and conditions alone"),
        ({"view": replace(VIEW, rare_class_share=0.5)}, "crop, flip, color and conditions alone"),
    ],
)
def test_what_objects_know_nothing_of_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stage(**changes)


def tiny(**changes: Any) -> Recipe:
    """The recipe at a 64th of the width, with one epoch of each stage of objects."""
    whole = find_recipe("deconvnet-camvid", width=1 / 64)
    stages = tuple(
        replace(one, epochs=1, batch=2, warmup_steps=1, objects=objects)
        for one, objects in zip(whole.stages[-2:], (CENTRED, PROPOSALS), strict=True)
    )
    values: dict[str, Any] = {"shards": 1, "reestimate": 2, "ema_decay": 0.5, "score_every": 1}
    return replace(whole, stages=stages, **{**values, **changes})


def logits() -> DeconvNetLogits:
    generator = torch.Generator().manual_seed(0)
    answer = torch.randn(2, 3, 8, 8, generator=generator, requires_grad=True)
    return DeconvNetLogits(answer, torch.randn(2, 1, 8, 8, generator=generator, requires_grad=True))


def label(classes: int) -> Tensor:
    drawn = torch.randint(0, classes, (2, 8, 8), generator=torch.Generator().manual_seed(1))
    drawn[:, 0] = IGNORE
    return drawn


def loss(given: Any, truth: Tensor, *, background: bool, weights: Tensor | None = None) -> Tensor:
    return Objective(tiny(), None).loss(
        given, torch.zeros(2, 3, 8, 8, dtype=torch.uint8), truth,
        class_weights_C=weights, label_stride=None, background=background,
    )  # fmt: skip


def test_background_is_learnt_as_one_class_more() -> None:
    given, truth = logits(), label(4)
    all_four = torch.cat([given.answer, given.background], 1)
    expected = F.cross_entropy(all_four, truth, ignore_index=IGNORE)
    expected = expected + 0.5 * soft_jaccard(all_four, truth)
    torch.testing.assert_close(loss(given, truth, background=True), expected)
    weights = torch.tensor([1.0, 2.0, 0.5])
    weighted = F.cross_entropy(
        all_four, truth, torch.tensor([1.0, 2.0, 0.5, 1.0]), ignore_index=IGNORE
    )
    torch.testing.assert_close(
        loss(given, truth, background=True, weights=weights),
        weighted + 0.5 * soft_jaccard(all_four, truth),
    )


def test_without_background_its_logit_counts_for_nothing() -> None:
    given, truth = logits(), label(3)
    found = loss(given, truth, background=False)
    torch.testing.assert_close(found, loss(given.answer, truth, background=False))
    found.backward()  # type: ignore[no-untyped-call]
    assert given.background.grad is None
    assert given.answer.grad is not None and given.answer.grad.any()


def test_a_network_without_that_logit_cannot_learn_single_objects() -> None:
    with pytest.raises(
        ValueError, match=r"expected a network with a logit of background \(deconvnet\)"
    ):
        loss(logits().answer, label(4), background=True)


def test_recipes_end_with_the_papers_two_stages() -> None:
    recipe = find_recipe("deconvnet-camvid")
    pieces, *of_objects = recipe.stages
    first, second = (one.objects for one in of_objects)
    assert pieces.objects is None and all(side % 32 == 0 for side in pieces.view.crop)
    assert first is not None and second is not None
    assert (first.kind, first.extend, second.kind, second.overlap) == (
        "centred",
        1.2,
        "proposals",
        0.5,
    )
    for one in of_objects:
        assert one.view.crop == recipe.input.size == (224, 224)
        assert one.objects is not None and round(224 * one.objects.enlarge) == 250
    assert recipe.input.fixed
    fcn = find_recipe("fcn8s-camvid")
    assert (fcn.width, fcn.jaccard_weight) == (recipe.width, recipe.jaccard_weight)


class Interrupted(Exception):
    """What a test's report raises to end a run."""


def stop_at(epoch: int, step: int) -> Callable[[dict[str, Any]], None]:
    def report(event: dict[str, Any]) -> None:
        if (event["epoch"], event.get("step")) == (epoch, step):
            raise Interrupted

    return report


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_two_stages_are_trained_and_a_resumed_run_is_the_same_to_the_bit(
    dataset: LabelledImages, tmp_path: Path
) -> None:
    recipe, scored = tiny(), replace(dataset, pairs=dataset.pairs[:1])
    whole, parts = (TrainingPaths(folder=tmp_path / name) for name in ("whole", "parts"))
    weights = train(recipe, dataset, scored, whole.folder, bf16=False)
    for epoch in (0, 1):
        with pytest.raises(Interrupted):
            train(recipe, dataset, scored, parts.folder, bf16=False, report=stop_at(epoch, 1))
        torch.manual_seed(99)
    train(recipe, dataset, scored, parts.folder, bf16=False)
    expected, got = load_file(whole.checkpoint), load_file(parts.checkpoint)
    assert expected.keys() == got.keys()
    assert all(torch.equal(tensor, got[name]) for name, tensor in expected.items())

    card = read_card(weights)
    assert (card.architecture, card.width, card.input.fixed) == ("deconvnet", 1 / 64, True)
    assert (
        "windows resized to 224x224, all over the picture, not proposals"
        in card.notes["scored_how"]
    )
    assert card.notes["weights"].endswith("statistics of batch norm over 2 batches")
    assert {name.split(".")[0] for name in load_file(weights) if name.startswith("aux")} == {
        "aux_background"
    }
    network = load_model(find_model(weights))
    assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 11, 224, 224)
    again = train(
        recipe, dataset, scored, whole.folder, bf16=False
    )  # finished: nothing is estimated twice
    assert all(
        torch.equal(tensor, expected[name]) for name, tensor in load_file(whole.checkpoint).items()
    )
    assert again == weights


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_averages_statistics_are_found_anew_after_the_last_epoch(
    dataset: LabelledImages, tmp_path: Path
) -> None:
    plain, anew = (
        load_file(train(tiny(reestimate=passes), dataset, None, tmp_path / str(passes), bf16=False))
        for passes in (0, 2)
    )
    differ = {name for name, tensor in plain.items() if not torch.equal(tensor, anew[name])}
    assert differ and all("running_" in name for name in differ)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_voc_is_learnt_with_its_own_background(voc: LabelledImages, tmp_path: Path) -> None:
    losses: list[float] = []
    weights = train(
        tiny(), voc, None, tmp_path / "out", bf16=False,
        report=lambda event: losses.append(event["loss"]) if "step" in event else None,
    )  # fmt: skip
    assert len(losses) == 2 and np.isfinite(losses).all()
    assert read_card(weights).labels.class_names == voc.labels.class_names
