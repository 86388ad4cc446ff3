"""The one training loop. Comes in: a recipe and a data set. Goes out: averaged weights with their
card, a log, a plot of the curves, and a checkpoint to resume from."""

import copy
import json
import math
import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamseg.datasets import LabelledImages
from streamseg.errors import ModelError, SinkError
from streamseg.evaluation.confusion import Confusion
from streamseg.evaluation.reference import label_image
from streamseg.evaluation.windows import label_by_windows
from streamseg.models.registry import by_proposals
from streamseg.models.state import fill
from streamseg.models.weights import save_weights
from streamseg.training.batches import Batches, normalized
from streamseg.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from streamseg.training.curves import check_curves, plot_curves
from streamseg.training.losses import class_weights
from streamseg.training.objective import Objective
from streamseg.training.precision import in_bf16
from streamseg.training.recipe import Recipe
from streamseg.training.reestimate import reestimate
from streamseg.training.shards import Shards
from streamseg.training.stage import Stage
from streamseg.training.start import Start, new_network
from streamseg.training.teacher import Teacher
from streamseg.training.trained_card import trained_card

Report = Callable[[dict[str, Any]], None]
"""Called after every step with "epoch", "step", "steps", "loss", "rate"; after every epoch, once
its checkpoint is written, with "epoch_done" and its record. What it raises ends the run, which can
then be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPaths:
    """Files of a run, all in one folder."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def log(self) -> Path:
        return self.folder / "log.json"

    @property
    def curves(self) -> Path:
        return self.folder / "curves.png"

    def weights(self, recipe: Recipe) -> Path:
        return self.folder / f"{recipe.name}.safetensors"


def train(
    recipe: Recipe,
    dataset: LabelledImages,
    validation: LabelledImages | None,
    out: Path,
    *,
    extra: LabelledImages | None = None,
    start: Start | None = None,
    device: str = "cpu",
    bf16: bool | None = None,
    report: Report = lambda event: None,
) -> Path:
    """Run `recipe`, resuming from `out` if it holds a checkpoint of the same recipe, images and start.

    A run interrupted and resumed gives the same weights as one that was not, bit for bit, on the
    same machine with the same number of threads: an epoch that was cut short starts again, and all
    that is random in it follows from the recipe's seed and the epoch.

    Args:
        recipe: all that decides the run besides its data.
        dataset: what to learn from.
        validation: scored every `recipe.score_every` epochs and at the end; None for never.
        out: folder for all files (see `TrainingPaths`), made if missing.
        extra: what a recipe that `wants_extra` mixes in.
        start: weights of the recipe's network to begin with; what it leaves out is random. The optimizer begins
            anew.
        device: "cpu" or "cuda[:N]".
        bf16: run the network under bf16 autocast; weights, loss and optimizer stay fp32. None for wherever the device
            multiplies it natively.
        report: see `Report`.

    Returns:
        Path of the averaged weights (fp16 safetensors with a model card).

    Raises:
        ModelError: the checkpoint is damaged or of another recipe, start or teacher, `start` is not of the recipe's
            network, the loss is not finite, or there is no such teacher.
        DataError: an image cannot be read, or extra images are missing.
        SinkError: `out` cannot be made.
        BackendError: matplotlib is not installed.
    """
    check_curves()
    bf16 = in_bf16("auto", device) if bf16 is None else bf16
    paths = TrainingPaths(folder=out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {out}: {error.strerror}") from error
    extra = extra if recipe.wants_extra else None
    workers = 1 if device == "cpu" else max(1, (os.cpu_count() or 2) - 1)
    batches = Batches(dataset, recipe.seed, extra, workers=workers)
    teacher = None
    if recipe.distillation is not None:
        teacher = Teacher(recipe.distillation.teacher, dataset.labels, device, bf16=bf16)
    torch.manual_seed(recipe.seed)
    model = new_network(recipe, batches.num_classes)
    if start is not None:
        fill(model, {**model.state_dict(), **start.weights}, origin=start.origin)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe.weight_decay))
    begun = f"start={'random' if start is None else start.digest()}"
    taught = (
        "" if teacher is None else f"teacher={teacher.digest}, "
    )  # a path may hold another one by now
    identity = {
        "recipe": f"{begun}, {taught}{recipe!r}",
        "images": _images(dataset, extra),
    }
    progress = Progress()
    if paths.checkpoint.exists():
        progress = load_checkpoint(
            paths.checkpoint, **identity, model=model, average=average, optimizer=optimizer
        )
    # Now that the weights are those to begin with.
    shards = Shards(model.train(), recipe.shards)
    run = _Run(
        recipe=recipe, batches=batches, model=model, shards=shards, average=average,
        optimizer=optimizer, objective=Objective(recipe, teacher),
        device=torch.device(device), bf16=bf16,
    )  # fmt: skip
    with closing(shards):
        for epoch in range(progress.epochs_done, recipe.epochs):
            started, processor_started = time.monotonic(), time.process_time()
            precision = "bf16 autocast" if bf16 else "fp32"
            record = {"epoch": epoch, "precision": precision, **run.epoch(epoch, report)}
            if recipe.reestimate and epoch + 1 == recipe.epochs:
                run.reestimate()
            if validation is not None and (
                (epoch + 1) % recipe.score_every == 0 or epoch + 1 == recipe.epochs
            ):
                record |= score(average, recipe, validation, bf16=bf16)
            progress.epochs_done = epoch + 1
            progress.seconds += time.monotonic() - started
            progress.processor_seconds += time.process_time() - processor_started
            progress.history.append(record)
            save_checkpoint(
                paths.checkpoint, **identity, model=model, average=average,
                optimizer=optimizer, progress=progress,
            )  # fmt: skip
            _write_log(paths.log, recipe, progress)
            report({"epoch_done": True, **record})
    taught_by = teacher.name if teacher else None
    card = trained_card(recipe, dataset, validation, progress, start, taught_by, extra)
    save_weights(paths.weights(recipe), average.state_dict(), card, auxiliary=True)
    plot_curves(progress.history, paths.curves)
    return paths.weights(recipe)


