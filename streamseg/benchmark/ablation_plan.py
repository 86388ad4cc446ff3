"""What is compared: a recipe that takes minutes, and which changes to it are tried in which order."""

from dataclasses import dataclass, replace

from streamseg.training.changes import BASELINE
from streamseg.training.recipe import Recipe
from streamseg.training.recipes import icnet_camvid

HELD_OUT = "0006R0"
"""By default: like most of the test drives in the day, in a place of its own, and the two others, which are left to
train on, hold dusk as well as day."""

SHOWN = ("pole", "sign", "fence", "pedestrian", "bicyclist")
"""Classes that a table shows beside the mean: the ones that do worst on unseen drives."""

VARIANTS = (
    BASELINE,
    "light+shadows+camera",
    "paste",
    "light+shadows+camera+paste",
    "decay",
    "classmix",
    "light+shadows+camera+paste+decay",
    "light+shadows+camera+paste+classmix+decay",
    "light",
    "scale",
    "rendered",
    "fine",
    "hardest",
    "cutmix",
    "rare",
    "uniform",
    "shadows",
    "camera",
    "erase",
    "smooth",
)
"""The most promising first, so that a night cut short has answered what matters most."""


def reduced(epochs: int) -> Recipe:
    """The shipped recipe's first stage in about ten minutes on two cores: smaller crops at the same magnification,
    smaller batches, and an average that forgets sooner, since there are fewer steps.
    """
    shipped = icnet_camvid()
    stage = shipped.stages[0]
    stage = replace(
        stage,
        epochs=epochs,
        decay_epochs=None,
        batch=8,
        view=replace(stage.view, crop=(289, 385)),
        learning_rate=1.2e-3,
    )
    return replace(shipped, name="reduced", stages=(stage,), ema_decay=0.99, score_every=epochs)


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationPlan:
    """What to run: every variant on every drive with every seed.

    Attributes:
        variants: `changes.changed`'s words; the first is what the others are compared with, if it is the baseline.
        hold_out: drives, each left out of training in turn and scored on.
        seeds: of weights, views and order. How far they scatter tells which differences mean anything.
        epochs: of each run.
        limit: only the first so many images of each drive, to see that all works; None for all.
    """

    variants: tuple[str, ...] = VARIANTS
    hold_out: tuple[str, ...] = (HELD_OUT,)
    seeds: tuple[int, ...] = (0,)
    epochs: int = 40
    limit: int | None = None
