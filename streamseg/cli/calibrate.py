"""Make a trained model ready for int8: measure its activations on training images, and score int8 beside fp32."""

import argparse
import sys

from streamseg.arguments import data_folder, write_json
from streamseg.models.calibration import WORST_LOSS

EXAMPLES = (
    "streamseg calibrate --model runs/mine/best.safetensors --data CamVid",
    "streamseg calibrate --model best.safetensors --data CamVid --images 200 --json int8.json",
)

INT8 = {"int8": "int8", "int8_7": "int8 with weights of 7 bits (processors without VNNI)"}
"""Names of scores, in words."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="PATH", help="weights that `streamseg train` wrote"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="data set folder (default: camvid below $STREAMSEG_DATA)"
    )
    parser.add_argument("--split", default="train", help="to measure on (default: %(default)s)")
    parser.add_argument("--scored", default="val", help="to score on (default: %(default)s)")
    parser.add_argument(
        "--images", type=int, default=64, metavar="N", help="to measure on (default: %(default)s)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="score only the first N images")
    parser.add_argument("--json", metavar="FILE", help="write the scores (- for stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from streamseg.compression.calibrate import calibrate
    from streamseg.datasets import open_dataset

    folder = data_folder(args.data)
    with tqdm(unit="image", disable=args.quiet or None, leave=False) as bar:

        def progress(what: str, done: int, total: int) -> None:
            bar.set_description(what)
            bar.total = total
            bar.n = done
            bar.refresh()

        result = calibrate(
            args.model,
            open_dataset(folder, args.split),
            open_dataset(folder, args.scored),
            count=args.images,
            limit=args.limit,
            progress=progress,
        )
    write_json(args.json, result)
    if not args.quiet:
        fp32 = result["fp32"]
        found = {words: result[name] for name, words in INT8.items() if name in result}
        print(result["calibration"])
        print(
            f"{result['activations']} activations on {result['images']}; mIoU on {fp32['dataset']} "
            f"{fp32['split']} ({fp32['frames']} images): fp32 {fp32['miou']:.4f}, "
            + ", ".join(f"{words} {score['miou']:.4f}" for words, score in found.items())
        )
        for words, score in found.items():
            if fp32["miou"] - score["miou"] > WORST_LOSS:
                print(
                    f"note: {words} loses more than {WORST_LOSS}; --precision auto will not pick it, "
                    f"--precision int8 will",
                    file=sys.stderr,
                )
    return 0
