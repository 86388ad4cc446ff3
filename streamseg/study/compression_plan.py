"""Which shares of filters are kept and how networks come to them, and what is told of each."""

from dataclasses import dataclass
from typing import Literal

from streamseg.benchmark.records import Size

Way = Literal["uncompressed", "progressive", "one-shot", "from scratch"]
"""How a network came to its width: not compressed at all; pruned in steps with fine-tuning after each; pruned once,
then fine-tuned; never wider than it is, trained from random weights.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionPlan:
    """What to train.

    Every way gets equally many epochs in all, at each share that is kept: pruning at one blow is fine-tuned for as
    many as all the steps down to that share, and training from scratch has the uncompressed network's on top.

    Attributes:
        recipe, tuning: names of recipes, of training and of fine-tuning.
        width: of the uncompressed network, unless one is given.
        steps: shares kept, progressively.
        compared: shares among them at which all ways are compared.
    """

    recipe: str = "icnet-camvid"
    tuning: str = "icnet-camvid-tuning"
    width: float = 1.0
    steps: tuple[float, ...] = (0.75, 0.5, 0.375, 0.25)
    compared: tuple[float, ...] = (0.5, 0.25)


PLAN = CompressionPlan()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """One network.

    Attributes:
        way: see `Way`.
        keep: share of the uncompressed network's filters.
        width: factor of the architecture.
        parameters: without auxiliary heads.
        gmac: 1e9 products of one image of `network_size`.
        epochs: in all, the uncompressed network's own included where that was trained here.
        pruned_miou: right after the last pruning, before fine-tuning, in the training's precision; null where nothing
            was pruned.
        network_size: of the network's input.
        backend, precision: of what follows.
        miou, pixel_accuracy: of the weights as stored, fractions in 0..1, as of `streamseg eval`.
        milliseconds: of the network alone, see `records.Speed`.
    """

    way: Way
    keep: float
    width: float
    parameters: int
    gmac: float
    epochs: int
    pruned_miou: float | None
    network_size: Size
    backend: str
    precision: str
    miou: float
    pixel_accuracy: float
    milliseconds: float
