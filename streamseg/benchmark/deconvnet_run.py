"""Trains FCN-8s and DeconvNet, or takes them, and makes the DeconvNet paper's table of them: alone, with CRF, together.

This is what scripts/deconvnet runs: `python -m streamseg.benchmark.deconvnet_run --help`. Stopped at any moment and
called again it goes on with the epoch it was in; rows that are there are not measured again.
"""

import argparse
import dataclasses
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from streamseg.arguments import data_folder
from streamseg.benchmark.deconvnet_table import (
    WAYS,
    DeconvNetResult,
    DeconvNetRow,
    Way,
    markdown,
    network_notes,
)
from streamseg.datasets import LabelledImages, open_dataset
from streamseg.engine.graph_cache import file_digest
from streamseg.errors import DataError, ModelError, SinkError, StreamsegError
from streamseg.evaluation.evaluate import evaluate
from streamseg.machine import examine
from streamseg.models.find import find_model
from streamseg.segmenter import Segmenter, load
from streamseg.training.recipe import Recipe
from streamseg.training.recipes import find_recipe
from streamseg.training.start import Start, start_from
from streamseg.training.trainer import train
from streamseg.version import __version__

Load = Callable[..., Segmenter]
"""`streamseg.load`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Weights of both."""

    fcn8s: Path
    deconvnet: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DeconvNetPlan:
    """How to train and to score.

    Attributes:
        epochs: of each training; None for the recipes'.
        proposals: see `streamseg.load`.
        limit: only the first so many images of either split, to see that all works; None for all.
    """

    epochs: int | None = None
    seed: int = 0
    proposals: str = "auto:50"
    limit: int | None = None
    device: str = "cpu"


def trained(plan: DeconvNetPlan, given: dict[str, Path], data: Path, out: Path) -> Networks:
    """Both networks: those of `given` ("fcn8s", "deconvnet"), or trained in `out`, or gone on with there. DeconvNet
    begins with FCN-8s' VGG16, if that is of its width.

    Raises:
        ModelError: a given one is of another architecture, or `out` holds another run; or see `train`.
    """
    paths: dict[str, Path] = {}
    for name in ("fcn8s", "deconvnet"):
        if name in given:
            architecture = find_model(given[name]).card.architecture
            if architecture != name:
                raise ModelError(f"expected weights of {name}, {given[name]} has {architecture}'s")
            paths[name] = given[name]
    dataset, validation = _images(data, plan.limit)
    for name in ("fcn8s", "deconvnet"):
        if name not in paths:
            recipe = find_recipe(f"{name}-camvid", epochs=plan.epochs, seed=plan.seed)
            with tqdm(total=recipe.epochs, unit="epoch", disable=None, desc=recipe.name) as bar:
                paths[name] = train(
                    recipe, dataset, validation, out / recipe.name,
                    start=_beginning(recipe, paths, dataset), device=plan.device,
                    report=_moving(bar),
                )  # fmt: skip
    return Networks(**paths)


def _beginning(recipe: Recipe, paths: dict[str, Path], dataset: LabelledImages) -> Start | None:
    if "fcn8s" not in paths:
        return None
    file = find_model(paths["fcn8s"])
    return start_from(file, recipe, dataset.labels) if file.card.width == recipe.width else None


def _moving(bar: Any) -> Callable[[dict[str, Any]], None]:
    def report(event: dict[str, Any]) -> None:
        part = 1 if event.get("epoch_done") else event["step"] / event["steps"]
        bar.n = round(event["epoch"] + part, 2)
        bar.set_postfix_str(f"loss {event['loss']:.3f}", refresh=True)

    return report


def loading(way: Way, networks: Networks, plan: DeconvNetPlan) -> tuple[Path, dict[str, Any]]:
    """What `streamseg.load` is called with: model and keywords."""
    how: dict[str, Any] = {"device": plan.device}
    if way.deconvnet:
        how["proposals"] = plan.proposals
    if way.ensemble:
        how |= {"ensemble": [networks.fcn8s], "ensemble_by": "mean"}
    if way.crf:
        how["crf"] = "deconvnet"
    return networks.deconvnet if way.deconvnet else networks.fcn8s, how


def score(
    way: Way,
    networks: Networks,
    plan: DeconvNetPlan,
    images: LabelledImages,
    kept: Path,
    *,
    load: Load = load,
) -> DeconvNetRow:
    """One row: looked up in `kept` if it is there of this very plan, else measured and left there.

    Raises:
        ModelError, BackendError, DataError: see `streamseg.load` and `evaluate`.
    """
    model, how = loading(way, networks, plan)
    settings = {key: value for key, value in how.items() if key != "ensemble"}
    weights = [file_digest(path) for path in (model, *how.get("ensemble", ()))]
    identity = json.dumps([__version__, weights, settings, _text(images)])
    if kept.exists():
        row = _read(kept)
        if row.plan == identity:
            return row
    with (
        load(model, **how) as segmenter,
        tqdm(total=len(images), unit="image", disable=None, desc=way.title, leave=False) as bar,
    ):
        found = evaluate(segmenter, images, progress=lambda done, total: bar.update(done - bar.n))
    row = DeconvNetRow(
        way=way.name,
        plan=identity,
        miou=found["miou"],
        pixel_accuracy=found["pixel_accuracy"],
        iou=found["iou"],
        boundary_f1=found["boundary_f1"],
        seconds=1 / found["fps"],
        backend=found["backend"],
        precision=found["precision"],
        fallbacks=tuple(found["fallbacks"]),
        date=date.today().isoformat(),
    )
    kept.parent.mkdir(parents=True, exist_ok=True)
    _write(kept, json.dumps(dataclasses.asdict(row), indent=1) + "\n")
    return row


