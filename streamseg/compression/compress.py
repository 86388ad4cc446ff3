"""Progressive compression: prune a little, fine-tune, prune more, fine-tune again (ICNet; Zhao et al., ECCV 2018).

Comes in: trained weights and how much of every layer to keep, step by step. Goes out: for each step the weights of a
smaller dense network, which load like any others, and a report.

    OUT/compress.json                the report so far
    OUT/scores.json                  scores that are known, by the weights that they are of
    OUT/keep-0.75/, OUT/keep-0.5/    one training run each (`TrainingPaths`)

A run that was interrupted goes on where it stopped: what is not in these files is quick to do again, and comes out
the same.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamseg.compression.channels import follow_channels
from streamseg.compression.prune import Shapes, kept_counts, prune
from streamseg.datasets import LabelledImages
from streamseg.errors import DataError, ModelError, SinkError
from streamseg.models.card import ModelFile
from streamseg.models.find import find_model
from streamseg.models.operations import gflop
from streamseg.models.registry import ARCHITECTURES
from streamseg.models.weights import load_model, stored_names
from streamseg.training.checkpoint import averaged_weights
from streamseg.training.curves import check_curves
from streamseg.training.precision import in_bf16
from streamseg.training.recipe import Recipe
from streamseg.training.start import Start, new_network
from streamseg.training.trainer import Report, TrainingPaths, score, train

Progress = Callable[[str, float, float], None]
"""Called with what is being done, how much is, and of how much. What it raises ends the run."""

Note = Callable[[str], None]
"""Told what a user should know, once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One pruning and the fine-tuning after it.

    Attributes:
        keep: share of every layer's filters, of those that the first network has: above 0, below 1.
        recipe: of the fine-tuning. Its name, architecture, width and input become the network's.
    """

    keep: float
    recipe: Recipe


def make_steps(keep: Sequence[float], recipes: Sequence[Recipe]) -> tuple[Step, ...]:
    """Shares to keep, each smaller than the one before, and a recipe for each.

    Raises:
        ValueError: they are not.
    """
    if not keep or not all(
        0 < now < before for before, now in zip([1.0, *keep], keep, strict=False)
    ):
        raise ValueError(
            f"expected shares to keep below 1 and above 0, each smaller than the one before, like .75,.5; "
            f"got {', '.join(f'{share:g}' for share in keep) or 'none'}"
        )
    if len(recipes) != len(keep):
        raise ValueError(f"expected a recipe for each of {len(keep)} steps, got {len(recipes)}")
    return tuple(
        Step(keep=share, recipe=recipe) for share, recipe in zip(keep, recipes, strict=True)
    )


def epoch_report(progress: Progress, what: str, recipe: Recipe) -> Report:
    """What `train` shall call, to tell `progress` how many epochs of `recipe` are done."""

    def report(event: dict[str, Any]) -> None:
        part = 1 if event.get("epoch_done") else event["step"] / event["steps"]
        progress(f"{what}, loss {event['loss']:.3f}", event["epoch"] + part, recipe.epochs)

    return report


def compress(
    model: str | Path,
    steps: Sequence[Step],
    dataset: LabelledImages,
    validation: LabelledImages | None,
    out: Path,
    *,
    device: str = "cpu",
    bf16: bool | None = None,
    progress: Progress = lambda what, done, total: None,
    note: Note = lambda text: None,
) -> dict[str, Any]:
    """Prune and fine-tune `model` step by step, resuming what `out` holds of the same run.

    Every step prunes the averaged weights of the one before; the optimizer begins anew.

    Args:
        model: weights of our own, of a network with a width: a shipped name or a path.
        steps: see `make_steps`.
        dataset: what to fine-tune on.
        validation: scored before and after every step; None for never.
        out: folder for all files, made if missing.
        device, bf16: see `train`.

    Returns:
        "model", "architecture", "data", "scored_on", "precision", "seed", "size"; "before": "width", "parameters"
        and "gmac" of the network at that size (without auxiliary heads), and its scores; "steps": for each the same
        with "keep", "epochs", "seconds", "weights" (a path), and the scores right after pruning under "pruned" and
        in the end under "tuned". Scores are those of `trainer.score`, null without a validation split.

    Raises:
        ModelError: not weights of our own, a network that cannot be pruned so, or see `train`.
        DataError: other classes than the model's, or an image cannot be read.
        SinkError: `out` cannot be written.
    """
    check_curves()
    bf16 = in_bf16("auto", device) if bf16 is None else bf16
    file = find_model(model)
    recipes = _recipes(file, steps)
    _check_classes(file, dataset, validation)
    torch.manual_seed(recipes[0].seed)  # for heads that are missing
    network = load_model(file)
    channels = follow_channels(network)
    for recipe in recipes:  # said now, not after hours of fine-tuning
        kept_counts(channels, _shapes(recipe, len(dataset.labels)))
    fresh = _missing_heads(file, network)
    if fresh:
        note(f"{file.path.name} has no {' and '.join(fresh)}; fine-tuning begins with random ones")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {out}: {error.strerror}") from error

    run = _Run(
        dataset=dataset, validation=validation, out=out, device=device, bf16=bf16, progress=progress,
        scorer=_Scorer(out / "scores.json", validation, bf16=bf16, progress=progress),
    )  # fmt: skip
    report: dict[str, Any] = {
        "model": file.card.name,
        "architecture": file.card.architecture,
        "data": f"{dataset.name} {dataset.split}, {len(dataset)} images",
        "scored_on": run.scorer.data,
        "precision": "bf16 autocast" if bf16 else "fp32",
        "seed": recipes[0].seed,
        "size": list(file.card.input.size),
        "before": {
            "width": _width(file),
            **cost(network, file.card.input.size),
            **run.scorer(network, recipes[0], "scoring the network as it is"),
        },
        "steps": [],
    }
    for index, recipe in enumerate(recipes):
        record, network = run.step(network, steps[index].keep, recipe, _origin(file, steps, index))
        report["steps"].append({"keep": steps[index].keep, **record})
        _write(out / "compress.json", report)
    return report


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """What stays the same from step to step."""

    dataset: LabelledImages
    validation: LabelledImages | None
    out: Path
    device: str
    bf16: bool
    progress: Progress
    scorer: "_Scorer"

    def step(
        self, network: nn.Module, keep: float, recipe: Recipe, origin: Start
    ) -> tuple[dict[str, Any], nn.Module]:
        """Prune `network` and fine-tune the smaller one: its record, and itself with averaged weights."""
        num_classes = len(self.dataset.labels)
        weights = prune(
            network.state_dict(), follow_channels(network), _shapes(recipe, num_classes)
        )
        smaller = _filled(recipe, num_classes, weights)
        pruned = self.scorer(smaller, recipe, f"scoring {keep:g} of it")

        paths = TrainingPaths(folder=self.out / f"keep-{keep:g}")
        path = train(
            recipe, self.dataset, self.validation, paths.folder, start=replace(origin, weights=weights),
            device=self.device, bf16=self.bf16,
            report=epoch_report(self.progress, f"fine-tuning {keep:g} of it", recipe),
        )  # fmt: skip
        smaller = _filled(recipe, num_classes, averaged_weights(paths.checkpoint))
        log = json.loads(paths.log.read_text())
        record = {
            "width": recipe.width,
            **cost(smaller, recipe.input.size),
            "epochs": recipe.epochs,
            "seconds": round(log["seconds"], 1),
            "weights": str(path),
            "pruned": pruned,
            "tuned": {key: log["epochs"][-1].get(key) for key in _Scorer.KEYS},
        }
        return record, smaller


class _Scorer:
    """Scores networks on the validation split, or looks up what it scored before."""

    KEYS = ("miou", "pixel_accuracy", "iou")

    def __init__(
        self, path: Path, validation: LabelledImages | None, *, bf16: bool, progress: Progress
    ) -> None:
        self.data = (
            None
            if validation is None
            else f"{validation.name} {validation.split}, {len(validation)} images"
        )
        self._path, self._validation, self._bf16 = path, validation, bf16
        self._progress = progress
        self._known: dict[str, dict[str, Any]] = {}
        if path.exists():
            try:
                self._known = dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, TypeError, ValueError) as error:
                raise ModelError(
                    f"expected scores of an earlier run at {path}: {error}. Delete it to score anew"
                ) from error

    def __call__(self, network: nn.Module, recipe: Recipe, what: str) -> dict[str, Any]:
        """`KEYS` of `network` in eval mode."""
        if self._validation is None:
            return dict.fromkeys(self.KEYS)
        digest = Start(weights=network.state_dict(), origin="").digest()
        key = f"{digest}, {self.data}, {'bf16' if self._bf16 else 'fp32'}"
        if key not in self._known:
            report = partial(self._progress, what)
            found = score(network, recipe, self._validation, bf16=self._bf16, progress=report)
            self._known[key] = {name: found[name] for name in self.KEYS}
            _write(self._path, self._known)
        return self._known[key]


def _recipes(file: ModelFile, steps: Sequence[Step]) -> list[Recipe]:
    """The steps' recipes for the networks that they are to train."""
    whole = _width(file)
    return [
        replace(
            step.recipe,
            name=f"{file.path.stem}-{step.keep:g}",
            architecture=file.card.architecture,
            width=whole * step.keep,
            input=file.card.input,
        )
        for step in steps
    ]


