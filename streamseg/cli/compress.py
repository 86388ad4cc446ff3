"""Make a trained network smaller: prune its weakest filters in steps, and fine-tune after each; resumes."""

import argparse
import sys
from pathlib import Path
from typing import Any

from streamseg.arguments import data_folder, let_threads_sleep, write_json
from streamseg.cli.progress import ProgressBar

EXAMPLES = (
    "streamseg train icnet-camvid --width 1 --out runs/full   # something large to begin with",
    "streamseg compress runs/full/icnet-camvid.safetensors --keep .75,.5 --out runs/half",
    "streamseg compress runs/full/icnet-camvid.safetensors --keep .5 --epochs 80   # at one blow",
    "streamseg calibrate --model runs/half/keep-0.5/icnet-camvid-0.5.safetensors   # then int8",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="shipped model, or weights that `streamseg train` wrote"
    )
    parser.add_argument(
        "--keep",
        default=".75,.5",
        metavar="SHARE[,SHARE...]",
        help="of every layer's filters, step by step, of those that MODEL has (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        metavar="N[,N...]",
        help="of fine-tuning after each step: one number for all, or one for each (default: the recipe's)",
    )
    parser.add_argument(
        "--recipe",
        default="icnet-camvid-tuning",
        help="of the fine-tuning; MODEL says the network and its input (default: %(default)s)",
    )
    parser.add_argument(
        "--data", metavar="DIR", help="data set folder (default: camvid below $STREAMSEG_DATA)"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder of the run (default: runs/MODEL-compressed)"
    )
    parser.add_argument(
        "--seed", type=int, help="of augmentation and of missing heads (default: the recipe's)"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N (default: %(default)s)")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "bf16", "fp32"),
        help="auto is bf16 where the device multiplies it natively (default: %(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the report here, too (- for stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table")


def run(args: argparse.Namespace) -> int:
    let_threads_sleep()
    keep = _numbers(args.keep, "--keep", float, ".75,.5")
    epochs = _numbers(args.epochs, "--epochs", int, "40 or 30,40") if args.epochs else [None]
    if len(epochs) not in (1, len(keep)):
        raise ValueError(
            f"expected one --epochs, or one for each of {len(keep)} steps, got {len(epochs)}"
        )

    from streamseg.compression.compress import compress, make_steps
    from streamseg.datasets import open_dataset
    from streamseg.errors import DataError
    from streamseg.training.precision import in_bf16
    from streamseg.training.recipes import find_recipe

    recipes = [find_recipe(args.recipe, epochs=number, seed=args.seed) for number in epochs]
    steps = make_steps(keep, recipes * len(keep) if len(recipes) == 1 else recipes)
    folder = data_folder(args.data)
    dataset = open_dataset(folder, "train")
    try:
        validation = open_dataset(folder, "val")
    except DataError:
        print("note: no validation split; nothing is scored", file=sys.stderr)
        validation = None
    with ProgressBar(quiet=args.quiet) as progress:
        report = compress(
            args.model,
            steps,
            dataset,
            validation,
            Path(args.out or f"runs/{Path(args.model).stem}-compressed"),
            device=args.device,
            bf16=in_bf16(args.precision, args.device),
            progress=progress,
            note=lambda text: print(f"note: {text}", file=sys.stderr),
        )
    write_json(args.json, report)
    if not args.quiet:
        print_report(report)
    print(report["steps"][-1]["weights"])
    return 0


def print_report(report: dict[str, Any]) -> None:
    """What every step cost and saved, as a small table on standard output."""
    before = report["before"]
    print("  keep   width     M parameters      GMAC   mIoU right after   fine-tuned")
    print(f"  {'1':<6} {_network(before)}   {'':>16}   {_score(before)}")
    for step in report["steps"]:
        scores = f"{_score(step['pruned']):>16}   {_score(step['tuned'])}"
        print(f"  {step['keep']:<6g} {_network(step)}   {scores}")
    height, width = report["size"]
    on = f"mIoU on {report['scored_on']}, {report['precision']}; " if report["scored_on"] else ""
    print(f"{on}GMAC at {height}x{width}; fine-tuned on {report['data']}")


def _network(part: dict[str, Any]) -> str:
    return f"{part['width']:<9g} {part['parameters'] / 1e6:12.2f} {part['gmac']:9.2f}"


def _score(scores: dict[str, Any]) -> str:
    return "none" if scores["miou"] is None else f"{scores['miou']:.4f}"


def _numbers(text: str, flag: str, kind: type, example: str) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"expected {flag} like {example}, got {text!r}") from None
