"""Measures the fully connected CRF: its time, its difference to mean field by definition, and what it does to accuracy.

This is what scripts/crf runs: `python -m streamseg.benchmark.crf_run --help`.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from streamseg.arguments import data_folder
from streamseg.benchmark.crf_records import (
    CRFAccuracy,
    CRFAgreement,
    CRFResult,
    CRFTime,
    markdown,
)
from streamseg.benchmark.rounds import Progress
from streamseg.crf.mean_field import refined
from streamseg.crf.parameters import PRESETS
from streamseg.crf.reference import refined_exactly
from streamseg.datasets import LabelledImages, open_dataset
from streamseg.engine.crf_engine import probabilities_at
from streamseg.errors import StreamsegError
from streamseg.evaluation.evaluate import evaluate
from streamseg.machine import examine
from streamseg.picture.pixels import Packed
from streamseg.segmenter import load
from streamseg.version import __version__

CROP = 32
"""Side of the crops on which mean field by definition is affordable."""

Picture = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Pixels and the network's probabilities, at its size."""


def measure(
    *,
    model: str,
    data: Path,
    pictures: int,
    rounds: int,
    crops: int,
    images: int | None,
    command: str,
    progress: Progress,
) -> CRFResult:
    """Measure on the CPU, with CamVid's validation split.

    Args:
        pictures: to be timed, spread over the split, in so many rounds.
        crops: to be compared.
        images: to be scored; None for all.
        command: how to run this again; goes into the result.

    Raises:
        DataError, ModelError: no such data or model.
    """
    average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    machine = examine()
    dataset = open_dataset(data, "val")
    seen = list(_answers(model, dataset, max(pictures, min(crops, 16))))
    return CRFResult(
        streamseg=__version__,
        date=date.today().isoformat(),
        command=command,
        python=platform.python_version(),
        load_average=average,
        machine={key: machine[key] for key in ("processor", "cores", "bf16", "packages", "system")},
        model=Path(model).stem,
        times=tuple(
            time_crf(name, seen[:pictures], rounds=rounds, progress=progress) for name in PRESETS
        ),
        agreements=tuple(
            compare(name, kind, seen, crops=crops, progress=progress)
            for name in PRESETS
            for kind in ("network", "scattered")
        ),
        accuracies=tuple(
            score(model, name, dataset, images=images, progress=progress)
            for name in (None, *PRESETS)
        ),
    )


def _answers(model: str, dataset: LabelledImages, count: int) -> Iterator[Picture]:
    """Pictures spread over the data set."""
    with load(model, device="cpu") as segmenter:
        for index in np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist():
            image, _ = dataset.load(index)
            logits = segmenter.logits(Packed(pixels=image))
            yield image, probabilities_at(logits, (image.shape[0], image.shape[1]))


def time_crf(name: str, pictures: Sequence[Picture], *, rounds: int, progress: Progress) -> CRFTime:
    """Every picture in every round, after one that is not timed."""
    crf = PRESETS[name]
    image, probabilities = pictures[0]
    refined(probabilities, image, crf)  # compiles
    seconds, processor = [], []
    for number in range(rounds):
        for image, probabilities in pictures:
            progress(f"time, {name} ({number + 1}/{rounds})")
            started = time.perf_counter(), time.process_time()
            refined(probabilities, image, crf)
            seconds.append(time.perf_counter() - started[0])
            processor.append(time.process_time() - started[1])
    height, width, classes = probabilities.shape
    return CRFTime(
        parameters=name,
        size=(height, width),
        classes=classes,
        pictures=len(pictures),
        rounds=rounds,
        seconds=median(seconds),
        least=min(seconds),
        greatest=max(seconds),
        processor_seconds=median(processor),
    )


