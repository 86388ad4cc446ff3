"""How much of compression is measured, and the result: records, and, by `to_json`, its JSON."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from streamseg.benchmark.records import Size

Way = Literal["uncompressed", "progressive", "one-shot", "from scratch"]
"""How a network came to its width: not compressed at all; pruned in steps with fine-tuning after each; pruned once,
then fine-tuned; never wider than it is, trained from random weights.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionPlan:
    """What to train, and for how long.

    Every way gets equally many epochs in all, at each share that is kept: pruning at one blow is fine-tuned for as
    many as all the steps down to that share, and training from scratch has the uncompressed network's on top.

    Attributes:
        recipe, tuning: names of recipes, of training and of fine-tuning.
        width: of the uncompressed network.
        epochs, tuning_epochs: of training, and of fine-tuning after each step; None for the recipes' own.
        steps: shares kept, progressively.
        compared: shares among them at which all ways are compared.
        images, scored: only the first so many images of the training and validation splits.
        seed: of all runs.
    """

    recipe: str = "icnet-camvid"
    tuning: str = "icnet-camvid-tuning"
    width: float = 1.0
    epochs: int | None = None
    tuning_epochs: int | None = None
    steps: tuple[float, ...] = (0.75, 0.5, 0.375, 0.25)
    compared: tuple[float, ...] = (0.5, 0.25)
    images: int | None = None
    scored: int | None = None
    seed: int = 0


QUICK = CompressionPlan(epochs=1, tuning_epochs=1, images=12, scored=2)
"""To see that everything runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """One network.

    Attributes:
        way: see `Way`.
        keep: share of the uncompressed network's filters.
        width: factor of the architecture.
        parameters: without auxiliary heads.
        gmac: 1e9 products of one image of `CompressionResult.network_size`.
        epochs: in all, the uncompressed network's own included where that was trained in this run.
        pruned_miou: right after the last pruning, before fine-tuning; null where nothing was pruned.
        miou, pixel_accuracy: of the weights as stored, fractions in 0..1, as of `streamseg eval`.
        milliseconds: to label an image, all cores on it.
    """

    way: Way
    keep: float
    width: float
    parameters: int
    gmac: float
    epochs: int
    pruned_miou: float | None
    miou: float
    pixel_accuracy: float
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionResult:
    """Everything measured in one run.

    Attributes:
        streamseg, date, command, python, machine: as in `records.Result`.
        model: name of the uncompressed network; epochs: those that it was trained for in this run, 0 if it was given.
        quick: whether it was a trial, with scores that mean nothing.
        device, precision: of the training.
        trained_on, scored_on: data set, split, and number of images.
        scored_by: backend and precision of mIoU and milliseconds.
        network_size: (height, width) of the network's input.
    """

    streamseg: str
    date: str
    command: str
    python: str
    machine: dict[str, Any]
    model: str
    epochs: int
    device: str
    precision: str
    seed: int
    trained_on: str
    scored_on: str
    scored_by: str
    network_size: Size
    networks: tuple[Compressed, ...]
    quick: bool = False

    def to_json(self) -> dict[str, Any]:
        """Numbers, texts, lists and objects alone."""
        return dataclasses.asdict(self)
