"""Run one of the ICNet paper's studies on a data set: its table, numbers and pictures; resumes."""

import argparse
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.arguments import data_folder, let_threads_sleep, write_json
from streamseg.cli.progress import ProgressBar
from streamseg.study.studies import STUDIES, taking

if TYPE_CHECKING:
    from streamseg.study.session import StudySession
    from streamseg.study.unlabelled import Unlabelled

EXAMPLES = (
    "streamseg study cascade --quick --data ../shared/data/camvid   # minutes; to see what comes out",
    "streamseg study cascade --out runs/study   # in full: trains both networks first",
    "streamseg study region-size --out runs/study   # trains nothing again",
    "streamseg study diff-maps --model runs/mine/icnet-camvid.safetensors",
    "streamseg study distillation --hold-out 0006R0 --model teacher.safetensors --also drives/ --every 25",
    "",
    "studies:",
    *(f"  {name:<13} {study.summary}" for name, study in STUDIES.items()),
)

DEFAULTS = {
    "hold_out": None,
    "width": None,
    "recipe": None,
    "start": None,
    "also": None,
    "also_share": None,
    "threshold": None,
    "every": None,
    "epochs": None,
    "tuning_epochs": None,
    "seed": 0,
    "threads": None,
    "device": "cpu",
    "precision": "auto",
}
"""Of flags that change what comes out."""

PARTICULAR = (
    "width", "tuning_epochs", "recipe", "start", "also", "also_share", "threshold", "every",
)  # fmt: skip
"""Flags that some studies alone take, see `Study.takes`."""

FILES = ("start", "also")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", choices=STUDIES, help="a study, see below")
    parser.add_argument(
        "--data", metavar="DIR", help="data set folder (default: camvid below $STREAMSEG_DATA)"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of results and networks; studies share it (default: runs/study, with -quick and -without-DRIVE "
        "behind it where these are asked for)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a reduced schedule that ends within 15 minutes on two cores; its accuracy means little",
    )
    parser.add_argument(
        "--hold-out",
        metavar="DRIVE",
        help="train on all other drives of the train split, score on this one (CamVid: 0001TP, 0006R0, 0016E5)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="PATH",
        help=f"weights to study, with auxiliary heads, or distillation's teacher; instead of training some "
        f"({', '.join(taking('model'))})",
    )
    parser.add_argument(
        "--width",
        type=float,
        help="factor of PSPNet50's channels in downsampling (default: 1, 0.125 with --quick)",
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help="of the network of several scales in attention: hrnet-ocr-ms-camvid (default), icnet-ms-camvid; of the "
        "students in distillation: icnet-camvid (default)",
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="NAME|PATH",
        help="weights that both networks of attention begin with, or their trunk's; or all students of distillation",
    )
    _add_unlabelled(parser)
    parser.add_argument("--epochs", type=int, help="of every training (default: the recipes')")
    parser.add_argument(
        "--tuning-epochs",
        type=int,
        help="after each pruning of compression (default: the recipe's)",
    )
    parser.add_argument("--seed", type=int, help="of all runs (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of training (default: torch's choice)")
    parser.add_argument(
        "--device", help="of training and measuring: cpu or cuda:N (default: %(default)s)"
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "bf16", "fp32"),
        help="of training; auto is bf16 where the device multiplies it natively (default: %(default)s)",
    )
    parser.set_defaults(**DEFAULTS)
    parser.add_argument("--json", metavar="FILE", help="write the numbers here, too (- for stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table")


def _add_unlabelled(parser: argparse.ArgumentParser) -> None:
    """Flags of the frames that the teacher of distillation labels; their defaults are of `Unlabelled`."""
    parser.add_argument(
        "--also",
        metavar="SOURCE",
        help="video, folder of videos, or folder or glob of images that the teacher of distillation labels "
        "(default: the images that are scored, without their labels)",
    )
    parser.add_argument(
        "--also-share",
        type=float,
        metavar="SHARE",
        help="of each batch that is of them (default: 0.5)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        help="its label of a pixel is kept where its probability is above (default: 0.9)",
    )
    parser.add_argument(
        "--every", type=int, metavar="N", help="it labels each Nth frame (default: all)"
    )


