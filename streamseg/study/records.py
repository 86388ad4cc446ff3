"""What a study trains, measures and hands back: records, and, by `to_json`, its JSON.

    {"study", "streamseg", "date", "command", "python", "load_average", "machine", "quick", "device", "precision",
     "seed", "trained_on", "scored_on", "caveat", "warnings",
     "networks": [Trained ...],  "rows": [...],  "pictures": [file name ...]}

What a row is, each study says. Sizes are [height, width].
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamseg.benchmark.records import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A network that a study trained, or was given.

    Attributes:
        name: its folder in `networks/`, or the name on its card.
        architecture: in the registry.
        width: factor of the architecture; null where it has none.
        epochs: that it was trained for; null where its card does not say.
        minutes: by the clock, pauses between resumed runs left out; null where its card does not say.
        trained_on: data set, split, number of images; as its card says of one that was given.
        given: whether it was trained before, and came by `--model`.
        recipe: all that decided the training; empty for one that was given.
        threads: of the training; null for one that was given.
        date: of the end of the training, ISO; empty for one that was given.
    """

    name: str
    architecture: str
    width: float | None
    epochs: int | None
    minutes: float | None
    trained_on: str
    given: bool = False
    recipe: str = ""
    threads: int | None = None
    date: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A trained network at hand. Produced by `StudySession.network`, consumed by what measures it."""

    path: Path
    trained: Trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Accuracy of an engine's answers at the label maps' own size, one confusion matrix over all images.

    Attributes:
        network_size: of the network's input.
        miou, pixel_accuracy: fractions in 0..1.
        iou: per class; null for one that does not occur.
    """

    images: int
    network_size: Size
    backend: str
    precision: str
    miou: float
    pixel_accuracy: float
    iou: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Time of a network alone: input ready in memory, one picture at a time with all cores on it, logits out.

    Attributes:
        size: of its input.
        gflop: multiplications and additions as published, 1e9.
        milliseconds: median over rounds in which all networks of the study take turns.
        date, load_average: when it was measured, and how busy the machine was then (the last minute's; null where
            the system does not say).
    """

    size: Size
    backend: str
    device: str
    precision: str
    gflop: float
    milliseconds: float
    date: str
    load_average: float | None

    @property
    def frames_per_second(self) -> float:
        return 1000 / self.milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What running a network takes, measured in a process of its own (`memory.py`).

    Attributes:
        network_mb: on the CPU: greatest resident memory while pictures are labelled, less what the same process had
            before the network was opened, which is weights, activations, and the engine's graph. On CUDA: greatest
            memory that torch allocated on the device.
        process_mb: greatest resident memory of that process while pictures are labelled, libraries included.
    """

    size: Size
    network_mb: float
    process_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as text. Columns from `right_from` on hold numbers.

    Attributes:
        text: what stands above it, in Markdown.
    """

    text: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right_from: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """What a study found. Produced by a study's `run`, consumed by `studies.run_study`.

    Attributes:
        tables: for people, in the paper's form first.
        networks: all that took part.
        rows: frozen dataclasses, for the JSON.
        pictures: files that were written, for the table to show.
    """

    tables: tuple[Table, ...]
    networks: tuple[Trained, ...]
    rows: tuple[Any, ...]
    pictures: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyResult:
    """Findings, and what they were found with.

    Attributes:
        study: its name.
        streamseg, date, command, python, machine: as in `benchmark.records.Result`.
        load_average: when the study began; speeds have their own.
        quick: whether the schedule was the reduced one, whose accuracy means little.
        device, precision: of the training.
        trained_on, scored_on: data set, split, and number of images.
        caveat: what a reader of a score on that split must know; may be empty.
        warnings: of networks that may have seen the drive held out; none where no drive is.
        pictures: names of files, relative to the result's own folder.
    """

    study: str
    streamseg: str
    date: str
    command: str
    python: str
    load_average: float | None
    machine: dict[str, Any]
    quick: bool
    device: str
    precision: str
    seed: int
    trained_on: str
    scored_on: str
    caveat: str
    networks: tuple[Trained, ...]
    rows: tuple[Any, ...]
    tables: tuple[Table, ...]
    warnings: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Numbers, texts, lists and objects alone; tables are for people."""
        values = dataclasses.asdict(self)
        del values["tables"]
        return values
