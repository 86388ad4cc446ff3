"""Time and score everything side by side in one run: network, stages, whole videos, latency, against baselines."""

import argparse
import shlex
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.arguments import (
    add_branch_argument,
    check_json,
    data_folder,
    parse_height_width,
    write_json,
)
from streamseg.errors import DataError, SinkError

if TYPE_CHECKING:
    from streamseg.benchmark.plan import Plan
    from streamseg.benchmark.records import Result

EXAMPLES = (
    "streamseg bench",
    "streamseg bench drive.mp4 --json bench.json --markdown bench.md --chart bench.png",
    "streamseg bench --only network,stages --sizes 1024x2048",
    "streamseg bench --quick",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", nargs="?", help="default: a rendered street clip")
    parser.add_argument("--model", default="icnet-camvid", help="(default: %(default)s)")
    add_branch_argument(parser)
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="data set whose validation split is scored (default: camvid below $STREAMSEG_DATA, if there)",
    )
    parser.add_argument(
        "--only",
        metavar="SECTIONS",
        help="comma-separated: accuracy, network, end_to_end, stages, paint, latest (default: all)",
    )
    parser.add_argument(
        "--sizes",
        metavar="HxW,...",
        help="of the videos timed (default: 360x480,720x960,1024x2048)",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of every contestant")
    parser.add_argument("--frames", type=int, metavar="N", help="of streamseg's videos, a round")
    parser.add_argument(
        "--baseline-frames", type=int, metavar="N", help="the others are slow, so fewer"
    )
    parser.add_argument(
        "--quick", action="store_true", help="within a minute, to see that all runs; noisy"
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers (- for stdout)")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables, as on stdout")
    parser.add_argument("--chart", metavar="FILE.png", help="draw frames a second end to end")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from streamseg.benchmark.run import benchmark

    plan = plan_of(args)
    for path in (args.markdown, args.chart):
        check_json(path)
    with tempfile.TemporaryDirectory() as folder, tqdm(leave=False, disable=None, unit="") as bar:

        def progress(text: str) -> None:
            bar.set_description_str(text, refresh=False)
            bar.update()

        result = benchmark(
            Path(args.video) if args.video else _street(Path(folder)),
            model=args.model,
            branch=args.branch,
            plan=plan,
            data=_data(args.data),
            command=command_of(args),
            progress=progress,
        )
    result = _with_chart(result, args.chart)
    write_json(args.json, result.to_json())
    _write_markdown(result, args)
    return 0


def plan_of(args: argparse.Namespace) -> "Plan":
    """What the flags ask for.

    Raises:
        ValueError: an unknown section, or a number too small.
    """
    from streamseg.benchmark.plan import QUICK, Plan

    asked: dict[str, Any] = {
        name: value
        for name in ("rounds", "frames", "baseline_frames")
        if (value := getattr(args, name)) is not None
    }
    if args.sizes is not None:
        asked["sizes"] = tuple(
            parse_height_width(part.strip(), "--sizes") for part in args.sizes.split(",")
        )
    if args.only is not None:
        asked["sections"] = tuple(part.strip() for part in args.only.split(",") if part.strip())
    plan = replace(QUICK if args.quick else Plan(), **asked)
    if args.chart and "end_to_end" not in plan.sections:
        raise ValueError("expected end_to_end in --only with --chart, which draws it")
    return plan


def command_of(args: argparse.Namespace) -> str:
    """The command line that measures the same again; files by their names alone."""
    words = ["streamseg", "bench", *([Path(args.video).name] if args.video else [])]
    if args.model != "icnet-camvid":
        words += ["--model", Path(args.model).name]
    for name in ("branch", "only", "sizes", "rounds", "frames", "baseline_frames"):
        if (value := getattr(args, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, *(["--quick"] if args.quick else [])])


def _street(folder: Path) -> Path:
    from streamseg.sample import write_sample

    path = folder / "street.mp4"
    write_sample(path, seconds=2, size=(540, 960), fps=25, seed=0)
    return path


def _data(given: str | None) -> Path | None:
    """A folder that was named must be there; without one, accuracy is skipped."""
    try:
        return data_folder(given)
    except DataError:
        return None


def _with_chart(result: "Result", path: str | None) -> "Result":
    """Draw it, or note in the result why not."""
    from streamseg.benchmark.chart import draw
    from streamseg.benchmark.records import Skipped

    if path is None:
        return result
    if find_spec("matplotlib") is None:
        reason = 'the package matplotlib is not installed; pip install "streamseg[bench]"'
        return replace(result, skipped=(*result.skipped, Skipped(what="chart", reason=reason)))
    draw(result, Path(path))
    return result


def _write_markdown(result: "Result", args: argparse.Namespace) -> None:
    from streamseg.benchmark.table import markdown

    text = markdown(result)
    if args.markdown not in (None, "-"):
        try:
            Path(args.markdown).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise SinkError(f"cannot write {args.markdown}: {error.strerror}") from error
    if args.json != "-":
        print(text)
        return
    for one in result.skipped:
        print(f"note: skipped {one.what}: {one.reason}", file=sys.stderr)
