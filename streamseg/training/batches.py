"""Batches of random views, made ahead of the trainer on a thread of its own.

What a view looks like depends on (seed, epoch, image) alone, so a resumed run sees exactly what an
uninterrupted one would have.
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamseg.datasets import LabelledImages
from streamseg.datasets.augment import random_view
from streamseg.training.recipes import Stage

AHEAD = 3
"""Batches prepared in advance."""

KEEP_BYTES = 2 << 30
"""Images and label maps kept in memory (CamVid: 0.25 GB); the rest is read every time."""


class Batches:
    """Random views of a data set, all read at the start, and kept as far as `KEEP_BYTES` go.

    Attributes:
        num_classes: of the data set.
        pixels_C: int64, pixels of each class over the whole set.

    Raises:
        DataError: an image cannot be read.
    """

    def __init__(self, dataset: LabelledImages, seed: int) -> None:
        self.num_classes = len(dataset.labels)
        self._dataset = dataset
        self._seed = seed
        self._kept: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
        counts = np.zeros(256, np.int64)
        free = KEEP_BYTES
        for index in range(len(dataset)):
            image, label = dataset.load(index)
            counts += np.bincount(label.reshape(-1), minlength=256)
            free -= image.nbytes + label.nbytes
            if free >= 0:
                self._kept[index] = (image, label)
        self.pixels_C = torch.from_numpy(counts[: self.num_classes])

    def per_epoch(self, stage: Stage) -> int:
        """Full batches an epoch (what is left over waits for another order); at least one."""
        return max(1, len(self._dataset) // stage.batch)

    def epoch(
        self, stage: Stage, epoch: int, start: int = 0
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yields (image B x 3 x H x W uint8 BGR, label B x H x W int64), from batch `start` on.

        Close it (`contextlib.closing`) when leaving early: its thread ends then.
        """
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._dataset))
        pending: deque[Future[tuple[Tensor, Tensor]]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="views") as pool:
            try:
                for batch in range(start, self.per_epoch(stage)):
                    chosen = order[batch * stage.batch : (batch + 1) * stage.batch].tolist()
                    pending.append(pool.submit(self._make, stage, epoch, chosen))
                    if len(pending) > AHEAD:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _make(self, stage: Stage, epoch: int, chosen: list[int]) -> tuple[Tensor, Tensor]:
        height, width = stage.view.crop
        images = np.empty((len(chosen), 3, height, width), np.uint8)
        labels = np.empty((len(chosen), height, width), np.int64)
        for slot, index in enumerate(chosen):
            rng = np.random.default_rng((self._seed, epoch, index))
            image, label = self._kept.get(index) or self._dataset.load(index)
            image, label = random_view(image, label, stage.view, rng)
            images[slot] = image.transpose(2, 0, 1)
            labels[slot] = label
        return torch.from_numpy(images), torch.from_numpy(labels)
