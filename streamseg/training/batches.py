"""Batches of random views, made ahead of the trainer on threads of their own.

    image ──paste──▶ with rare things ──random_view──▶ crop ──mix──▶ with parts of another ──▶ batch
      └─────────────────object_view of a stage of objects──────────────▶ crop ───────────────────┘

What a view looks like depends on (seed, epoch, image, and what it is laid around) alone, so a resumed
run sees exactly what an uninterrupted one would have.
"""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamseg.datasets import LabelledImages
from streamseg.datasets.augment import random_view
from streamseg.datasets.centroids import Centroids
from streamseg.datasets.mix import mixed
from streamseg.datasets.object_views import Picture, object_view
from streamseg.datasets.objects import Objects, objects_in
from streamseg.datasets.paste import Cutouts, pasted
from streamseg.errors import DataError
from streamseg.models.card import InputSpec
from streamseg.training.stage import Stage

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""(image H x W x 3 uint8 BGR, label map H x W uint8)."""

Pick = tuple[int, ...]
"""(image,), or (image, row, column): which pixel its view is laid around."""

AHEAD = 3
"""Batches prepared in advance, by each thread."""

KEEP_BYTES = 2 << 30
"""Images and label maps kept in memory (CamVid: 0.25 GB); the rest is read every time."""


def normalized(image_BCHW: Tensor, spec: InputSpec) -> Tensor:
    """A batch's images as a network takes them: float32, channels last, on their device.

    Args:
        image_BCHW: uint8 BGR.
    """
    x = image_BCHW if spec.color == "bgr" else image_BCHW.flip(1)
    x = x.float().contiguous(memory_format=torch.channels_last)
    mean = torch.tensor(spec.mean, device=x.device).view(1, 3, 1, 1)
    std = torch.tensor(spec.std, device=x.device).view(1, 3, 1, 1)
    return (x - mean) / std


class Batches:
    """Random views of a data set, all read at the start, and kept as far as `KEEP_BYTES` go.

    Attributes:
        num_classes: of the data set.
        pixels_C: int64, pixels of each class over the whole set, extra images not counted.

    Args:
        workers: threads that make them. On the CPU one, for the network needs the others; a GPU is faster than that.

    Raises:
        DataError: an image cannot be read, or the extra images have other classes.
    """

    def __init__(
        self,
        dataset: LabelledImages,
        seed: int,
        extra: LabelledImages | None = None,
        *,
        workers: int = 1,
    ) -> None:
        self._workers = workers
        self._lock = Lock()
        self.num_classes = len(dataset.labels)
        self._dataset = dataset
        self._extra = extra
        self._seed = seed
        self._kept: dict[int, Sample] = {}
        self._cutouts: dict[tuple[tuple[str, ...], ...], Cutouts] = {}
        self._centroids: dict[int, Centroids] = {}
        self._with_objects: dict[Objects, list[int]] = {}
        if extra is not None and extra.labels.class_names != dataset.labels.class_names:
            raise DataError(
                f"expected extra images with the classes of {dataset.name} "
                f"({', '.join(dataset.labels.class_names)}), {extra.name} has "
                f"{', '.join(extra.labels.class_names)}"
            )
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
        """Full batches an epoch (what is left over waits for another order); at least one.

        Raises:
            DataError: the stage wants objects, and there is none.
        """
        return max(1, len(self._usable(stage)) // (stage.batch - stage.num_extra))

    def adds_background(self, stage: Stage) -> bool:
        """Whether labels of the stage's views may be one more than the last class: of no object."""
        centred = stage.objects is not None and stage.objects.kind == "centred"
        return centred and self._dataset.labels.background is None

    def epoch(
        self, stage: Stage, epoch: int, start: int = 0
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yields (image B x 3 x H x W uint8 BGR, label B x H x W int64), from batch `start` on.

        Close it (`contextlib.closing`) when leaving early: its threads end then.

        Raises:
            DataError: the stage wants extra images or objects, and there are none.
        """
        chosen = self._chosen(stage, epoch)
        pending: deque[Future[tuple[Tensor, Tensor]]] = deque()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="views") as pool:
            try:
                for batch in range(start, self.per_epoch(stage)):
                    pending.append(pool.submit(self._make, stage, epoch, chosen[batch]))
                    if len(pending) > AHEAD * self._workers:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _chosen(self, stage: Stage, epoch: int) -> list[list[Pick]]:
        """The images of every batch; extra ones are counted on after the real ones."""
        rng = np.random.default_rng((self._seed, epoch))
        order = self._order(stage, rng)
        real, drawn = stage.batch - stage.num_extra, stage.num_extra
        batches = range(self.per_epoch(stage))
        chosen = [order[batch * real : (batch + 1) * real] for batch in batches]
        if not drawn:
            return chosen
        if self._extra is None:
            raise DataError(
                f"expected extra images for a stage of which they are to be "
                f"{stage.extra_share:.0%}; got none"
            )
        # Each once before any comes again.
        rounds = -(-drawn * len(batches) // len(self._extra))
        more: list[Pick] = [
            (len(self._dataset) + int(index),)
            for _ in range(rounds)
            for index in rng.permutation(len(self._extra))
        ]
        return [
            _spread_among(images, more[batch * drawn : (batch + 1) * drawn])
            for batch, images in enumerate(chosen)
        ]

    def _order(self, stage: Stage, rng: np.random.Generator) -> list[Pick]:
        """As many picks as there are real images: each once, or a share of them by centroids instead."""
        usable = self._usable(stage)
        order: list[Pick] = [(usable[place],) for place in rng.permutation(len(usable)).tolist()]
        if stage.uniform is None:
            return order
        tile = stage.uniform.tile
        if tile not in self._centroids:
            self._centroids[tile] = self._listed(tile)
        drawn = self._centroids[tile].draw(round(stage.uniform.share * len(order)), rng)
        picks = [*drawn, *order[len(drawn) :]]
        return [picks[index] for index in rng.permutation(len(picks))]

    def _usable(self, stage: Stage) -> Sequence[int]:
        """The real images that the stage learns from."""
        if stage.objects is None:
            return range(len(self._dataset))
        if stage.objects not in self._with_objects:
            self._with_objects[stage.objects] = self._holding(stage.objects)
        return self._with_objects[stage.objects]

    def _holding(self, objects: Objects) -> list[int]:
        """The images with any object, listed when they are first asked for."""
        found = []
        for index in range(len(self._dataset)):
            _, objects_of_image = objects_in(
                self._load(index)[1], objects, background=self._dataset.labels.background,
                instances=self._dataset.load_instances(index),
            )  # fmt: skip
            if objects_of_image:
                found.append(index)
        if not found:
            raise DataError(
                f"expected objects of at least {objects.least_pixels} pixels and {objects.least_side} from side to "
                f"side in {self._dataset.name} {self._dataset.split} to learn from; there are none"
            )
        return found

    def _listed(self, tile: int) -> Centroids:
        """Where each class is in each image, listed when it is first asked for."""
        found = Centroids(self.num_classes, tile)
        for index in range(len(self._dataset)):
            found.add(index, self._load(index)[1])
        return found

    def _make(self, stage: Stage, epoch: int, chosen: list[Pick]) -> tuple[Tensor, Tensor]:
        height, width = stage.view.crop
        images = np.empty((len(chosen), 3, height, width), np.uint8)
        labels = np.empty((len(chosen), height, width), np.int64)
        for slot, pick in enumerate(chosen):
            rng = np.random.default_rng((self._seed, epoch, *pick))
            image, label = self._view(stage, pick, rng)
            if stage.mix is not None and rng.random() < stage.mix.share:
                other = self._view(stage, (int(rng.integers(len(self._dataset))),), rng)
                image, label = mixed((image, label), other, stage.mix.kind, rng)
            images[slot] = image.transpose(2, 0, 1)
            labels[slot] = label
        return torch.from_numpy(images), torch.from_numpy(labels)

    def _view(self, stage: Stage, pick: Pick, rng: np.random.Generator) -> Sample:
        index, *around = pick
        image, label = self._load(index)
        if stage.objects is not None:
            picture = Picture(
                image=image, label=label, instances=self._dataset.load_instances(index)
            )
            return object_view(picture, self._dataset.labels, stage.objects, stage.view, rng)
        # What is rendered holds things enough, and auto-labels are too uncertain to paste on.
        if stage.paste is not None and index < len(self._dataset):
            cutouts = self._cut_out(stage.paste.groups)
            image, label = pasted(image, label, cutouts, stage.paste, rng)
        row_column = (around[0], around[1]) if around else None
        return random_view(image, label, stage.view, rng, row_column)

    def _load(self, index: int) -> Sample:
        if self._extra is not None and index >= len(self._dataset):
            return self._extra.load(index - len(self._dataset))
        return self._kept.get(index) or self._dataset.load(index)

    def _cut_out(self, groups: tuple[tuple[str, ...], ...]) -> Cutouts:
        """What can be pasted, cut out when it is first asked for."""
        with self._lock:
            if groups not in self._cutouts:
                cutouts = Cutouts(self._dataset.labels, groups)
                for index in range(len(self._dataset)):
                    cutouts.add(*self._load(index))
                self._cutouts[groups] = cutouts
            return self._cutouts[groups]


def _spread_among(real: list[Pick], extra: list[Pick]) -> list[Pick]:
    """Both, each evenly over the batch: a part of it (`training.shards`) then holds about the same share of either, and
    no part's batch norm sees extra images alone."""
    placed = [
        ((place + 0.5) / len(picks), pick)
        for picks in (real, extra)
        for place, pick in enumerate(picks)
    ]
    return [pick for _, pick in sorted(placed, key=lambda one: one[0])]
