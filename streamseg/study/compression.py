"""Compares ways to a smaller network: pruning in steps, pruning at one blow, and training from scratch. Resumable.

This is what scripts/compression runs: `python -m streamseg.study.compression --help`.
"""

import argparse
import json
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from tqdm import tqdm

from streamseg.arguments import data_folder
from streamseg.compression.compress import Progress, compress, cost, epoch_report, make_steps
from streamseg.datasets import LabelledImages, open_dataset
from streamseg.errors import StreamsegError
from streamseg.evaluation.evaluate import evaluate
from streamseg.machine import examine
from streamseg.models.find import find_model
from streamseg.models.weights import load_model
from streamseg.segmenter import load
from streamseg.study.compression_plan import (
    QUICK,
    Compressed,
    CompressionPlan,
    CompressionResult,
    Way,
)
from streamseg.study.compression_table import markdown
from streamseg.training.recipes import find_recipe
from streamseg.training.trainer import train
from streamseg.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """All that is trained and scored, in one folder; what is finished there is not done again.

    Attributes:
        dataset, validation: to train and to score on.
        folder: "full", "progressive", "one-shot-0.5", "scratch-0.5", ...
        device, bf16: of the training.
    """

    plan: CompressionPlan
    dataset: LabelledImages
    validation: LabelledImages
    folder: Path
    device: str
    bf16: bool
    progress: Progress

    def measure(self, model: Path | None, command: str) -> CompressionResult:
        """Train, prune and score what the plan asks for.

        Args:
            model: the uncompressed network; None to train it, too.
            command: how to run this again; goes into the result.
        """
        epochs = 0 if model is not None else self._epochs()
        full = model or self._train("full", self.plan.width, epochs)
        scored_by, networks = "", []
        for trained in self._networks(full, epochs):
            self.progress(f"scoring {trained.path.stem}", 0, len(self.validation))
            with load(trained.path, device="cpu", precision="fp32") as segmenter:
                scores = evaluate(segmenter, self.validation)
            scored_by = f"{scores['backend']} {scores['precision']}"
            networks.append(trained.record(scores))
        card, machine = find_model(full).card, examine()
        return CompressionResult(
            streamseg=__version__,
            date=date.today().isoformat(),
            command=command,
            python=platform.python_version(),
            machine={
                key: machine[key] for key in ("processor", "cores", "bf16", "packages", "system")
            },
            model=card.name,
            epochs=epochs,
            device=self.device,
            precision="bf16 autocast" if self.bf16 else "fp32",
            seed=self.plan.seed,
            trained_on=_name(self.dataset),
            scored_on=_name(self.validation),
            scored_by=scored_by,
            network_size=card.input.size,
            networks=tuple(networks),
            quick=self.plan.images is not None,
        )

    def _networks(self, full: Path, epochs: int) -> "Iterator[Trained]":
        """All networks, the uncompressed one, which had so many epochs, first."""
        plan = self.plan
        yield Trained(way="uncompressed", keep=1.0, path=full, epochs=epochs)
        yield from self._compress("progressive", full, "progressive", plan.steps, epochs)
        for keep in plan.compared:
            yield from self._compress("one-shot", full, f"one-shot-{keep:g}", [keep], epochs)
        width = find_model(full).card.width or plan.width
        for keep in plan.compared:
            long = self._epochs() + self._tuning_down_to(keep)
            path = self._train(f"scratch-{keep:g}", width * keep, long)
            yield Trained(way="from scratch", keep=keep, path=path, epochs=long)

    def _compress(
        self, way: Way, full: Path, name: str, keep: Sequence[float], before: int
    ) -> "Iterator[Trained]":
        """Prune to one share after the other; in all, each has the epochs of the plan's steps down to it."""
        ends = [self._tuning_down_to(share) for share in keep]
        recipes = [
            find_recipe(self.plan.tuning, epochs=end - start, seed=self.plan.seed)
            for start, end in pairwise([0, *ends])
        ]
        report = compress(
            full, make_steps(keep, recipes), self.dataset, self.validation, self.folder / name,
            device=self.device, bf16=self.bf16,
            progress=lambda what, done, total: self.progress(f"{name}: {what}", done, total),
            note=lambda text: print(f"note: {text}", file=sys.stderr),
        )  # fmt: skip
        for end, step in zip(ends, report["steps"], strict=True):
            yield Trained(
                way=way,
                keep=step["keep"],
                path=Path(step["weights"]),
                epochs=before + end,
                pruned_miou=step["pruned"]["miou"],
            )

    def _train(self, name: str, width: float, epochs: int) -> Path:
        recipe = replace(
            find_recipe(self.plan.recipe, epochs=epochs, seed=self.plan.seed, width=width),
            name=f"{self.plan.recipe}-{name}",
        )
        return train(
            recipe, self.dataset, self.validation, self.folder / name,
            device=self.device, bf16=self.bf16, report=epoch_report(self.progress, name, recipe),
        )  # fmt: skip

    def _epochs(self) -> int:
        return find_recipe(self.plan.recipe, epochs=self.plan.epochs).epochs

    def _tuning_down_to(self, keep: float) -> int:
        """Epochs of fine-tuning of all the plan's steps down to a share."""
        steps = self.plan.steps.index(keep) + 1
        return steps * find_recipe(self.plan.tuning, epochs=self.plan.tuning_epochs).epochs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A network that is trained, to be scored. Attributes: its weights' file, and see `Compressed`."""

    way: Way
    keep: float
    path: Path
    epochs: int
    pruned_miou: float | None = None

    def record(self, scores: dict[str, Any]) -> Compressed:
        """With its scores by `evaluate`."""
        file = find_model(self.path)
        network = load_model(file)
        return Compressed(
            way=self.way,
            keep=self.keep,
            width=file.card.width or 1.0,
            **cost(network, file.card.input.size),
            epochs=self.epochs,
            pruned_miou=self.pruned_miou,
            miou=scores["miou"],
            pixel_accuracy=scores["pixel_accuracy"],
            milliseconds=1000 / scores["fps"],
        )