def _width(file: ModelFile) -> float:
    """Width factor of a network.

    Raises:
        ModelError: it is a stranger's, or has none.
    """
    if not file.is_torch:
        raise ModelError(f"expected streamseg's own weights to compress, got {file.path.name}")
    entry = ARCHITECTURES.get(file.card.architecture)
    width = file.card.width or (entry.arguments.get("width") if entry else None)
    if width is None:
        raise ModelError(
            f"cannot compress {file.path.name}: expected an architecture with a width, "
            f"got {file.card.architecture}"
        )
    return float(width)


def _check_classes(
    file: ModelFile, dataset: LabelledImages, validation: LabelledImages | None
) -> None:
    for split in (dataset, validation or dataset):
        if split.labels.class_names != file.card.labels.class_names:
            raise DataError(
                f"expected a data set with the {len(file.card.labels)} classes of {file.path.name} in their "
                f"order, got {split.name} with {len(split.labels)}"
            )


def _missing_heads(file: ModelFile, network: nn.Module) -> list[str]:
    """Auxiliary heads of `network` that `file` holds no weights of."""
    heads = {name.split(".")[0] for name in network.state_dict() if name.startswith("aux_")}
    return sorted(heads - {name.split(".")[0] for name in stored_names(file.path)})


def _origin(file: ModelFile, steps: Sequence[Step], index: int) -> Start:
    """What the card of a step's weights shall say of them; the weights are still to come."""
    path = "".join(f", pruned to {step.keep:g} and fine-tuned" for step in steps[:index])
    return Start(
        weights={},
        origin=f"from {file.path.name}{path}, pruned to {steps[index].keep:g} of its filters",
        notes={
            "compressed_from": file.card.name,
            "filters_kept": "those of the largest L1 norms; summed convolutions agree on theirs",
            "compression": [
                {"keep": step.keep, "recipe": step.recipe.name, "epochs": step.recipe.epochs}
                for step in steps[: index + 1]
            ],
        },
    )


def _shapes(recipe: Recipe, num_classes: int) -> Shapes:
    with torch.device("meta"):  # no room is made for it
        state = new_network(recipe, num_classes).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _filled(recipe: Recipe, num_classes: int, weights: Mapping[str, Tensor]) -> nn.Module:
    network = new_network(recipe, num_classes)
    network.load_state_dict(dict(weights))
    return network.eval()


def cost(network: nn.Module, size: tuple[int, int]) -> dict[str, Any]:
    """Of inference: "parameters", and "gmac", 1e9 products of one image."""
    parameters = sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if not name.startswith("aux_")
    )
    return {"parameters": parameters, "gmac": round(gflop(network, size) / 2, 3)}


def _write(path: Path, values: Mapping[str, Any]) -> None:
    """Write a neighbour of `path`, then rename."""
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error
