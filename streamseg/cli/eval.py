"""Score a model on labelled images (CamVid or Cityscapes folders)."""

import argparse
import sys
from typing import Any

from streamseg.arguments import add_model_arguments, data_folder, load_from_arguments, write_json

EXAMPLES = (
    "streamseg eval --data ../shared/data/camvid --split val",
    "streamseg eval --model mine.safetensors --data CamVid --split test --json scores.json",
    "streamseg eval --backend torch --precision fp32 --size 361x481",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="DIR", help="data set folder (default: camvid below $STREAMSEG_DATA)"
    )
    parser.add_argument("--split", default="val", help="train, val or test (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images")
    parser.add_argument("--json", metavar="FILE", help="write the scores (- for stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from streamseg.datasets import open_dataset
    from streamseg.evaluation.evaluate import evaluate

    dataset = open_dataset(data_folder(args.data), args.split)
    segmenter = load_from_arguments(args)
    with tqdm(unit="image", disable=args.quiet or None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        scores = evaluate(segmenter, dataset, limit=args.limit, progress=progress)
    write_json(args.json, scores)
    if not args.quiet:
        print_scores(scores)
    return 0


def print_scores(scores: dict[str, Any]) -> None:
    """The scores as a small table on standard output."""
    for name, value in scores["iou"].items():
        print(f"  {name:<14} {'  absent' if value is None else f'{value:8.4f}'}")
    print(
        f"mIoU {scores['miou']:.4f}, pixel accuracy {scores['pixel_accuracy']:.4f}: {scores['model']} on "
        f"{scores['dataset']} {scores['split']} ({scores['frames']} images), network "
        f"{scores['size'][0]}x{scores['size'][1]}, {scores['backend']} {scores['precision']}, "
        f"{scores['fps']:.1f} images/s"
    )
    for fallback in scores["fallbacks"]:
        print(f"note: {fallback}", file=sys.stderr)