def run(args: argparse.Namespace) -> int:
    for flag in ("epochs", "tuning_epochs", "threads"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise ValueError(f"expected --{flag.replace('_', '-')} of at least 1, got {value}")
    for flag in PARTICULAR:
        if getattr(args, flag) is not None and args.name not in taking(flag):
            studies = (
                f"{'study' if len(taking(flag)) == 1 else 'studies'} {' and '.join(taking(flag))}"
            )
            raise ValueError(
                f"--{_word(flag)} is of the {studies}, got it with {args.name}; drop it"
            )
    let_threads_sleep()
    if args.threads is not None:
        import torch

        torch.set_num_threads(args.threads)

    from streamseg.study.studies import run_study
    from streamseg.study.table import markdown
    from streamseg.training.curves import check_curves

    check_curves()
    with ProgressBar(quiet=args.quiet) as progress:
        result = run_study(args.name, _session(args, progress), command_of(args))
    write_json(args.json, result.to_json())
    if not args.quiet and args.json != "-":
        print(markdown(result))
    return 0


def command_of(args: argparse.Namespace) -> str:
    """The command line that runs the same again; files by their names alone."""
    words = ["streamseg", "study", args.name]
    words += ["--quick"] if args.quick else []
    words += ["--model", args.model.name] if args.model else []
    for flag, default in DEFAULTS.items():
        value = getattr(args, flag)
        value = Path(value).name if flag in FILES and value else value  # a folder says nothing
        words += [] if value == default else [f"--{_word(flag)}", str(value)]
    return shlex.join(words)


def _word(flag: str) -> str:
    """As it is typed, without the dashes before it."""
    return {"start": "from"}.get(flag, flag.replace("_", "-"))


def _out(args: argparse.Namespace) -> Path:
    """By default one folder for each choice of images, which networks of different studies may share."""
    quick = "-quick" if args.quick else ""
    without = f"-without-{args.hold_out}" if args.hold_out else ""
    return Path(args.out or f"runs/study{quick}{without}")


def _unlabelled(args: argparse.Namespace) -> "Unlabelled":
    """What was asked for; all labels of the data set may tell how right the teacher's are."""
    from streamseg.cli.autolabel import list_sources
    from streamseg.datasets import open_dataset
    from streamseg.errors import DataError
    from streamseg.study.unlabelled import Unlabelled

    if args.name not in taking("also"):
        return Unlabelled()
    truth = []
    for split in ("train", "val"):
        with suppress(DataError):  # there need not be both
            truth.append(open_dataset(data_folder(args.data), split))
    given = {"every": args.every, "threshold": args.threshold, "share": args.also_share}
    return Unlabelled(
        sources=tuple(list_sources(args.also)) if args.also else (),
        truth=tuple(truth),
        **{name: value for name, value in given.items() if value is not None},
    )


def _session(args: argparse.Namespace, progress: ProgressBar) -> "StudySession":
    from streamseg.datasets import open_dataset
    from streamseg.models.find import find_model
    from streamseg.study.held_out import hold_out
    from streamseg.study.schedule import FULL, QUICK
    from streamseg.study.session import StudySession, spread
    from streamseg.training.precision import in_bf16

    schedule = QUICK if args.quick else FULL
    folder = data_folder(args.data)
    dataset = open_dataset(folder, "train")
    if args.hold_out:
        dataset, validation = hold_out(dataset, args.hold_out)
    else:
        validation = open_dataset(folder, "val")
    return StudySession(
        dataset=spread(dataset, schedule.images),
        validation=spread(validation, schedule.scored),
        out=_out(args),
        schedule=schedule,
        held_out=args.hold_out,
        model=args.model,
        epochs=args.epochs,
        tuning_epochs=args.tuning_epochs,
        width=args.width,
        unlabelled=_unlabelled(args),
        recipe_name=args.recipe,
        start=find_model(args.start).path if args.start else None,
        seed=args.seed,
        device=args.device,
        bf16=in_bf16(args.precision, args.device),
        progress=progress,
        note=lambda text: print(f"note: {text}", file=sys.stderr),
    )
