"""Time whole videos, end to end, against the loop people write, in one run."""

import argparse
import sys
import tempfile
from pathlib import Path

from streamseg.arguments import parse_height_width, parse_size, write_json

EXAMPLES = (
    "streamseg bench",
    "streamseg bench drive.mp4 --video-size 1024x2048 --frames 120 --json bench.json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", nargs="?", help="default: a rendered street clip")
    parser.add_argument("--model", default="icnet-camvid", help="(default: %(default)s)")
    parser.add_argument(
        "--video-size",
        default="1024x2048",
        metavar="HxW",
        help="of the copy timed (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        default="auto,native",
        help="network inputs, comma-separated (default: %(default)s)",
    )
    parser.add_argument("--frames", type=int, default=60, help="(default: %(default)s)")
    parser.add_argument(
        "--baseline-frames", type=int, default=8, help="the loop is slow (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers (- for stdout)")


def run(args: argparse.Namespace) -> int:
    from streamseg.benchmark import benchmark, markdown_table

    size = parse_height_width(args.video_size, "--video-size")
    with tempfile.TemporaryDirectory() as folder:
        video = Path(args.video) if args.video else Path(folder) / "street.mp4"
        if not args.video:
            from streamseg.sample import write_sample

            write_sample(video, seconds=2, size=(540, 960), fps=25, seed=0)
        result = benchmark(
            video,
            model=args.model,
            size=size,
            network_sizes=tuple(parse_size(part) for part in args.size.split(",")),
            frames=args.frames,
            baseline_frames=args.baseline_frames,
            progress=lambda text: print(f"... {text}", file=sys.stderr),
        )
    write_json(args.json, result)
    if args.json != "-":
        print(markdown_table(result))
    return 0
