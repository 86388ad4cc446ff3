"""The card of what was trained. Comes in: a recipe, its images and the run's records. Goes out: `ModelCard`."""

from typing import Any

from streamseg.datasets import LabelledImages
from streamseg.models.card import ModelCard
from streamseg.models.registry import ARCHITECTURES, multi_scale
from streamseg.models.scales import Scales
from streamseg.training.checkpoint import Progress
from streamseg.training.recipe import Recipe
from streamseg.training.start import Start


def trained_card(
    recipe: Recipe,
    dataset: LabelledImages,
    validation: LabelledImages | None,
    progress: Progress,
    start: Start | None = None,
    teacher: str | None = None,
    extra: LabelledImages | None = None,
) -> ModelCard:
    """What the run's records say, and nothing that they do not.

    A score is noted only if it is of these very weights, with its caveats.
    """
    last = progress.history[-1]
    scales = recipe.scales or (Scales() if multi_scale(recipe.architecture) else None)
    precisions = {record["precision"] for record in progress.history if "precision" in record}
    origin = "from random weights" if start is None else start.origin
    notes: dict[str, Any] = {
        "trained_on": f"{dataset.name} {dataset.split}, {len(dataset)} {dataset.contents}, {origin}",
        **({} if start is None else start.notes),
        "recipe": recipe.name,
        "seed": recipe.seed,
        "epochs": progress.epochs_done,
        "precision": " and ".join(
            ["stored as fp16", *(f"trained in {p}" for p in sorted(precisions))]
        ),
        "weights": f"moving average, decay {'rising to ' if recipe.ema_rises else ''}"
        f"{recipe.ema_decay:g} per step"
        + (
            f"; statistics of batch norm over {recipe.reestimate} batches"
            if recipe.reestimate
            else ""
        ),
        "training_minutes": round(progress.seconds / 60, 1),
    }
    if extra is not None:
        notes["trained_on"] += f"; {len(extra)} {extra.contents} mixed in"
    if teacher is not None:
        notes["teacher"] = teacher
    miou = last.get("miou")
    if validation is not None and miou is not None:
        notes["scored_on"] = f"{validation.name} {validation.split}, {len(validation)} images"
        notes["miou_while_training"] = round(miou, 4)
        if "sizes" in last:
            notes["scored_how"] = (
                f"in {last['precision']}, before rounding to fp16; network input "
                f"{', '.join(last['sizes'])}; {'one scale, no flip' if scales is None else f'scales {scales}'}"
            )
        if validation.caveat:
            notes["caveat"] = f"{validation.name} {validation.split} is {validation.caveat}"
    return ModelCard(
        name=recipe.name,
        architecture=recipe.architecture,
        labels=dataset.labels,
        input=recipe.input,
        width=recipe.width or ARCHITECTURES[recipe.architecture].arguments.get("width"),
        scales=scales,
        notes=notes,
    )
