"""The teacher's recipes, at a size that a test can pay."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from camvid_writer import street, write_camvid

from streamseg.datasets import LabelledImages, open_dataset
from streamseg.evaluation.reference import label_image
from streamseg.models.find import find_model
from streamseg.models.scales import Scales
from streamseg.models.weights import load_model
from streamseg.training.recipe import Recipe
from streamseg.training.recipes import find_recipe
from streamseg.training.rmi import RegionMutualInformation
from streamseg.training.trainer import TrainingPaths, train

NAMES = ["hrnet-ocr-camvid", "hrnet-ocr-ms-camvid"]
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.fixture
def dataset(tmp_path: Path) -> LabelledImages:
    write_camvid(tmp_path / "data", "train", [street(seed) for seed in range(4)])
    return open_dataset(tmp_path / "data", "train")


def small(name: str, **changes: object) -> Recipe:
    recipe = find_recipe(name, width=1 / 48)
    (stage,) = recipe.stages
    stage = replace(
        stage, epochs=2, batch=2, warmup_steps=0, view=replace(stage.view, crop=(64, 96))
    )
    spec = replace(recipe.input, size=(64, 96))
    return replace(recipe, stages=(stage,), input=spec, ema_decay=0.5, **changes)


@pytest.mark.parametrize("name", NAMES)
def test_recipes_follow_the_paper(name: str) -> None:
    recipe = find_recipe(name)
    assert (recipe.region, recipe.branch_weights) == (RegionMutualInformation(), (1.0, 0.4))
    assert (recipe.scale_weight, recipe.scales) == (0.0, None)
    assert [stage.power for stage in recipe.stages] == [2.0]
    assert all(stage.view.conditions.blur > 0 for stage in recipe.stages)
    assert not recipe.input.align_corners


@pytest.mark.parametrize("name", NAMES)
def test_a_run_learns_and_its_weights_label_a_picture(
    name: str, dataset: LabelledImages, tmp_path: Path
) -> None:
    losses: list[float] = []
    weights = train(
        small(name), dataset, dataset, tmp_path, bf16=False,
        report=lambda event: losses.append(event["loss"]) if "step" in event else None,
    )  # fmt: skip
    assert len(losses) == 4 and np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    card = find_model(weights).card
    assert card.scales == (Scales() if "-ms-" in name else None)
    assert card.width == 1 / 48
    assert card.notes["miou_while_training"] is not None
    how = "scales attention:0.5,1" if "-ms-" in name else "one scale, no flip"
    assert card.notes["scored_how"].endswith(f"; {how}")
    image, _ = dataset.load(0)
    labels = label_image(load_model(find_model(weights)), image, card.input)
    assert labels.shape == image.shape[:2]


def test_chosen_scales_train_and_are_on_the_card(dataset: LabelledImages, tmp_path: Path) -> None:
    scales = Scales(values=(0.5, 1.0, 2.0), combine="explicit")
    recipe = small("hrnet-ocr-ms-camvid", scales=scales, scale_weight=0.05, architecture="icnet-ms")
    recipe = replace(recipe, width=1 / 16, branch_weights=(1.0, 0.4, 0.4))
    weights = train(recipe, dataset, None, tmp_path, bf16=True)
    assert find_model(weights).card.scales == scales
    load_model(find_model(weights))


def test_a_resumed_run_is_the_same_to_the_bit(dataset: LabelledImages, tmp_path: Path) -> None:
    recipe = small("hrnet-ocr-ms-camvid", architecture="icnet-ms")
    recipe = replace(recipe, width=1 / 16, branch_weights=(1.0, 0.4, 0.4))

    def stop(event: dict[str, object]) -> None:
        if event.get("epoch_done"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, dataset, None, tmp_path / "halted", report=stop)
    halted = train(recipe, dataset, None, tmp_path / "halted")
    straight = train(recipe, dataset, None, tmp_path / "straight")
    assert TrainingPaths(folder=tmp_path / "halted").checkpoint.exists()
    one, other = (load_model(find_model(path)).state_dict() for path in (halted, straight))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
