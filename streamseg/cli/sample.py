"""Render a street clip, with exact label maps if asked for."""

import argparse
from fractions import Fraction

from streamseg.arguments import parse_height_width

EXAMPLES = (
    "streamseg sample street.mp4",
    "streamseg sample street.mp4 --seconds 4 --size 1024x2048 --fps 30 --labels street_labels --seed 7",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", help="video file to write, .mp4")
    parser.add_argument("--seconds", type=float, default=10.0, help="(default: %(default)s)")
    parser.add_argument("--size", default="540x960", metavar="HxW", help="(default: %(default)s)")
    parser.add_argument(
        "--fps", default="30", help="frames a second, 30000/1001 too (default: %(default)s)"
    )
    parser.add_argument("--labels", metavar="DIR", help="also write a label map per frame, as PNG")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another street")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from streamseg.sample import write_sample

    try:
        rate = Fraction(args.fps)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"expected --fps as a number or N/D, got {args.fps!r}") from error
    size = parse_height_width(args.size, "--size")
    with tqdm(unit="frame", disable=args.quiet or None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        frames = write_sample(
            args.out,
            seconds=args.seconds,
            size=size,
            fps=rate,
            seed=args.seed,
            labels_dir=args.labels,
            progress=progress,
        )
    print(f"{args.out}: {frames} frames, {size[1]}x{size[0]}, {float(rate):g} frames/s")
    return 0
