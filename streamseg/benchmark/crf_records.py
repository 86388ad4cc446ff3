"""What the fully connected CRF takes and gives, and that as Markdown."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from streamseg.benchmark.table import machine_text, markdown_table, versions_text


@dataclass(frozen=True, slots=True, kw_only=True)
class CRFTime:
    """Of one picture, with the network's probabilities: the median over pictures and rounds, least and greatest.

    Attributes:
        parameters: as `--crf` takes them.
        seconds, least, greatest: by the clock, with all CPUs.
        processor_seconds: of all threads together, median.
    """

    parameters: str
    size: tuple[int, int]
    classes: int
    pictures: int
    rounds: int
    seconds: float
    least: float
    greatest: float
    processor_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CRFAgreement:
    """With mean field by its definition, on crops.

    Attributes:
        probabilities: "network" or "scattered".
        greatest: difference of any marginal on any crop.
        mean_greatest: mean over crops of each one's greatest.
        labels: share of the pixels whose most probable class is the same.
    """

    parameters: str
    probabilities: str
    size: tuple[int, int]
    crops: int
    greatest: float
    mean_greatest: float
    labels: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CRFAccuracy:
    """On a data set's split; `parameters` "off" is the network alone."""

    parameters: str
    dataset: str
    split: str
    images: int
    miou: float
    pixel_accuracy: float
    boundary_f1: float | None
    iou: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CRFResult:
    """All of it, with what it was run on.

    Attributes:
        command: how to run this again.
        machine: processor, cores, units for short numbers, packages, system.
    """

    streamseg: str
    date: str
    command: str
    python: str
    load_average: float | None
    machine: dict[str, Any]
    model: str
    times: tuple[CRFTime, ...]
    agreements: tuple[CRFAgreement, ...]
    accuracies: tuple[CRFAccuracy, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json`."""
        return dataclasses.asdict(self)


def markdown(found: CRFResult) -> str:
    """Heading and tables."""
    heading = (
        f"{machine_text(found.machine, found.load_average)}, {found.date}; `{found.command}`.\n\n"
        f"{versions_text(found.streamseg, found.python, found.machine)}"
    )
    return "\n\n".join((heading, _times(found), _agreements(found), _accuracies(found)))


def _times(found: CRFResult) -> str:
    rows = [
        [
            row.parameters,
            f"{row.size[0]}x{row.size[1]}x{row.classes}",
            f"{row.seconds:.2f} ({row.least:.2f}..{row.greatest:.2f})",
            f"{row.processor_seconds:.2f}",
            f"{row.pictures} x {row.rounds}",
        ]
        for row in found.times
    ]
    head = ["parameters", "size", "seconds", "of processor", "pictures x rounds"]
    return (
        f"**Time of one picture**, probabilities of {found.model}, {found.machine['cores']} cores: median (least.."
        f"greatest)\n\n{markdown_table(head, rows, right_from=1)}"
    )


def _agreements(found: CRFResult) -> str:
    rows = [
        [
            row.parameters,
            row.probabilities,
            f"{row.crops} of {row.size[0]}x{row.size[1]}",
            f"{row.greatest:.4f}",
            f"{row.mean_greatest:.4f}",
            f"{100 * row.labels:.3f} %",
        ]
        for row in found.agreements
    ]
    head = ["parameters", "probabilities", "crops", "greatest", "mean greatest", "same label"]
    return (
        "**Difference to mean field by its definition** (every pair of pixels, float64): of marginals, on crops of "
        f"CamVid\n\n{markdown_table(head, rows, right_from=2)}"
    )


def _accuracies(found: CRFResult) -> str:
    names = list(found.accuracies[0].iou)
    rows = [
        [
            row.parameters,
            f"{row.miou:.4f}",
            f"{row.pixel_accuracy:.4f}",
            _number(row.boundary_f1, 4),
            *(_number(row.iou[name], 3) for name in names),
        ]
        for row in found.accuracies
    ]
    first = found.accuracies[0]
    head = ["CRF", "mIoU", "pixel accuracy", "boundary F1", *names]
    return (
        f"**Accuracy of {found.model}** on {first.dataset} {first.split}, {first.images} images\n\n"
        f"{markdown_table(head, rows, right_from=1)}"
    )


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
