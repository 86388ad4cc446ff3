"""Score a model on labelled images (CamVid or Cityscapes folders), or on the video that they make."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.arguments import (
    add_model_arguments,
    check_json,
    data_folder,
    load_from_arguments,
    write_json,
)

if TYPE_CHECKING:
    from streamseg.datasets import LabelledImages
    from streamseg.evaluation.labelled_video import LabelledVideo

EXAMPLES = (
    "streamseg eval --data ../shared/data/camvid --split val",
    "streamseg eval --model mine.safetensors --data CamVid --split test --json scores.json",
    "streamseg eval --backend torch --precision fp32 --size 361x481",
    "streamseg eval --video --keyframe fixed:4",
    "streamseg eval --video --keyframe adaptive --motion flow --json scores.json",
    "streamseg eval --video val.mp4 --keyframe fixed:8 --features propagate   # as a live stream must",
    "streamseg eval --model deconvnet.safetensors --ensemble fcn8s.safetensors --proposals edges:50 --aggregate sum",
    "streamseg eval --thresholds --json sure.json --plot sure.png   # what autolabel would keep, and how much is right",
)

RECIPES = ("camera", "default")
"""Of `streamseg.evaluation.labelled_video`, which takes too long to load for `--help`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="DIR", help="data set folder (default: camvid below $STREAMSEG_DATA)"
    )
    parser.add_argument("--split", default="val", help="train, val or test (default: %(default)s)")
    parser.add_argument(
        "--video",
        nargs="?",
        const="",
        metavar="FILE",
        help="score the split as a video, with --keyframe, --motion and --features; FILE shows its images in order "
        "(default: they are encoded). fixed:N runs N times, so that every frame is met at every distance from its "
        "segmentation keyframe; adaptive runs 8 times, in different phases",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default=RECIPES[0],
        help="how --video encodes images: like the H.264 of a camera, or as x264 does by default, with B-frames and "
        "several references (default: %(default)s)",
    )
    parser.add_argument(
        "--thresholds",
        action="store_true",
        help="instead of scores: which share of the pixels a threshold on the model's probability keeps, and how much "
        "of it is right, for thresholds 0 to 0.99",
    )
    parser.add_argument("--plot", metavar="FILE.png", help="draw the curves of --thresholds")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images")
    parser.add_argument("--json", metavar="FILE", help="write the scores (- for stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from streamseg.datasets import open_dataset

    if args.video is None and args.keyframe != "off":
        raise ValueError(
            f"expected --video with --keyframe {args.keyframe}: single images have no features to reuse"
        )
    _check_thresholds(args)
    dataset = open_dataset(data_folder(args.data), args.split)
    with tqdm(unit="image", disable=args.quiet or None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        scores = _way_of(args)(args, dataset, progress)
    write_json(args.json, scores)
    if args.plot:
        from streamseg.evaluation.thresholds import plot_thresholds

        plot_thresholds(scores, Path(args.plot))
    if not args.quiet:
        (print_thresholds if args.thresholds else print_scores)(scores)
    return 0


Score = Callable[[argparse.Namespace, "LabelledImages", Callable[[int, int], None]], dict[str, Any]]


def _way_of(args: argparse.Namespace) -> Score:
    if args.thresholds:
        return _score_thresholds
    return _score_images if args.video is None else _score_video


def _check_thresholds(args: argparse.Namespace) -> None:
    if args.thresholds and args.video is not None:
        raise ValueError("expected --thresholds or --video, got both")
    if args.plot:
        from streamseg.training.curves import check_curves

        if not args.thresholds:
            raise ValueError("expected --thresholds with --plot: there is no other picture")
        check_json(args.plot)
        check_curves()


def _score_thresholds(
    args: argparse.Namespace, dataset: "LabelledImages", progress: Callable[[int, int], None]
) -> dict[str, Any]:
    from streamseg.evaluation.thresholds import evaluate_thresholds
    from streamseg.machine import examine

    with load_from_arguments(args) as segmenter:
        found = evaluate_thresholds(segmenter, dataset, limit=args.limit, progress=progress)
    machine = examine()
    named = {key: machine[key] for key in ("processor", "cores", "bf16", "packages")}
    return {"date": date.today().isoformat(), "machine": named, **found}


def _score_images(
    args: argparse.Namespace, dataset: "LabelledImages", progress: Callable[[int, int], None]
) -> dict[str, Any]:
    from streamseg.evaluation.evaluate import evaluate

    with load_from_arguments(args) as segmenter:
        return evaluate(segmenter, dataset, limit=args.limit, progress=progress)


def _score_video(
    args: argparse.Namespace, dataset: "LabelledImages", progress: Callable[[int, int], None]
) -> dict[str, Any]:
    from streamseg.evaluation.video import evaluate_video

    with load_from_arguments(args) as segmenter, _video(args, dataset) as video:
        return evaluate_video(
            segmenter,
            video,
            keyframe=args.keyframe,
            motion=args.motion,
            features=args.features,
            limit=args.limit,
            progress=progress,
        )


@contextmanager
def _video(args: argparse.Namespace, dataset: "LabelledImages") -> "Iterator[LabelledVideo]":
    """The split as a video: the one that was named, or one made for the while."""
    from streamseg.evaluation.labelled_video import encode_split, video_of_split

    if args.video:
        yield video_of_split(dataset, Path(args.video))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{dataset.name}_{dataset.split}.mp4"
        yield encode_split(dataset, path, recipe=args.recipe, limit=args.limit)


def print_thresholds(found: dict[str, Any]) -> None:
    """A line for each tenth threshold, and the highest ones."""
    overall = found["overall"]
    print("  threshold  coverage  precision")
    for index, threshold in enumerate(found["thresholds"]):
        if index % 10 == 0 or threshold in (0.95, 0.99):
            coverage, precision = overall["coverage"][index], overall["precision"][index]
            print(f"  {threshold:9.2f}  {_number(coverage):>8}  {_number(precision):>9}")
    print(
        f"{found['model']} on {found['dataset']} {found['split']} ({found['frames']} images), network "
        f"{found['size'][0]}x{found['size'][1]}, {found['backend']} {found['precision']}"
    )
    for fallback in found["fallbacks"]:
        print(f"note: {fallback}", file=sys.stderr)


def print_scores(scores: dict[str, Any]) -> None:
    """The scores as a small table on standard output."""
    columns = {
        "IoU": scores["iou"],
        "accuracy": scores["class_accuracy"],
        "boundary F1": scores.get("class_boundary_f1"),
    }
    shown = {title: values for title, values in columns.items() if values is not None}
    print(f"  {'':<14}" + "".join(f"{title:>13}" for title in shown))
    for name in scores["iou"]:
        print(f"  {name:<14}" + "".join(_cell(values[name]) for values in shown.values()))
    if "boundary_f1" in scores:
        print(
            f"boundary F1 {_number(scores['boundary_f1'])} within {scores['boundary_tolerance']:.2%} of the diagonal"
        )
    print(f"mean class accuracy {_number(scores['mean_class_accuracy'])}")
    print(
        f"mIoU {scores['miou']:.4f}, pixel accuracy {scores['pixel_accuracy']:.4f}: {scores['model']} on "
        f"{scores['dataset']} {scores['split']} ({scores['frames']} images), network "
        f"{scores['size'][0]}x{scores['size'][1]}, {scores['backend']} {scores['precision']}, "
        f"{scores['fps']:.1f} images/s"
    )
    if "video" in scores:
        print_video_scores(scores)
    for fallback in scores["fallbacks"]:
        print(f"note: {fallback}", file=sys.stderr)


def print_video_scores(scores: dict[str, Any]) -> None:
    """What `evaluate_video` says beyond `evaluate`."""
    for distance, miou in scores["miou_by_distance"].items():
        print(f"  mIoU at distance {distance:<4} {miou:8.4f}")
    if "miou_average" in scores:
        print(
            f"  average over distances {scores['miou_average']:.4f}, minimum {scores['miou_minimum']:.4f}"
        )
    used = (
        ""
        if scores["keyframe"] == "off"
        else f", motion {scores['motion']}, features {scores['features']}"
    )
    print(
        f"keyframe {scores['keyframe']}{used}: {scores['keyframe_share']:.1%} segmentation keyframes, "
        f"temporal consistency {_number(scores['temporal_consistency'])}, VC8 {_number(scores['vc8'])} "
        f"({scores['video']['scored']} frames scored, runs: {scores['video']['runs']})"
    )


def _cell(value: float | None) -> str:
    return f"{'absent' if value is None else f'{value:.4f}':>13}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
