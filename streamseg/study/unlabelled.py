"""`Unlabelled`: frames that a network is to label, and what becomes of them."""

from dataclasses import dataclass
from pathlib import Path

from streamseg.datasets import LabelledImages


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unlabelled:
    """What the teacher of the study of distillation labels.

    Attributes:
        sources: video files, or one folder or glob of images; none for the images that are scored, without their
            labels.
        every: each so manieth frame of each.
        threshold: labels are kept where the teacher's probability is above it (the paper's 0.9).
        share: of each batch that such frames make up.
        truth: labelled images. Where they are among the frames, they tell how right the labels are; no network learns
            from them.
    """

    sources: tuple[str | Path, ...] = ()
    every: int = 1
    threshold: float = 0.9
    share: float = 0.5
    truth: tuple[LabelledImages, ...] = ()

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"expected every of at least 1 (each Nth frame), got {self.every}")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"expected a threshold from 0 to below 1, got {self.threshold}")
        if not 0 < self.share < 1:
            raise ValueError(f"expected a share of each batch between 0 and 1, got {self.share}")
