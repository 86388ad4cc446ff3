"""The DeconvNet paper's table on our data: what is compared, what comes out, and how it looks in Markdown."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from streamseg.benchmark.table import machine_text, markdown_table, versions_text
from streamseg.models.card import ModelCard


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A row of the table: which networks answer, and whether the CRF has the last word.

    Attributes:
        name: of its files.
        title: in the table.
        deconvnet: DeconvNet over proposals answers; FCN-8s on whole pictures, if not.
        ensemble: FCN-8s answers, too, and the mean of both maps counts.
        crf: the fully connected CRF follows.
        paper: mIoU in % on Pascal VOC 2012's test split (Noh, Hong, Han 2015; Long et al. 2015).
    """

    name: str
    title: str
    deconvnet: bool
    ensemble: bool = False
    crf: bool = False
    paper: float


WAYS = (
    Way(name="fcn8s", title="FCN-8s", deconvnet=False, paper=64.4),
    Way(name="deconvnet", title="DeconvNet", deconvnet=True, paper=69.6),
    Way(name="deconvnet-crf", title="DeconvNet + CRF", deconvnet=True, crf=True, paper=70.5),
    Way(name="ensemble", title="ensemble with FCN-8s", deconvnet=True, ensemble=True, paper=71.5),
    Way(
        name="ensemble-crf", title="ensemble + CRF", deconvnet=True, ensemble=True, crf=True, paper=72.5
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DeconvNetRow:
    """What one way came to.

    Attributes:
        way: its name.
        plan: all that decided it, as text: weights, settings, images.
        miou, pixel_accuracy: 0..1, of one confusion matrix over all images.
        iou: per class; None for one that neither occurs nor was predicted.
        boundary_f1: 0..1, None where there are no outlines.
        seconds: of labelling one picture, after a first one that is not timed.
        backend, precision: that it ran in.
        fallbacks: what was asked, what was used, why.
        date: ISO.
    """

    way: str
    plan: str
    miou: float
    pixel_accuracy: float
    iou: dict[str, float | None]
    boundary_f1: float | None
    seconds: float
    backend: str
    precision: str
    fallbacks: tuple[str, ...]
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeconvNetResult:
    """All rows that are there, with what they were found with.

    Attributes:
        command: how to run this again.
        machine: processor, cores, units for short numbers, packages, system.
        scored_on: data set, split, number of images.
        caveat: what a reader of a score on that split must know; may be empty.
        networks: notes of both networks' cards, by their names.
    """

    streamseg: str
    date: str
    command: str
    python: str
    load_average: float | None
    machine: dict[str, Any]
    scored_on: str
    caveat: str
    networks: dict[str, dict[str, Any]]
    rows: tuple[DeconvNetRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json`."""
        return dataclasses.asdict(self)


def network_notes(card: ModelCard) -> dict[str, Any]:
    """What a reader of the table must know of a network; None for what its card does not say."""
    known = ("trained_on", "epochs", "training_minutes", "precision")
    return {
        "architecture": card.architecture,
        "width": card.width,
        **{key: card.notes.get(key) for key in known},
    }


def markdown(result: DeconvNetResult) -> str:
    """Heading, the table, and the networks."""
    parts = [
        f"{machine_text(result.machine, result.load_average)}, {result.date}; `{result.command}`.\n\n"
        f"{versions_text(result.streamseg, result.python, result.machine)}",
        _what_it_means(result),
        _table(result),
    ]
    parts.append("\n".join(_network(name, notes) for name, notes in result.networks.items()))
    told = dict.fromkeys(text for row in result.rows for text in row.fallbacks)
    parts.append("\n".join(f"- fallback: {text}" for text in told))
    return "\n\n".join(part for part in parts if part)


def _network(name: str, notes: dict[str, Any]) -> str:
    words = [notes["architecture"], f"width {notes['width']:g}"]
    words += [notes["trained_on"] or "its card does not say what it was trained on"]
    if notes["epochs"] is not None:
        words.append(f"{notes['epochs']} epochs in {notes['training_minutes']} minutes")
    return f"- {name}: {'; '.join(words)}"


def _what_it_means(result: DeconvNetResult) -> str:
    caveat = f" {result.scored_on.partition(',')[0]} is {result.caveat}." if result.caveat else ""
    return (
        f"**FCN-8s, DeconvNet and their ensemble, scored on {result.scored_on}.**{caveat} mIoU in %; boundary F1 in %; "
        "seconds a picture, labelling alone. Single runs: another seed moves mIoU, too. The paper's column is of "
        "**another data set**, Pascal VOC 2012's test split, with networks of full width that began with ImageNet's "
        "weights: how rows relate may be compared, their height may not."
    )


def _table(result: DeconvNetResult) -> str:
    found = {row.way: row for row in result.rows}
    head = [
        "",
        "mIoU",
        "pixel accuracy",
        "boundary F1",
        "seconds",
        "precision",
        "paper: mIoU on VOC",
    ]
    return markdown_table(
        head,
        [
            [
                way.title,
                f"{100 * row.miou:.1f}",
                f"{100 * row.pixel_accuracy:.1f}",
                "" if row.boundary_f1 is None else f"{100 * row.boundary_f1:.1f}",
                f"{row.seconds:.2f}",
                f"{row.precision} on {row.backend}",
                f"{way.paper:.1f}",
            ]
            for way in WAYS
            if (row := found.get(way.name)) is not None
        ],
        right_from=1,
    )
