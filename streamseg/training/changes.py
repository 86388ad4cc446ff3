"""Named changes to a recipe. Comes in: a recipe and names. Goes out: the recipe with all of them.

Each is one idea that may help a network trained on three drives do better on a fourth; whether it
does is for `scripts/ablate` to measure. They can be combined, "light+paste", in any order that does
not change one field twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from streamseg.datasets.centroids import Uniform
from streamseg.datasets.mix import Mix
from streamseg.datasets.paste import Paste
from streamseg.errors import ModelError
from streamseg.training.losses import Hardest
from streamseg.training.recipe import Recipe
from streamseg.training.stage import Stage

BASELINE = "baseline"
"""No change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One idea.

    Attributes:
        summary: what it does, for a table.
        apply: the recipe with it.
    """

    summary: str
    apply: Callable[[Recipe], Recipe]


def _stages(recipe: Recipe, change: Callable[[Stage], Stage]) -> Recipe:
    return replace(recipe, stages=tuple(map(change, recipe.stages)))


def _stage(**values: Any) -> Callable[[Recipe], Recipe]:
    return lambda recipe: _stages(recipe, lambda stage: replace(stage, **values))


def _conditions(**values: float) -> Callable[[Recipe], Recipe]:
    """More of what is done to a view, beside what is done already."""

    def of_stage(stage: Stage) -> Stage:
        conditions = replace(stage.view.conditions, **values)
        return replace(stage, view=replace(stage.view, conditions=conditions))

    return lambda recipe: _stages(recipe, of_stage)


def _larger_range(recipe: Recipe) -> Recipe:
    """Scales from 0.7 times the least to 1.35 times the greatest."""

    def of_stage(stage: Stage) -> Stage:
        least, greatest = stage.view.scale
        return replace(stage, view=replace(stage.view, scale=(0.7 * least, 1.35 * greatest)))

    return _stages(recipe, of_stage)


def _uniform(recipe: Recipe) -> Recipe:
    """In place of the views around rare pixels, so that the one is compared with the other."""

    def of_stage(stage: Stage) -> Stage:
        # A tile is a third of the height of CamVid's 360x480, and they divide it evenly.
        uniform = Uniform(share=0.5, tile=120)
        return replace(stage, uniform=uniform, view=replace(stage.view, rare_class_share=0.0))

    return _stages(recipe, of_stage)


CHANGES: dict[str, Change] = {
    "light": Change(
        summary="gamma, color of the light, smoothly varying brightness",
        apply=_conditions(light=0.7),
    ),
    "shadows": Change(
        summary="soft shadows on 0.3 of the views, haze on 0.15",
        apply=_conditions(shadows=0.3, haze=0.15),
    ),
    "camera": Change(
        summary="noise on 0.3 of the views, blur on 0.2, JPEG on 0.2",
        apply=_conditions(noise=0.3, blur=0.2, jpeg=0.2),
    ),
    "erase": Change(
        summary="a rectangle painted over and unlabelled in 0.5 of the views",
        apply=_conditions(erase=0.5),
    ),
    "paste": Change(
        summary="one to four rare things pasted into 0.7 of the images",
        apply=_stage(paste=Paste(share=0.7)),
    ),
    "classmix": Change(
        summary="half of another view's classes put on 0.4 of the views",
        apply=_stage(mix=Mix(share=0.4)),
    ),
    "cutmix": Change(
        summary="a rectangle of another view put on 0.4 of the views",
        apply=_stage(mix=Mix(share=0.4, kind="rectangle")),
    ),
    "scale": Change(summary="scales 0.7 to 1.35 times as far apart", apply=_larger_range),
    "rendered": Change(
        summary="a quarter of every batch rendered streets",
        apply=lambda recipe: replace(
            _stage(extra_share=0.25)(recipe), rendered_frames=recipe.rendered_frames or 400
        ),
    ),
    "hardest": Change(
        summary="cross entropy of the hardest pixels alone (below 0.7, at least a tenth)",
        apply=lambda recipe: replace(recipe, hardest=Hardest()),
    ),
    "smooth": Change(
        summary="label smoothing 0.05",
        apply=lambda recipe: replace(recipe, label_smoothing=0.05),
    ),
    "decay": Change(
        summary="weight decay 0.05: AdamW multiplies it by the rate, and 1e-4 comes to nothing",
        apply=lambda recipe: replace(recipe, weight_decay=0.05),
    ),
    "fine": Change(
        summary="the finest branch compared at half of the image's size throughout",
        apply=_stage(label_stride=2),
    ),
    "rare": Change(
        summary="0.6 of the views laid around a class drawn uniformly",
        apply=lambda recipe: _stages(
            recipe, lambda stage: replace(stage, view=replace(stage.view, rare_class_share=0.6))
        ),
    ),
    "uniform": Change(
        summary="half of the views around centroids of a class drawn uniformly over the set, none by pixels",
        apply=_uniform,
    ),
}


def changed(recipe: Recipe, names: str) -> Recipe:
    """`recipe` with the changes that `names` joins by "+"; its own name tells of them.

    Raises:
        ModelError: an unknown change.
    """
    words = [word for word in names.split("+") if word != BASELINE]
    for word in words:
        if word not in CHANGES:
            raise ModelError(
                f"unknown change {word!r} to a recipe; known, and joined by +: {', '.join(CHANGES)}"
            )
    recipe = reduce(lambda so_far, word: CHANGES[word].apply(so_far), words, recipe)
    return replace(recipe, name="+".join([recipe.name, *words]))