def _name(images: LabelledImages) -> str:
    return f"{images.name} {images.split}, {len(images)} images"


def main(words: Sequence[str] | None = None) -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(prog="scripts/compression", description=__doc__)
    parser.add_argument("--model", type=Path, help="the uncompressed network (default: train one)")
    parser.add_argument("--data", help="CamVid's folder (default: camvid below STREAMSEG_DATA)")
    parser.add_argument("--out", type=Path, help="folder of all runs (default: runs/compression)")
    parser.add_argument("--quick", action="store_true", help="to see that all runs; no real scores")
    parser.add_argument("--epochs", type=int, help="of training (default: the recipe's)")
    parser.add_argument("--tuning-epochs", type=int, help="after each step (default: the recipe's)")
    parser.add_argument("--seed", type=int, help="of all runs")
    parser.add_argument("--device", default="cpu", help="of training (default: %(default)s)")
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp32"))
    parser.add_argument("--json", type=Path, required=True, help="all numbers")
    parser.add_argument("--markdown", type=Path, required=True, help="tables, as on stdout")
    args = parser.parse_args(words)
    plan = plan_of(args)
    with tqdm(leave=False, disable=None) as bar:

        def progress(what: str, done: float, total: float) -> None:
            bar.set_description_str(what, refresh=False)
            bar.total = total
            bar.n = round(done, 2)
            bar.refresh()

        try:
            folder = data_folder(args.data)
            trial = Trial(
                plan=plan,
                dataset=_first(open_dataset(folder, "train"), plan.images),
                validation=_first(open_dataset(folder, "val"), plan.scored),
                folder=args.out or Path(f"runs/compression{'-quick' if args.quick else ''}"),
                device=args.device,
                bf16=args.precision == "bf16",
                progress=progress,
            )
            result = trial.measure(args.model, command_of(args))
        except (StreamsegError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from here", file=sys.stderr)
            return 130
    args.json.write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
    args.markdown.write_text(markdown(result) + "\n", encoding="utf-8")
    print(markdown(result))
    return 0


def plan_of(args: argparse.Namespace) -> CompressionPlan:
    """What the flags ask for."""
    plan = QUICK if args.quick else CompressionPlan()
    asked = {"epochs": args.epochs, "tuning_epochs": args.tuning_epochs, "seed": args.seed}
    changes: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    return replace(plan, **changes)


def command_of(args: argparse.Namespace) -> str:
    """The command line that measures the same again; files by their names alone."""
    words = ["scripts/compression"]
    words += ["--model", args.model.name] if args.model else []
    words += ["--quick"] if args.quick else []
    for flag in ("epochs", "tuning_epochs", "seed"):
        value = getattr(args, flag)
        words += [] if value is None else [f"--{flag.replace('_', '-')}", str(value)]
    words += ["--device", args.device] if args.device != "cpu" else []
    words += ["--precision", args.precision] if args.precision != "bf16" else []
    return shlex.join(words)


def _first(images: LabelledImages, count: int | None) -> LabelledImages:
    return replace(images, pairs=images.pairs[:count])


if __name__ == "__main__":
    sys.exit(main())