@dataclass(slots=True, kw_only=True, eq=False)
class _Run:
    """What stays the same from epoch to epoch."""

    recipe: Recipe
    batches: Batches
    model: nn.Module
    shards: Shards
    average: nn.Module
    optimizer: torch.optim.Optimizer
    objective: Objective
    device: torch.device
    bf16: bool

    def epoch(self, epoch: int, report: Report) -> dict[str, Any]:
        """Train one epoch; its mean loss and last learning rate."""
        stage, first_epoch = _stage_at(self.recipe, epoch)
        per_epoch = self.batches.per_epoch(stage)
        num_steps = (stage.decay_epochs or stage.epochs) * per_epoch
        steps_before = self._steps_before(epoch)
        weights_C = None
        if stage.class_softness is not None:
            weights_C = class_weights(self.batches.pixels_C, stage.class_softness).to(self.device)
        # For networks that draw random numbers (dropout): a resumed run must draw the same.
        seed = np.random.SeedSequence((self.recipe.seed, epoch)).generate_state(1)
        torch.manual_seed(int(seed[0]))
        self.model.train()
        losses = []
        rate = 0.0
        with closing(self.batches.epoch(stage, epoch)) as views:
            for batch, (image, label) in enumerate(views):
                step = (epoch - first_epoch) * per_epoch + batch
                rate = stage.rate(step, num_steps)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                loss = self._step(image, label, weights_C, stage)
                self._update_average(self.recipe.decay(steps_before + batch))
                if not math.isfinite(loss):
                    raise ModelError(
                        f"training diverged: expected a finite loss, got {loss} in epoch "
                        f"{epoch + 1}, step {batch + 1}; lower the recipe's learning rate "
                        f"(now {rate:.2g})"
                    )
                losses.append(loss)
                report(
                    {"epoch": epoch, "step": batch, "steps": per_epoch, "loss": loss, "rate": rate}
                )
        return {"loss": sum(losses) / len(losses), "rate": rate}

    def reestimate(self) -> None:
        """Batch-norm statistics of the average anew, over views of the last stage that no epoch had."""
        with closing(self._inputs(self.recipe.epochs)) as inputs:
            reestimate(self.average, inputs, passes=self.recipe.reestimate)

    def _inputs(self, first_epoch: int) -> Generator[Tensor, None, None]:
        """What the network takes, by the last stage, from batch to batch without end."""
        for epoch in count(first_epoch):
            with closing(self.batches.epoch(self.recipe.stages[-1], epoch)) as views:
                for image, _ in views:
                    yield normalized(image.to(self.device), self.recipe.input)

    def _step(self, image: Tensor, label: Tensor, weights_C: Tensor | None, stage: Stage) -> float:
        """One step of the optimizer; the loss before it."""
        image = image.to(self.device, non_blocking=True)
        label = label.to(self.device, non_blocking=True)

        def loss_of(model: nn.Module, image: Tensor, label: Tensor) -> Tensor:
            return self._loss(model, image, label, weights_C, stage)

        loss = self.shards.backward(loss_of, image, label)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimizer.step()
        return loss

    def _loss(
        self,
        model: nn.Module,
        image: Tensor,
        label: Tensor,
        weights_C: Tensor | None,
        stage: Stage,
    ) -> Tensor:
        """What the recipe minimises, for a batch or a part of one."""
        x = normalized(image, self.recipe.input)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = model(x)
        return self.objective.loss(
            logits, image, label, class_weights_C=weights_C, label_stride=stage.label_stride,
            background=self.batches.adds_background(stage),
        )  # fmt: skip

    def _steps_before(self, epoch: int) -> int:
        """Steps of the whole run before `epoch`."""
        stages = (_stage_at(self.recipe, before)[0] for before in range(epoch))
        return sum(self.batches.per_epoch(stage) for stage in stages)

    @torch.no_grad()
    def _update_average(self, decay: float) -> None:
        """Exponential moving average of weights and batch-norm statistics alike."""
        for mean, new in zip(
            self.average.state_dict().values(), self.model.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(new, 1 - decay)
            else:
                mean.copy_(new)


def score(
    model: nn.Module,
    recipe: Recipe,
    validation: LabelledImages,
    *,
    bf16: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """mIoU, pixel accuracy and IoU per class on `validation`, at the label maps' own size.

    Networks that run over proposals are scored on windows instead, see `label_by_windows`.

    Args:
        progress: called after each image with (done, total).

    Returns:
        "miou", "pixel_accuracy" and "iou" per class name: fractions in 0..1, or None for what has
        no value (a class that neither occurs nor was predicted), since JSON has no nan; "sizes":
        the network inputs that it was scored at, as "HxW", or what windows they were.
    """
    device = next(model.parameters()).device
    scored = copy.deepcopy(model).cpu().eval() if device.type != "cpu" else model.eval()
    confusion = Confusion(len(validation.labels))
    sizes: set[str] = set()
    for index in range(len(validation)):
        image, truth = validation.load(index)
        if by_proposals(recipe.architecture):
            sizes.add(
                "windows resized to {}x{}, all over the picture, not proposals".format(
                    *recipe.input.size
                )
            )
            labels = label_by_windows(scored, image, recipe.input, bf16=bf16)
        else:
            size = recipe.input.size_for(*truth.shape)
            sizes.add("{}x{}".format(*size))
            labels = label_image(scored, image, recipe.input, size=size, bf16=bf16)
        confusion.add(truth, labels)
        progress(index + 1, len(validation))
    iou = map(_finite, confusion.iou().tolist())
    return {
        "miou": _finite(confusion.miou()),
        "pixel_accuracy": _finite(confusion.pixel_accuracy()),
        "iou": dict(zip(validation.labels.class_names, iou, strict=True)),
        "sizes": sorted(sizes),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for convolution kernels only; Caffe's file too has decay_mult 0 elsewhere."""
    kernels = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _stage_at(recipe: Recipe, epoch: int) -> tuple[Stage, int]:
    """The stage that `epoch` belongs to, and that stage's first epoch."""
    first = 0
    for stage in recipe.stages:
        if epoch < first + stage.epochs:
            return stage, first
        first += stage.epochs
    raise ValueError(f"expected an epoch below {recipe.epochs}, got {epoch}")


def _write_log(path: Path, recipe: Recipe, progress: Progress) -> None:
    log = {
        "recipe": repr(recipe),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "seconds": progress.seconds,
        "processor_seconds": progress.processor_seconds,
        "epochs": progress.history,
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(log, indent=1))
    os.replace(part, path)


def _images(dataset: LabelledImages, extra: LabelledImages | None) -> str:
    """What a run learns from, as only runs of the same images say it."""
    text = f"{dataset.name} {dataset.split}, {len(dataset)} {dataset.contents}"
    return text if extra is None else f"{text}; {len(extra)} {extra.contents} ({extra.digest()})"
