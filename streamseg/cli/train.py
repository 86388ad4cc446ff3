"""Train a model by a named recipe; resumes where it stopped."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.arguments import data_folder, let_threads_sleep, write_json

if TYPE_CHECKING:
    from streamseg.datasets import LabelledImages
    from streamseg.training.recipe import Recipe

EXAMPLES = (
    "streamseg train icnet-camvid --data ../shared/data/camvid --out runs/icnet-camvid",
    "streamseg train icnet-camvid --epochs 5 --out runs/taste   # minutes, not hours",
    "streamseg train icnet-camvid --with light+paste --hold-out 0006R0   # scored on a drive it never saw",
    "streamseg train icnet-camvid --also auto --also-share 0.5   # what `streamseg autolabel` made",
    "streamseg train icnet-camvid --from icnet-camvid --data MINE --epochs 30   # learns your streets",
    "streamseg train icnet-camvid --width 1 --out runs/full   # to be compressed afterwards",
    "streamseg train pspnet50-camvid --width 0.5   # what ICNet is compared with",
    "streamseg train deconvnet-camvid --data VOC2012 --split train_aug   # object by object",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe", help="name of a recipe: icnet-camvid, deconvnet-camvid, fcn8s-camvid, ..."
    )
    parser.add_argument(
        "--data", metavar="DIR", help="data set folder (default: camvid below $STREAMSEG_DATA)"
    )
    parser.add_argument(
        "--split",
        default="train",
        help="of --data to learn from; Pascal VOC may have train_aug, with SBD's labels, too (default: %(default)s)",
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
        "--from",
        dest="start",
        metavar="NAME|PATH",
        help="begin with these weights instead of random ones; of another set of classes all but the classifiers, "
        "of FCN for DeconvNet its VGG16",
    )
    parser.add_argument(
        "--seed", type=int, help="of weights and augmentation (default: the recipe's)"
    )
    parser.add_argument(
        "--with",
        dest="changes",
        default="baseline",
        metavar="CHANGE+...",
        help="named changes to the recipe, as scripts/ablate measures them: light, shadows, camera, paste, ...",
    )
    parser.add_argument(
        "--hold-out",
        metavar="DRIVE",
        help="train on all other drives of the train split, score on this one (CamVid: 0001TP, 0006R0, 0016E5)",
    )
    parser.add_argument(
        "--also",
        metavar="DIR",
        help="mix in the train split of this data set, too: frames that `streamseg autolabel` labelled",
    )
    parser.add_argument(
        "--also-share",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of each batch that is from --also; an epoch is still one pass over --data (default: %(default)s)",
    )
    parser.add_argument(
        "--teacher", metavar="PATH", help="weights of a wider network to learn from, too"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N (default: %(default)s)")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "bf16", "fp32"),
        help="auto is bf16 where the device multiplies it natively (default: %(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the log here (- for stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    let_threads_sleep()
    from streamseg.datasets import open_dataset
    from streamseg.models.find import find_model
    from streamseg.training.changes import changed
    from streamseg.training.losses import Distillation
    from streamseg.training.precision import in_bf16
    from streamseg.training.recipes import find_recipe, mixed_with
    from streamseg.training.start import start_from
    from streamseg.training.trainer import TrainingPaths, train

    base = find_recipe(args.recipe, epochs=args.epochs, seed=args.seed, width=args.width)
    recipe = changed(base, args.changes)
    if args.teacher:
        recipe = replace(recipe, distillation=Distillation(teacher=args.teacher))
    if args.also:
        recipe = mixed_with(recipe, args.also_share)
    dataset = open_dataset(data_folder(args.data), args.split)
    start = start_from(find_model(args.start), recipe, dataset.labels) if args.start else None
    validation: LabelledImages | None
    if args.hold_out:
        validation, dataset = dataset.only(args.hold_out), dataset.without(args.hold_out)
        out = Path(args.out or f"runs/{recipe.name}-without-{args.hold_out}")
    else:
        validation = _validation(data_folder(args.data))
        out = Path(args.out or f"runs/{recipe.name}")
    extra = (
        _also(args.also, args.hold_out)
        if args.also
        else _rendered(recipe, out / "rendered", quiet=args.quiet)
    )
    with _Progress(recipe.epochs, quiet=args.quiet) as progress:
        weights = train(
            recipe,
            dataset,
            validation,
            out,
            extra=extra,
            start=start,
            device=args.device,
            bf16=in_bf16(args.precision, args.device),
            report=progress,
        )
    if args.json:
        write_json(args.json, json.loads(TrainingPaths(folder=out).log.read_text()))
    print(weights)
    return 0


def _validation(folder: Path) -> "LabelledImages | None":
    from streamseg.datasets import open_dataset
    from streamseg.errors import DataError

    try:
        return open_dataset(folder, "val")
    except DataError:
        print("note: no validation split; the run is not scored", file=sys.stderr)
        return None


def _rendered(recipe: "Recipe", folder: Path, *, quiet: bool) -> "LabelledImages | None":
    """The rendered frames that a recipe mixes in, made in `folder` unless they are there."""
    from tqdm import tqdm

    from streamseg.datasets import open_dataset
    from streamseg.sample import write_rendered

    if not recipe.wants_rendered:
        return None
    with tqdm(desc="rendering", unit="frame", disable=quiet or None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        write_rendered(folder, frames=recipe.rendered_frames, seed=recipe.seed, progress=progress)
    return replace(open_dataset(folder, "train"), contents="rendered frames")


def _also(folder: str, hold_out: str | None) -> "LabelledImages":
    """The images that are mixed in; says so where they show what is scored on."""
    from streamseg.datasets import open_dataset

    extra = open_dataset(folder, "train")
    if hold_out in extra.drives:
        print(
            f"note: {len(extra.only(hold_out))} of {len(extra)} in {folder} are of the drive {hold_out} held out",
            file=sys.stderr,
        )
    return extra


class _Progress:
    """A bar over the epochs, with loss and score beside it."""

    def __init__(self, epochs: int, *, quiet: bool) -> None:
        from tqdm import tqdm

        self._quiet = quiet
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
        if "miou" in event and not self._quiet:
            text = f"epoch {event['epoch'] + 1}: mIoU {event['miou']:.4f}"
            self._bar.write(text, file=sys.stderr)  # --json - has stdout
