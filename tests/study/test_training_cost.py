from dataclasses import replace

import pytest

from streamseg.datasets.augment import View
from streamseg.models.card import InputSpec
from streamseg.study import training_cost as module
from streamseg.study.schedule import Schedule
from streamseg.study.training_cost import training_cost, training_memory
from streamseg.training.recipe import Recipe
from streamseg.training.stage import Stage

RECIPE = Recipe(
    name="one",
    architecture="icnet",
    width=1 / 16,
    input=InputSpec(size=(33, 65)),
    stages=(Stage(epochs=1, batch=2, view=View(crop=(33, 65)), learning_rate=0.1),),
)


def test_steps_take_turns_and_memory_is_its_own_process(
    one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    backward = module.Shards.backward

    def spy(self: module.Shards, *rest: object) -> float:
        order.append(type(self._models[0]).__name__)
        return backward(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Shards, "backward", spy)
    two = replace(RECIPE, architecture="icnet-ms")
    one, both = training_cost(
        {"a": RECIPE, "b": two}, 3, Schedule(rounds=3), device="cpu", bf16=False
    )
    assert order == ["ICNet", "MultiScale"] * 4  # the first one is not timed
    assert (one.name, one.batch, one.crop) == ("a", 2, (33, 65))
    assert 0 < one.seconds < both.seconds * 3
    assert both.memory_mb is not None


def test_memory_grows_with_the_batch(one_thread: None) -> None:
    small = training_memory(RECIPE, 3, "cpu", False)
    stage = replace(RECIPE.stages[0], batch=16, view=View(crop=(129, 257)))
    large = training_memory(replace(RECIPE, stages=(stage,)), 3, "cpu", False)
    assert small is not None and large is not None
    assert large > small + 10