def make_table(
    plan: DeconvNetPlan,
    data: Path,
    out: Path,
    *,
    given: dict[str, Path],
    command: str,
    json_file: Path,
    table: Path,
    load: Load = load,
) -> DeconvNetResult:
    """Train what is missing, measure what is missing, and write both files anew after each row.

    Args:
        out: folder of trainings and rows.
        given: see `trained`.
        command: how to run this again; goes into the result.

    Raises:
        ModelError, BackendError, DataError, SinkError: see `trained` and `score`.
    """
    average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    machine = examine()
    networks = trained(plan, given, data, out)
    _, images = _images(data, plan.limit)
    cards = {path.name: find_model(path).card for path in (networks.fcn8s, networks.deconvnet)}
    result = DeconvNetResult(
        streamseg=__version__,
        date=date.today().isoformat(),
        command=command,
        python=platform.python_version(),
        load_average=average,
        machine={key: machine[key] for key in ("processor", "cores", "bf16", "packages", "system")},
        scored_on=_text(images),
        caveat=images.caveat,
        networks={name: network_notes(card) for name, card in cards.items()},
        rows=(),
    )
    for way in WAYS:
        row = score(way, networks, plan, images, out / "rows" / f"{way.name}.json", load=load)
        result = replace(result, rows=(*result.rows, row))
        _write(json_file, json.dumps(result.to_json(), indent=1) + "\n")
        _write(table, markdown(result) + "\n")
    return result


def _images(data: Path, limit: int | None) -> tuple[LabelledImages, LabelledImages]:
    """(to train on, to score on)."""
    splits = (open_dataset(data, split) for split in ("train", "val"))
    train_, val = (replace(images, pairs=images.pairs[:limit]) for images in splits)
    return train_, val


def _text(images: LabelledImages) -> str:
    return f"{images.name} {images.split}, {len(images)} {images.contents}"


def _read(path: Path) -> DeconvNetRow:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return DeconvNetRow(**{**values, "fallbacks": tuple(values["fallbacks"])})
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"expected a row of the table at {path}: {error}. Delete it to measure it again"
        ) from error


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error


def main(words: Sequence[str] | None = None, *, load: Load = load) -> int:
    """The program; its exit status."""
    args = _parser().parse_args(words)
    if args.threads:
        torch.set_num_threads(args.threads)
    plan = DeconvNetPlan(
        epochs=args.epochs, seed=args.seed, proposals=args.proposals, limit=args.limit, device=args.device
    )  # fmt: skip
    given = {name: path for name in ("fcn8s", "deconvnet") if (path := getattr(args, name))}
    try:
        found = make_table(
            plan, data_folder(args.data), args.out, given=given, command=command_of(args),
            json_file=args.json, table=args.markdown, load=load,
        )  # fmt: skip
    except (StreamsegError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(markdown(found))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/deconvnet", description=__doc__)
    default = DeconvNetPlan()
    parser.add_argument("--data", help="CamVid's folder (default: camvid below STREAMSEG_DATA)")
    parser.add_argument("--out", type=Path, required=True, help="folder of trainings and rows")
    parser.add_argument("--fcn8s", type=Path, metavar="PATH", help="weights, instead of training")
    parser.add_argument(
        "--deconvnet", type=Path, metavar="PATH", help="weights, instead of training"
    )
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="of each training (default: the recipes')"
    )
    parser.add_argument(
        "--seed", type=int, default=default.seed, help="of trainings (default: %(default)s)"
    )
    parser.add_argument(
        "--proposals",
        default=default.proposals,
        metavar="SOURCE:N",
        help="where DeconvNet looks, see `streamseg run --help` (default: %(default)s)",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="images of either split, to try it out"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (default: all cores)")
    parser.add_argument(
        "--device", default=default.device, help="cpu or cuda:N (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, required=True, help="all numbers")
    parser.add_argument("--markdown", type=Path, required=True, help="the table, as on stdout")
    return parser


def command_of(args: argparse.Namespace) -> str:
    """The command line that measures the same again; weights by their names alone."""
    words = ["scripts/deconvnet"]
    for name in ("fcn8s", "deconvnet"):
        path = getattr(args, name)
        words += [f"--{name}", path.name] if path else []
    for name, default in dataclasses.asdict(DeconvNetPlan()).items():
        value = getattr(args, name)
        words += [f"--{name}", str(value)] if value != default else []
    words += ["--threads", str(args.threads)] if args.threads else []
    return shlex.join(words)


if __name__ == "__main__":
    sys.exit(main())