def compare(
    name: str, kind: str, pictures: Sequence[Picture], *, crops: int, progress: Progress
) -> CRFAgreement:
    """Crops at random places, each with the network's probabilities there, or with scattered ones."""
    rng, crf = np.random.default_rng(0), PRESETS[name]
    greatest, same = [], []
    for number in range(crops):
        progress(f"agreement, {name}, {kind} ({number + 1}/{crops})")
        image, probabilities = _crop(*pictures[number % len(pictures)], rng)
        if kind == "scattered":
            drawn = np.exp(rng.normal(0, 1, probabilities.shape))
            probabilities = (drawn / drawn.sum(2, keepdims=True)).astype(np.float32)
        found, exact = (
            refined(probabilities, image, crf),
            refined_exactly(probabilities, image, crf),
        )
        greatest.append(float(np.abs(found - exact).max()))
        same.append(float((found.argmax(2) == exact.argmax(2)).mean()))
    return CRFAgreement(
        parameters=name,
        probabilities=kind,
        size=(CROP, CROP),
        crops=crops,
        greatest=max(greatest),
        mean_greatest=fmean(greatest),
        labels=fmean(same),
    )


def _crop(
    image: NDArray[np.uint8], probabilities: NDArray[np.float32], rng: np.random.Generator
) -> Picture:
    top, left = (int(rng.integers(side - CROP + 1)) for side in image.shape[:2])
    place = slice(top, top + CROP), slice(left, left + CROP)
    return image[place], probabilities[place]


def score(
    model: str,
    name: str | None,
    dataset: LabelledImages,
    *,
    images: int | None,
    progress: Progress,
) -> CRFAccuracy:
    """The model's scores with a CRF of these parameters; None: without one."""
    with load(model, device="cpu", crf=name) as segmenter:
        scores = evaluate(
            segmenter,
            dataset,
            limit=images,
            progress=lambda done, total: progress(f"accuracy, {name or 'off'} ({done}/{total})"),
        )
    return CRFAccuracy(
        parameters=name or "off",
        dataset=scores["dataset"],
        split=scores["split"],
        images=scores["frames"],
        miou=scores["miou"],
        pixel_accuracy=scores["pixel_accuracy"],
        boundary_f1=scores["boundary_f1"],
        iou=scores["iou"],
    )


def main(words: Sequence[str] | None = None) -> int:
    """The program; its exit status."""
    args = _parser().parse_args(words)
    with tqdm(leave=False, disable=None, unit="") as bar:

        def progress(text: str) -> None:
            bar.set_description_str(text, refresh=False)
            bar.update()

        try:
            found = measure(
                model=args.model,
                data=data_folder(args.data),
                pictures=args.pictures,
                rounds=args.rounds,
                crops=args.crops,
                images=args.limit,
                command=command_of(args),
                progress=progress,
            )
        except StreamsegError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    args.json.write_text(json.dumps(found.to_json(), indent=1) + "\n", encoding="utf-8")
    args.markdown.write_text(markdown(found) + "\n", encoding="utf-8")
    print(markdown(found))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/crf", description=__doc__)
    parser.add_argument("--model", default="icnet-camvid", help="(default: %(default)s)")
    parser.add_argument("--data", help="CamVid's folder (default: camvid below STREAMSEG_DATA)")
    parser.add_argument(
        "--pictures", type=int, default=8, metavar="N", help="timed (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="of timing (default: %(default)s)"
    )
    parser.add_argument(
        "--crops", type=int, default=64, metavar="N", help="compared (default: %(default)s)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="score only the first N images")
    parser.add_argument("--json", type=Path, required=True, help="all numbers")
    parser.add_argument("--markdown", type=Path, required=True, help="tables, as on stdout")
    return parser


def command_of(args: argparse.Namespace) -> str:
    """The command line that measures the same again; files by their names alone."""
    words = ["scripts/crf"]
    if args.model != "icnet-camvid":
        words += ["--model", Path(args.model).name]
    for name in ("pictures", "rounds", "crops", "limit"):
        value = getattr(args, name)
        words += [f"--{name}", str(value)] if value != _parser().get_default(name) else []
    return shlex.join(words)


if __name__ == "__main__":
    sys.exit(main())
