"""Measures networks of a study: accuracy of an engine's answers, and its time, by the benchmark's own timing."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamseg.benchmark.records import Size
from streamseg.benchmark.rounds import take_turns
from streamseg.benchmark.timing import milliseconds, repeats_for
from streamseg.datasets import LabelledImages
from streamseg.engine.choose import open_engine
from streamseg.evaluation.evaluate import evaluate
from streamseg.models.find import find_model
from streamseg.models.operations import gflop
from streamseg.models.weights import load_model
from streamseg.picture.pixels import Packed
from streamseg.segmenter import load
from streamseg.study.records import Score, Speed
from streamseg.study.schedule import Schedule

if TYPE_CHECKING:
    from streamseg.engine.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured: weights, and where their cascade stops.

    Attributes:
        branch, scales: as of `streamseg.load`; None for the whole network, and for its card's scales.
        size: of the network's input; None for that of the card.
    """

    path: Path
    branch: str | None = None
    scales: str | None = None
    size: Size | None = None


def score(
    subject: Subject,
    images: LabelledImages,
    *,
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Score:
    """Label all `images` as `streamseg eval` does.

    Raises:
        ModelError, BackendError, DataError: see `streamseg.load` and `evaluate`.
    """
    with load(
        subject.path, branch=subject.branch, scales=subject.scales, device=device
    ) as segmenter:
        found = evaluate(segmenter, images, progress=progress)
    return Score(
        images=found["frames"],
        network_size=(found["size"][0], found["size"][1]),
        backend=found["backend"],
        precision=found["precision"],
        miou=found["miou"],
        pixel_accuracy=found["pixel_accuracy"],
        iou=found["iou"],
    )


def labelled(
    subject: Subject,
    images: LabelledImages,
    *,
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[NDArray[np.uint8]]:
    """The label map of each of `images`, H x W uint8 at its own size, by the engine that `score` scores.

    Raises:
        ModelError, BackendError, DataError: see `streamseg.load` and `LabelledImages.load`.
    """
    with load(
        subject.path, branch=subject.branch, scales=subject.scales, device=device
    ) as segmenter:
        for index in range(len(images)):
            yield segmenter(images.load(index)[0]).labels
            progress(index + 1, len(images))


def speeds(
    subjects: Mapping[str, Subject],
    picture: NDArray[np.uint8],
    schedule: Schedule,
    *,
    device: str,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Speed]:
    """Time all `subjects` in turns, each at its own size of input.

    Args:
        picture: H x W x 3 uint8 BGR, of any size.
    """
    load_average = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    with ExitStack() as stack:
        engines: dict[str, Engine] = {}
        timers: dict[str, Callable[[], float]] = {}
        sizes: dict[str, Size] = {}
        for name, subject in subjects.items():
            progress(f"compiling {name}")
            file = find_model(subject.path, branch=subject.branch, scales=subject.scales)
            sizes[name] = subject.size or file.card.input.size
            engine = open_engine(file, device=device, size=sizes[name])
            stack.callback(engine.close)
            engines[name] = engine
            timers[name] = _timer(engine, picture, schedule.timing_seconds)
        times = take_turns(timers, schedule.rounds, lambda text: progress(f"timing {text}"))
        return {
            name: Speed(
                size=sizes[name],
                backend=engine.info.backend,
                device=engine.info.device,
                precision=engine.info.precision,
                gflop=round(published_gflop(subjects[name], sizes[name]), 3),
                milliseconds=median(times[name]),
                date=date.today().isoformat(),
                load_average=load_average,
            )
            for name, engine in engines.items()
        }


def published_gflop(subject: Subject, size: Size) -> float:
    """1e9 multiplications and additions of one picture, in the paper's order."""
    file = find_model(subject.path, branch=subject.branch, scales=subject.scales)
    return gflop(load_model(file), size)


def _timer(engine: "Engine", picture: NDArray[np.uint8], seconds: float) -> Callable[[], float]:
    network_input = engine.prepare(Packed(pixels=picture))
    engine.infer(network_input)  # compiles

    def infer() -> None:
        engine.infer(network_input)

    repeats = repeats_for(infer, seconds)
    return lambda: milliseconds(infer, repeats)
