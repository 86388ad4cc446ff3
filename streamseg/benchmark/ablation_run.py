"""Trains named changes to a small recipe without one drive, scores them on it, and says which ones help.

This is what scripts/ablate runs: `python -m streamseg.benchmark.ablation_run --help`. Stopped at any moment and called
again it goes on with the epoch it was in; what is finished is not run again.
"""

import argparse
import dataclasses
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from streamseg.arguments import data_folder
from streamseg.benchmark.ablation_plan import HELD_OUT, VARIANTS, AblationPlan, reduced
from streamseg.benchmark.ablation_records import AblationRun, Ablations
from streamseg.benchmark.ablation_table import markdown
from streamseg.datasets import LabelledImages, open_dataset
from streamseg.errors import ModelError, SinkError, StreamsegError
from streamseg.machine import examine
from streamseg.sample import write_rendered
from streamseg.training.changes import CHANGES, changed
from streamseg.training.recipe import Recipe
from streamseg.training.trainer import Report, TrainingPaths, train
from streamseg.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One run that is to be there in the end."""

    variant: str
    hold_out: str
    recipe: Recipe
    dataset: LabelledImages
    validation: LabelledImages
    folder: Path

    @property
    def result(self) -> Path:
        return self.folder / "result.json"

    def finished(self) -> AblationRun | None:
        """What is there already.

        Raises:
            DataError: it is unreadable.
            ModelError: it is of another recipe or other images.
        """
        if not self.result.exists():
            return None
        run = AblationRun.read(self.result)
        if (run.recipe, run.trained_on) != (repr(self.recipe), _images(self.dataset)):
            raise ModelError(
                f"{self.folder} holds a run of another recipe or other images ({run.epochs} epochs "
                f"on {run.trained_on}); choose another --out or delete it"
            )
        return run


def tasks(plan: AblationPlan, data: Path, out: Path) -> Iterator[_Task]:
    """All that `plan` asks for; every variant once, before there is another drive or seed.

    Raises:
        DataError: no such data or drive.
        ModelError: an unknown variant.
    """
    images = open_dataset(data, "train")
    for seed in plan.seeds:
        for drive in plan.hold_out:
            dataset = _first(images.without(drive), plan.limit)
            validation = _first(images.only(drive), plan.limit)
            for variant in plan.variants:
                yield _Task(
                    variant=variant,
                    hold_out=drive,
                    recipe=replace(changed(reduced(plan.epochs), variant), seed=seed),
                    dataset=dataset,
                    validation=validation,
                    folder=out / f"{variant}-without-{drive}-seed{seed}",
                )


def run_task(
    task: _Task,
    rendered: Path,
    *,
    device: str,
    report: Report,
    rendering: Callable[[int, int], None] | None = None,
) -> AblationRun:
    """Train and score, or go on with it; its folder keeps weights, log and curves, and no checkpoint.

    Args:
        rendered: folder of rendered frames; made if the recipe wants them.
        rendering: called after each of them with (frames written, frames in all).
    """
    recipe, paths = task.recipe, TrainingPaths(folder=task.folder)
    extra = None
    if recipe.wants_rendered:
        write_rendered(
            rendered, frames=recipe.rendered_frames, seed=recipe.seed, progress=rendering
        )
        extra = replace(open_dataset(rendered, "train"), contents="rendered frames")
    train(
        recipe, task.dataset, task.validation, task.folder,
        extra=extra, device=device, report=report,
    )  # fmt: skip
    log = json.loads(paths.log.read_text())
    last = log["epochs"][-1]
    run = AblationRun(
        variant=task.variant,
        hold_out=task.hold_out,
        seed=recipe.seed,
        epochs=recipe.epochs,
        trained_on=_images(task.dataset),
        scored_on=_images(task.validation),
        miou=last["miou"],
        pixel_accuracy=last["pixel_accuracy"],
        iou=last["iou"],
        minutes=log["seconds"] / 60,
        processor_minutes=log["processor_seconds"] / 60,
        threads=log["threads"],
        torch=log["torch"],
        date=date.today().isoformat(),
        recipe=repr(recipe),
    )
    _write(task.result, json.dumps(dataclasses.asdict(run), indent=1) + "\n")
    paths.checkpoint.unlink()  # 107 MB of what only an unfinished run needs
    return run


def _first(images: LabelledImages, limit: int | None) -> LabelledImages:
    """The first so many images of each drive."""
    if limit is None:
        return images
    pairs = [pair for drive in images.drives for pair in images.only(drive).pairs[:limit]]
    return replace(images, pairs=tuple(pairs))


def _images(images: LabelledImages) -> str:
    return f"{images.name} {images.split}, {len(images)} images"


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error


def main(words: Sequence[str] | None = None) -> int:
    """The program; its exit status."""
    args = _parser().parse_args(words)
    if args.list:
        print("\n".join(f"{name:9} {change.summary}" for name, change in CHANGES.items()))
        return 0
    if args.threads:
        torch.set_num_threads(args.threads)
    plan = AblationPlan(
        variants=tuple(args.variants.split(",")) if args.variants else VARIANTS,
        hold_out=tuple(args.hold_out or [HELD_OUT]),
        seeds=tuple(args.seed or [0]),
        epochs=args.epochs,
        limit=args.limit,
    )
    try:
        found = ablate(
            plan, data_folder(args.data), args.out, command=command_of(args),
            device=args.device, json_file=args.json, table=args.markdown,
        )  # fmt: skip
    except StreamsegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(markdown(found))
    return 0


def ablate(
    plan: AblationPlan,
    data: Path,
    out: Path,
    *,
    command: str,
    device: str = "cpu",
    json_file: Path,
    table: Path,
) -> Ablations:
    """Run what is missing of `plan`, writing both files anew after each run.

    Args:
        out: folder of all runs. Several processes may share it if their variants differ; each one's files then tell
            of the runs of its own plan.
        command: how to run this again; goes into the result.

    Raises:
        DataError, ModelError, SinkError: see `tasks`, `_Task.finished` and `train`.
    """
    asked = list(tasks(plan, data, out))
    runs = [task.finished() for task in asked]  # what is in the way is said now, not after hours
    average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    machine = examine()

    def so_far() -> Ablations:
        return Ablations(
            streamseg=__version__,
            date=date.today().isoformat(),
            command=command,
            python=platform.python_version(),
            load_average=average,
            machine={
                key: machine[key] for key in ("processor", "cores", "bf16", "packages", "system")
            },
            runs=tuple(run for run in runs if run is not None),
        )

    with tqdm(total=plan.epochs * len(asked), unit="epoch", disable=None, smoothing=0.1) as bar:
        for index, task in enumerate(asked):
            if runs[index] is None:
                bar.set_description_str(task.folder.name)
                runs[index] = _watched(task, out, device, bar, plan.epochs * index)
                found = so_far()
                _write(json_file, json.dumps(found.to_json(), indent=1) + "\n")
                _write(table, markdown(found) + "\n")
            bar.n = plan.epochs * (index + 1)
            bar.refresh()
    found = so_far()
    _write(json_file, json.dumps(found.to_json(), indent=1) + "\n")
    _write(table, markdown(found) + "\n")
    return found


def _watched(task: _Task, out: Path, device: str, bar: Any, done: int) -> AblationRun:
    """`run_task` with the bar moving on from `done` epochs."""

    def report(event: dict[str, Any]) -> None:
        part = 1 if event.get("epoch_done") else event["step"] / event["steps"]
        bar.n = round(done + event["epoch"] + part, 2)
        bar.set_postfix_str(f"loss {event['loss']:.3f}", refresh=True)

    def rendering(frame: int, total: int) -> None:
        bar.set_postfix_str(f"rendering {frame}/{total}", refresh=True)

    run = run_task(
        task,
        out / f"rendered-seed{task.recipe.seed}",
        device=device,
        report=report,
        rendering=rendering,
    )
    tqdm.write(f"{task.folder.name}: mIoU {run.miou:.4f}", file=sys.stderr)
    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/ablate", description=__doc__)
    parser.add_argument("--data", help="CamVid's folder (default: camvid below STREAMSEG_DATA)")
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument(
        "--variants", help="joined by commas, changes within one by + (default: the whole list)"
    )
    parser.add_argument("--list", action="store_true", help="say what changes there are")
    parser.add_argument(
        "--hold-out", action="append", metavar="DRIVE", help="may be repeated (default: 0006R0)"
    )
    parser.add_argument(
        "--seed", action="append", type=int, metavar="N", help="may be repeated (default: 0)"
    )
    parser.add_argument(
        "--epochs", type=int, default=AblationPlan().epochs, help="of a run (default: %(default)s)"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="images of each drive, to try it out"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (default: all cores)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N (default: %(default)s)")
    parser.add_argument("--json", type=Path, required=True, help="all numbers")
    parser.add_argument("--markdown", type=Path, required=True, help="tables, as on stdout")
    return parser


def command_of(args: argparse.Namespace) -> str:
    """The command line that measures the same again."""
    words = ["scripts/ablate"]
    words += ["--variants", args.variants] if args.variants else []
    for drive in args.hold_out or []:
        words += ["--hold-out", drive]
    for seed in args.seed or []:
        words += ["--seed", str(seed)]
    words += ["--epochs", str(args.epochs)]
    for name in ("limit", "threads"):
        value = getattr(args, name)
        words += [f"--{name}", str(value)] if value is not None else []
    words += ["--device", args.device] if args.device != "cpu" else []
    return shlex.join(words)


if __name__ == "__main__":
    sys.exit(main())
