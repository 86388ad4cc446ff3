"""`Stage`: a stretch of a recipe, with its views, its length and its learning rate."""

from dataclasses import dataclass

from streamseg.datasets.augment import View
from streamseg.datasets.centroids import Uniform
from streamseg.datasets.mix import Mix
from streamseg.datasets.objects import Objects
from streamseg.datasets.paste import Paste


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of training with one view and one polynomial learning-rate decay.

    Attributes:
        epochs: passes over the training images.
        batch: crops per step.
        learning_rate: at its greatest, after `warmup_steps` of linear rise.
        power: of the poly schedule, lr * (1 - progress) ** power.
        decay_epochs: epochs over which that schedule reaches zero, when the stage is cut short of them.
        class_softness: `losses.class_weights`' argument; None weighs all classes alike.
        label_stride: interpolate the finest branch to 1 / label_stride of the image before its loss;
            None takes it as it is, at 1/4, as the paper does. A pole of two pixels falls between
            the samples of a label map shrunk to 1/4.
        paste: rare things pasted into images before their view is taken, None for none.
        mix: parts of other views put on views, None for none.
        extra_share: of each batch that is extra images (rendered, auto-labelled), rounded to whole
            ones; an epoch is still one pass over the real images, in more batches.
        uniform: views around centroids of classes drawn uniformly, None for none.
        objects: views of single objects in place of views of whole images, None for the latter. An epoch is one view of
            each image that holds any object. Of `view` its crop, flip, color and conditions hold then.
    """

    epochs: int
    batch: int
    view: View
    learning_rate: float
    warmup_steps: int = 100
    power: float = 0.9
    decay_epochs: int | None = None
    class_softness: float | None = None
    label_stride: int | None = None
    paste: Paste | None = None
    mix: Mix | None = None
    extra_share: float = 0.0
    uniform: Uniform | None = None
    objects: Objects | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise ValueError(
                f"expected epochs and batch >= 1, got {self.epochs} epochs of batch {self.batch}"
            )
        if self.decay_epochs is not None and self.decay_epochs < self.epochs:
            raise ValueError(
                f"expected decay_epochs >= epochs, got {self.decay_epochs} < {self.epochs}"
            )
        if self.extra_share < 0 or self.num_extra >= self.batch:
            raise ValueError(
                f"expected an extra_share that leaves room for real images in a batch of "
                f"{self.batch}, got {self.extra_share}"
            )
        if self.objects is not None:
            self._check_objects()

    def _check_objects(self) -> None:
        """What views of objects know nothing of is refused, rather than left out."""
        given = {
            "paste": self.paste, "mix": self.mix, "uniform": self.uniform, "extra_share": self.extra_share,
        }  # fmt: skip
        if wrong := [name for name, value in given.items() if value]:
            raise ValueError(
                f"expected a stage of objects without {', '.join(given)}, got {', '.join(wrong)}"
            )
        view = self.view
        if view != View(
            crop=view.crop, flip=view.flip, color=view.color, conditions=view.conditions
        ):
            raise ValueError(
                f"expected crop, flip, color and conditions alone of a view of objects, got {view}"
            )

    @property
    def num_extra(self) -> int:
        """Extra images in a batch."""
        return round(self.extra_share * self.batch)

    def rate(self, step: int, num_steps: int) -> float:
        """Learning rate at `step` (from 0) of the `num_steps` until it reaches zero."""
        warmup = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        return float(self.learning_rate * warmup * (1 - step / num_steps) ** self.power)
