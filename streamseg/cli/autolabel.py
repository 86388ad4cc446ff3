"""Label video that nobody labelled: a model's confident answers become a data set to train on."""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from streamseg.arguments import add_model_arguments, load_from_arguments, write_json

EXAMPLES = (
    "streamseg autolabel drive.mp4 --model teacher.safetensors --every 25 --out auto",
    "streamseg autolabel drives/ --threshold 0.95 --limit 100 --out auto --json auto.json",
    "streamseg train icnet-camvid --data CamVid --also auto --also-share 0.5",
)

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts", ".m4v", ".mpg")
"""As `streamseg batch` takes them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from streamseg.reading.limits import MAX_PIXELS

    parser.add_argument("source", help="video file, folder of videos, or folder or glob of images")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="data set folder; one of the same making grows"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.9,
        help="keep a pixel's label where the model's probability of it is above (default: %(default)s)",
    )
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="label each Nth frame (default: all)"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="label at most N frames of each video"
    )
    parser.add_argument("--start", type=float, metavar="S", help="begin at S seconds")
    parser.add_argument("--end", type=float, metavar="S", help="end before S seconds")
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help="refuse greater pictures (default: %(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the statistics (- for stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from streamseg.autolabel import Choice, autolabel, record_of
    from streamseg.models.find import find_model

    if args.keyframe != "off":
        raise ValueError(
            f"expected --keyframe off: labels are not carried over, got {args.keyframe}"
        )
    sources = list_sources(args.source)
    choice = Choice(
        every=args.every, limit=args.limit, start_seconds=args.start, end_seconds=args.end,
        max_pixels=args.max_pixels,
    )  # fmt: skip
    with (
        load_from_arguments(args) as segmenter,
        tqdm(unit="frame", disable=args.quiet or None, leave=False) as bar,
    ):

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        weights = find_model(args.model).path
        record = record_of(segmenter, weights, args.threshold, args.size)
        found = autolabel(
            segmenter, sources, Path(args.out), record, choice=choice, progress=progress
        )
        fallbacks = list(segmenter.info.fallbacks)
    write_json(args.json, {**found, "fallbacks": fallbacks})
    if not args.quiet:
        print_statistics(found, args.out)
        for fallback in fallbacks:
            print(f"note: {fallback}", file=sys.stderr)
    return 0


def list_sources(text: str) -> list[str | Path]:
    """The videos of a folder that holds no images; else what was named.

    Raises:
        SourceError: an empty folder, or what is no file: a camera, an address or a pipe.
    """
    from streamseg.errors import SourceError
    from streamseg.reading.image_source import IMAGE_SUFFIXES

    path = Path(text)
    if not path.exists() and re.match(r"-$|[0-9]+$|[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise SourceError(f"expected a video file or a folder to label, got {text}")
    if not path.is_dir():
        return [text]
    files = sorted(path.iterdir())
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    images = any(file.suffix.lower() in IMAGE_SUFFIXES for file in files)
    return [text] if images or not videos else list(videos)


def print_statistics(found: dict[str, Any], out: str) -> None:
    """Pixels per class before and after the threshold, on standard output."""
    print(f"  {'class':<14} {'predicted':>12} {'kept':>12} {'coverage':>9}")
    for name, values in [*found["classes"].items(), ("all", found)]:
        coverage = "absent" if values["coverage"] is None else f"{values['coverage']:.4f}"
        print(f"  {name:<14} {values['predicted']:>12} {values['kept']:>12} {coverage:>9}")
    skipped = f", {found['corrupt_skipped']} damaged left out" if found["corrupt_skipped"] else ""
    print(
        f"{out}: {found['frames']} frames by {found['model']} at threshold {found['threshold']:g} "
        f"({found['labelled']} labelled now, {found['found']} before{skipped})"
    )
