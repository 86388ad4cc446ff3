"""How much of a study is done: all of it, or so little that it ends in minutes on two cores."""

from dataclasses import dataclass, replace

from streamseg.benchmark.records import Size
from streamseg.training.recipe import Recipe

PAPER_SIZE = (1025, 2049)
"""Network input of the paper's tables: Cityscapes' 1024x2048."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """What becomes of every recipe of a reduced schedule: one short stage of small crops.

    Attributes:
        epochs: of every training, unless the command says otherwise.
        tuning_epochs: of fine-tuning after a pruning, likewise.
        batch: crops a step.
        crop: (height, width) in pixels.
        size: of the network's input when it is scored.
        scale: least and greatest magnification of images in crops.
    """

    epochs: int = 3
    tuning_epochs: int = 1
    batch: int = 4
    crop: Size = (193, 257)
    size: Size = (289, 385)
    scale: tuple[float, float] = (0.5, 1.2)

    def __call__(self, recipe: Recipe) -> Recipe:
        """The same network, losses and augmentation, with this size and length. Epochs stay as they are."""
        first = recipe.stages[0]
        stage = replace(
            first,
            epochs=recipe.epochs,
            decay_epochs=None,
            batch=self.batch,
            warmup_steps=10,
            label_stride=2,
            view=replace(first.view, crop=self.crop, scale=self.scale),
        )
        return replace(
            recipe,
            stages=(stage,),
            input=replace(recipe.input, size=self.size),
            ema_decay=0.95,
            ema_rises=True,
            score_every=recipe.epochs,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How much is trained, scored and timed.

    Attributes:
        reduced: what becomes of recipes; None leaves them as they are.
        images, scored: of the training and validation splits, evenly spread; None for all.
        speed_sizes: network inputs that are timed besides the data's own.
        rounds, timing_seconds: of timing: how often all take turns, and about how long each of them is timed in one.
        pspnet_width: factor of PSPNet50's channels in the study of downsampling, unless the command says otherwise.
        teacher_width: factor of HRNet's channels in the study of distillation; None for its recipe's.
        frames: of which pictures are drawn.
    """

    reduced: Reduced | None = None
    images: int | None = None
    scored: int | None = None
    speed_sizes: tuple[Size, ...] = (PAPER_SIZE,)
    rounds: int = 5
    timing_seconds: float = 2.0
    pspnet_width: float = 1.0
    teacher_width: float | None = None
    frames: int = 6

    @property
    def quick(self) -> bool:
        """Whether accuracy by it means little."""
        return self.reduced is not None


FULL = Schedule()

QUICK = Schedule(
    reduced=Reduced(),
    images=96,
    scored=25,
    speed_sizes=(),
    rounds=3,
    timing_seconds=0.5,
    pspnet_width=0.125,
    teacher_width=0.125,
    frames=4,
)
