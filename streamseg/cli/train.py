"""Train a model by a named recipe; resumes where it stopped."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from streamseg.arguments import data_folder, write_json

EXAMPLES = (
    "streamseg train icnet-camvid --data ../shared/data/camvid --out runs/icnet-camvid",
    "streamseg train icnet-camvid --epochs 5 --out runs/taste   # minutes, not hours",
    "streamseg train icnet-camvid --width 1 --out runs/full   # to be compressed afterwards",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="name of a recipe: icnet-camvid")
    parser.add_argument(
        "--data", metavar="DIR", help="data set folder (default: camvid below $STREAMSEG_DATA)"
    )
    parser.add_argument("--out", metavar="DIR", help="folder of the run (default: runs/RECIPE)")
    parser.add_argument(
        "--epochs", type=int, help="shorten or stretch the recipe to so many epochs"
    )
    parser.add_argument(
        "--width",
        type=float,
        help="factor of every layer's channels: 1 before compression, 0.5, 0.25",
    )
    parser.add_argument(
        "--seed", type=int, help="of weights and augmentation (default: the recipe's)"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N (default: %(default)s)")
    parser.add_argument(
        "--precision", default="bf16", choices=("bf16", "fp32"), help="(default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the log here (- for stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    from streamseg.datasets import open_dataset
    from streamseg.errors import DataError
    from streamseg.training.recipes import find_recipe
    from streamseg.training.trainer import TrainingPaths, train

    recipe = find_recipe(args.recipe, epochs=args.epochs, seed=args.seed, width=args.width)
    folder = data_folder(args.data)
    dataset = open_dataset(folder, "train")
    try:
        validation = open_dataset(folder, "val")
    except DataError:
        print("note: no validation split; the run is not scored", file=sys.stderr)
        validation = None
    out = Path(args.out or f"runs/{recipe.name}")
    with _Progress(recipe.epochs, quiet=args.quiet) as progress:
        weights = train(
            recipe,
            dataset,
            validation,
            out,
            device=args.device,
            bf16=args.precision == "bf16",
            report=progress,
        )
    if args.json:
        write_json(args.json, json.loads(TrainingPaths(folder=out).log.read_text()))
    print(weights)
    return 0


class _Progress:
    """A bar over the epochs, with loss and score beside it."""

    def __init__(self, epochs: int, *, quiet: bool) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(total=epochs, unit="epoch", disable=quiet or None)

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def __call__(self, event: dict[str, Any]) -> None:
        """`trainer.Report`."""
        epoch = event["epoch"] + (1 if event.get("epoch_done") else event["step"] / event["steps"])
        self._bar.n = round(epoch, 2)
        self._bar.set_postfix_str(f"loss {event['loss']:.3f}", refresh=True)
        if "miou" in event:
            self._bar.write(f"epoch {event['epoch'] + 1}: mIoU {event['miou']:.4f}")
