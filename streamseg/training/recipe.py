"""`Recipe`: a complete, frozen description of a training run."""

from dataclasses import dataclass

from streamseg.models.card import InputSpec
from streamseg.models.scales import Scales
from streamseg.training.losses import Distillation, Hardest
from streamseg.training.rmi import RegionMutualInformation
from streamseg.training.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides a training run besides its data and, if it does not begin at random ones, its weights.

    Attributes:
        width: width factor of the network, where it is not the architecture's own.
        scales: at which a network of several scales looks, in training and afterwards; None for its default.
        scale_weight: of the pixels' cross entropy of every scale's answer alone, beside the fused one's. The paper has
            no such term; its authors' later recipes have 0.05.
        region: main loss by regions in place of the pixels' cross entropy; None for the latter.
        branch_weights: cascade label guidance, finest branch first (paper: 1, 0.4, 0.4).
        jaccard_weight: share of `losses.soft_jaccard` on the finest branch, 0 for none.
        hardest: only these pixels count in the cross entropy; None for all.
        label_smoothing: of the cross entropy, 0 for none.
        distillation: a teacher beside the labels; None for none.
        rendered_frames: so many different frames are rendered to be the extra images; 0 for none, or others.
        ema_decay: of the averaged weights per step; they are what is scored and saved.
        ema_rises: the decay of step n (from 0) is at most (1 + n) / (10 + n), so that the average of a short run
            does not remember the weights that it began with.
        score_every: epochs between scores on the validation split.
        shards: parts of a batch that batch norm sees one by one (`training.shards`).
        reestimate: batches over which the average's batch-norm statistics are found anew after the last epoch
            (`training.reestimate`); 0 to leave them as they are.
    """

    name: str
    architecture: str
    stages: tuple[Stage, ...]
    input: InputSpec
    width: float | None = None
    scales: Scales | None = None
    scale_weight: float = 0.0
    region: RegionMutualInformation | None = None
    branch_weights: tuple[float, ...] = (1.0, 0.4, 0.4)
    jaccard_weight: float = 0.0
    hardest: Hardest | None = None
    label_smoothing: float = 0.0
    distillation: Distillation | None = None
    rendered_frames: int = 0
    weight_decay: float = 1e-4
    ema_decay: float = 0.999
    ema_rises: bool = False
    score_every: int = 5
    seed: int = 0
    shards: int = 1
    reestimate: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.shards <= min(stage.batch for stage in self.stages):
            raise ValueError(
                f"expected shards from 1 to the smallest batch, of {min(stage.batch for stage in self.stages)}, "
                f"got {self.shards}"
            )

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    @property
    def wants_extra(self) -> bool:
        """Whether any of its batches holds extra images."""
        return any(stage.num_extra for stage in self.stages)

    @property
    def wants_rendered(self) -> bool:
        """Whether these are to be rendered."""
        return self.wants_extra and self.rendered_frames > 0

    def decay(self, step: int) -> float:
        """`ema_decay` at `step` of the whole run, from 0."""
        return min(self.ema_decay, (1 + step) / (10 + step)) if self.ema_rises else self.ema_decay
