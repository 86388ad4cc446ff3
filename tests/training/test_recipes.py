from dataclasses import replace
from typing import Any

import pytest

from streamseg.datasets.augment import View
from streamseg.datasets.conditions import AS_IT_IS
from streamseg.errors import ModelError
from streamseg.models.registry import ARCHITECTURES
from streamseg.training.changes import changed
from streamseg.training.recipe import Recipe
from streamseg.training.recipes import RECIPES, find_recipe, mixed_with
from streamseg.training.stage import Stage


def make_stage(**changes: Any) -> Stage:
    return Stage(
        **{"epochs": 2, "batch": 4, "view": View(crop=(65, 65)), "learning_rate": 0.01, **changes}
    )


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return find_recipe(request.param)


def test_recipes_are_complete(recipe: Recipe) -> None:
    assert RECIPES[recipe.name]() == recipe
    assert recipe.architecture in ARCHITECTURES
    assert recipe.epochs == sum(stage.epochs for stage in recipe.stages)
    for stage in recipe.stages:
        height, width = stage.view.crop
        assert recipe.input.good_size(height, width) == (height, width)  # divides evenly


def test_rate_rises_over_the_warmup() -> None:
    stage = make_stage(warmup_steps=10, power=0.0)
    assert [stage.rate(step, 100) for step in range(10)] == pytest.approx(
        [0.001 * (step + 1) for step in range(10)]
    )
    assert stage.rate(50, 100) == pytest.approx(0.01)


def test_rate_decays_as_a_polynomial() -> None:
    stage = make_stage(warmup_steps=0, power=0.9)
    assert stage.rate(0, 1000) == pytest.approx(0.01)
    assert stage.rate(500, 1000) == pytest.approx(0.01 * 0.535886731)  # 0.5 ** 0.9
    assert stage.rate(900, 1000) == pytest.approx(0.01 * 0.125892541)  # 0.1 ** 0.9
    assert stage.rate(999, 1000) == pytest.approx(0.01 * 0.001995262)  # 0.001 ** 0.9


def test_rate_is_positive_and_falls_after_the_warmup() -> None:
    stage = make_stage(warmup_steps=20)
    rates = [stage.rate(step, 200) for step in range(200)]
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert min(rates) > 0
    assert max(rates) <= 0.01


def test_warmup_longer_than_the_stage_never_reaches_the_top() -> None:
    stage = make_stage(warmup_steps=100)
    assert max(stage.rate(step, 20) for step in range(20)) < 0.002


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"batch": 0}])
def test_stage_refuses_nothing_to_do(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected epochs and batch >= 1, got"):
        make_stage(**changes)


@pytest.mark.parametrize("epochs", [*range(1, 30), 117, 118, 500])
def test_epochs_are_shared_out_in_proportion(recipe: Recipe, epochs: int) -> None:
    scaled = find_recipe(recipe.name, epochs=epochs)
    assert scaled.epochs == epochs
    if len(scaled.stages) == len(recipe.stages):
        for stage, original in zip(scaled.stages, recipe.stages, strict=True):
            assert stage.epochs == pytest.approx(original.epochs * epochs / recipe.epochs, abs=1)
            assert stage.view == original.view


def test_its_own_number_of_epochs_changes_nothing(recipe: Recipe) -> None:
    assert repr(find_recipe(recipe.name, epochs=recipe.epochs)) == repr(recipe)


def test_seed_is_the_only_other_change(recipe: Recipe) -> None:
    assert find_recipe(recipe.name, seed=7).seed == 7
    assert find_recipe(recipe.name, seed=recipe.seed) == recipe


def test_width_is_the_only_other_change(recipe: Recipe) -> None:
    assert find_recipe(recipe.name, width=0.25) == replace(recipe, width=0.25)


def test_tuning_is_shorter_and_slower() -> None:
    whole, tuning = find_recipe("icnet-camvid"), find_recipe("icnet-camvid-tuning")
    assert tuning.epochs < whole.epochs / 2
    assert max(stage.learning_rate for stage in tuning.stages) < max(
        stage.learning_rate for stage in whole.stages
    )


def test_the_average_of_a_short_run_forgets_its_beginning() -> None:
    recipe = find_recipe("icnet-camvid-tuning")
    left = 1.0
    for step in range(50):
        left *= recipe.decay(step)
    assert left < 1e-6
    assert recipe.decay(10**6) == recipe.ema_decay
    assert find_recipe("icnet-camvid").decay(0) == 0.999


def test_unknown_recipe_names_the_known() -> None:
    with pytest.raises(ModelError, match=r"unknown recipe 'x'; known: .*icnet-camvid"):
        find_recipe("x")


def test_no_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="expected epochs >= 1, got 0"):
        find_recipe("icnet-camvid", epochs=0)


def test_extra_images_are_whole_ones_and_leave_room() -> None:
    assert make_stage(batch=8, extra_share=0.25).num_extra == 2
    assert make_stage().num_extra == 0
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"leaves room for real .* batch of 4, got {share}"):
            make_stage(extra_share=share)


def test_extra_images_of_ones_own_are_mixed_in() -> None:
    recipe = mixed_with(find_recipe("icnet-camvid"), 0.5)
    assert [stage.num_extra for stage in recipe.stages] == [6, 3, 3]
    assert recipe.wants_extra
    assert not recipe.wants_rendered
    with pytest.raises(ModelError, match="renders its own"):
        mixed_with(changed(find_recipe("icnet-camvid"), "rendered"), 0.5)
    with pytest.raises(ValueError, match="at least one image of a batch, got 0"):
        mixed_with(find_recipe("icnet-camvid"), 0.01)


def test_the_shipped_recipe_has_nothing_new() -> None:
    recipe = find_recipe("icnet-camvid")
    assert not recipe.wants_extra
    assert (recipe.hardest, recipe.label_smoothing, recipe.distillation) == (None, 0.0, None)
    for stage in recipe.stages:
        assert (stage.paste, stage.mix, stage.uniform, stage.num_extra) == (None, None, None, 0)
        assert stage.view.conditions == AS_IT_IS


def test_pspnet50_learns_by_icnets_views_rates_and_epochs() -> None:
    """So that what differs is the network; its auxiliary head counts 0.4, and it answers at 1/8."""
    icnet, pspnet = find_recipe("icnet-camvid"), find_recipe("pspnet50-camvid", width=0.5)
    assert (pspnet.architecture, pspnet.width) == ("pspnet50", 0.5)
    assert pspnet.branch_weights == (1.0, 0.4)
    assert {stage.label_stride for stage in pspnet.stages} == {2}
    assert pspnet.stages == tuple(replace(stage, label_stride=2) for stage in icnet.stages)
    assert pspnet.input == icnet.input
