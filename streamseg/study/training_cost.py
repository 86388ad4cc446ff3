"""What a step of training takes. Comes in: recipes. Goes out: seconds, with all of them taking turns, and memory."""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from streamseg.benchmark.records import Size
from streamseg.benchmark.rounds import take_turns
from streamseg.benchmark.timing import milliseconds
from streamseg.study.memory import forget_peak, status_mb
from streamseg.study.schedule import Schedule
from streamseg.training.batches import normalized
from streamseg.training.objective import Objective
from streamseg.training.recipe import Recipe
from streamseg.training.shards import Shards
from streamseg.training.start import new_network


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCost:
    """Loss and gradient of one batch of a recipe's first stage; no optimizer, and no making of views.

    Attributes:
        name: what the caller calls it.
        seconds: a step, median of rounds.
        memory_mb: greatest resident memory of a process that does nothing else, less what it had before its first
            step, which is the network's weights and all libraries; on CUDA greatest memory that torch allocated.
            None where this system does not say.
    """

    name: str
    batch: int
    crop: Size
    device: str
    seconds: float
    memory_mb: float | None


def training_cost(
    recipes: Mapping[str, Recipe],
    num_classes: int,
    schedule: Schedule,
    *,
    device: str,
    bf16: bool,
) -> tuple[TrainingCost, ...]:
    """Time a step of every recipe, which take turns, then its memory, each in a process of its own."""
    with ExitStack() as stack:
        steps: dict[str, Callable[[], None]] = {}
        for name, recipe in recipes.items():
            steps[name] = _step(recipe, num_classes, device, bf16, stack)
            steps[name]()  # what is chosen at the first one
        times = take_turns(
            {name: _timer(step) for name, step in steps.items()},
            schedule.rounds,
            lambda text: None,
        )
    costs = []
    for name, recipe in recipes.items():
        stage = recipe.stages[0]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as process:
            memory = process.submit(training_memory, recipe, num_classes, device, bf16).result()
        costs.append(
            TrainingCost(
                name=name, batch=stage.batch, crop=stage.view.crop, device=device,
                seconds=median(times[name]) / 1000, memory_mb=memory,
            )
        )  # fmt: skip
    return tuple(costs)


def training_memory(recipe: Recipe, num_classes: int, device: str, bf16: bool) -> float | None:
    """See `TrainingCost.memory_mb`; of this process, which must do nothing else."""
    with ExitStack() as stack:
        step = _step(recipe, num_classes, device, bf16, stack)
        before = status_mb("VmRSS")
        cleared = forget_peak()
        for _ in range(2):
            step()
        if device != "cpu":
            return round(torch.cuda.max_memory_allocated() / 1e6, 1)
        peak = status_mb("VmHWM") if cleared else None
        return None if peak is None or before is None else round(peak - before, 1)


def _step(
    recipe: Recipe, num_classes: int, device: str, bf16: bool, stack: ExitStack
) -> Callable[[], None]:
    """Loss and gradient of one batch of random pixels and labels."""
    stage = recipe.stages[0]
    torch.manual_seed(recipe.seed)
    network = new_network(recipe, num_classes).train().to(device)
    shards = Shards(network.to(memory_format=torch.channels_last), recipe.shards)  # type: ignore[call-overload]
    stack.callback(shards.close)
    objective = Objective(recipe, None)
    shape = (stage.batch, *stage.view.crop)
    images = torch.randint(256, (stage.batch, 3, *stage.view.crop), dtype=torch.uint8).to(device)
    labels = torch.randint(num_classes, shape).to(device)

    def loss_of(model: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
            logits = model(normalized(image, recipe.input))
        return objective.loss(
            logits, image, label, class_weights_C=None, label_stride=stage.label_stride
        )

    def step() -> None:
        shards.backward(loss_of, images, labels)

    return step


def _timer(step: Callable[[], None]) -> Callable[[], float]:
    return lambda: milliseconds(step, 1)
