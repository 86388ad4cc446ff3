import pytest

from streamseg.errors import ModelError
from streamseg.training.changes import BASELINE, CHANGES, changed
from streamseg.training.recipes import RECIPES, find_recipe

WITHIN = {
    "icnet-camvid-more": {"light", "shadows", "camera", "paste", "decay", "fine"},
    "icnet-camvid-fine": {"light", "shadows", "camera", "paste", "decay", "fine"},
    "pspnet50-camvid": {"fine"},
    "icnet-ms-camvid": {"fine"},
    "fcn8s-camvid": {"fine"},
}
"""What recipes have already."""

OF_WHOLE_PICTURES = {
    "paste", "classmix", "cutmix", "scale", "rendered", "rare", "uniform",
}  # fmt: skip
"""What has no meaning where views are of single objects."""


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", CHANGES)
def test_every_change_applies_to_every_recipe_and_changes_it_unless_it_is_in_it(
    recipe: str, name: str
) -> None:
    plain = find_recipe(recipe)
    if name in OF_WHOLE_PICTURES and any(stage.objects for stage in plain.stages):
        with pytest.raises(ValueError, match="objects"):
            changed(plain, name)
        return
    other = changed(plain, name)
    assert other.name == f"{recipe}+{name}"
    assert [stage.epochs for stage in other.stages] == [stage.epochs for stage in plain.stages]
    for stage in other.stages:
        assert stage.view.crop in {old.view.crop for old in plain.stages}
    same = repr(other).replace(other.name, recipe) == repr(plain)
    assert same == (name in WITHIN.get(recipe, ()))


def test_the_baseline_is_the_recipe() -> None:
    recipe = find_recipe("icnet-camvid")
    assert changed(recipe, BASELINE) == recipe


def test_changes_add_up_in_any_order() -> None:
    recipe = find_recipe("icnet-camvid")
    one, two = (
        changed(recipe, "light+paste+camera+decay"),
        changed(recipe, "decay+camera+paste+light"),
    )
    assert one.stages == two.stages
    assert one.weight_decay == two.weight_decay > recipe.weight_decay
    conditions = one.stages[0].view.conditions
    assert min(conditions.light, conditions.noise, conditions.jpeg) > 0
    assert one.stages[0].paste is not None


@pytest.mark.parametrize("names", ["bright", "light+", "", "light,paste"])
def test_an_unknown_change_names_the_known(names: str) -> None:
    with pytest.raises(ModelError, match=r"unknown change .*joined by \+: light, shadows, camera"):
        changed(find_recipe("icnet-camvid"), names)


def test_uniform_takes_the_place_of_rare_pixels() -> None:
    recipe = changed(find_recipe("icnet-camvid"), "uniform")
    for stage in recipe.stages:
        assert stage.uniform is not None
        assert (stage.uniform.share, stage.view.rare_class_share) == (0.5, 0.0)
        assert [side % stage.uniform.tile for side in (360, 480)] == [0, 0]


def test_rendered_frames_are_asked_for() -> None:
    recipe = changed(find_recipe("icnet-camvid"), "rendered")
    assert recipe.wants_rendered
    assert recipe.rendered_frames == 400
