"""Class-uniform sampling: every class as often as any other, however rare (Zhu et al. 2019; Tao et al. 2020).

    label maps ──tile by tile──▶ a centroid of each class in it ──draw──▶ which image, and where to look

Comes in: label maps, once. Goes out: (image, pixel) for a share of an epoch's views. Runs on the caller's thread.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamseg.labels import IGNORE


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniform:
    """How views are drawn class by class.

    Attributes:
        share: of an epoch's views (paper: half). The others are of images in random order.
        tile: side of the squares whose classes each give one centroid, pixels of the image (paper:
            1024, half of Cityscapes' width).
    """

    share: float = 0.5
    tile: int = 1024

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"expected share in 0..1, got {self.share}")
        if self.tile < 1:
            raise ValueError(f"expected tile >= 1 px, got {self.tile}")


def centroids(label: NDArray[np.uint8], tile: int) -> NDArray[np.int64]:
    """N x 3 (class, row, column): the mean place of each class in each tile, tiles from left to right and down.

    It need not be of the class: of a ring it is the middle.

    Args:
        label: H x W uint8; `IGNORE` is of no class.
        tile: side in pixels; the last ones of a row and column may be smaller.
    """
    height, width = label.shape
    found = []
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            inside = label[top : top + tile, left : left + tile]
            values = inside.reshape(-1)
            rows, columns = np.divmod(np.arange(values.size), inside.shape[1])
            counts = np.bincount(values, minlength=256)
            present = np.flatnonzero(counts[:IGNORE])
            y, x = (
                np.bincount(values, weights=places, minlength=256)[present] / counts[present]
                for places in (rows, columns)
            )
            places = (top + np.rint(y), left + np.rint(x))
            found.append(np.stack([present, *places], 1).astype(np.int64))
    return np.concatenate(found)


class Centroids:
    """All centroids of a data set, by class.

    Args:
        num_classes: of the data set.
        tile: see `Uniform`.
    """

    def __init__(self, num_classes: int, tile: int) -> None:
        self._tile = tile
        self._found: list[list[NDArray[np.int64]]] = [[] for _ in range(num_classes)]

    def add(self, image: int, label: NDArray[np.uint8]) -> None:
        """List the centroids of image number `image`."""
        found = centroids(label, self._tile)
        for k, places in enumerate(self._found):
            of_class = found[found[:, 0] == k]
            of_class[:, 0] = image
            places.append(of_class)

    def draw(self, count: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
        """`count` times (image, row, column): of every class that occurs as many, to one, in random order.

        A centroid comes again only after all others of its class.
        """
        stocked = [np.concatenate(places) for places in self._found if any(map(len, places))]
        if not stocked:
            return []
        drawn: list[tuple[int, int, int]] = []
        for turn, k in enumerate(rng.permutation(len(stocked))):
            number = (count + len(stocked) - 1 - turn) // len(stocked)
            places = stocked[k]
            rounds = -(-number // len(places))
            order = [int(at) for _ in range(rounds) for at in rng.permutation(len(places))]
            drawn += [(int(i), int(y), int(x)) for i, y, x in places[order[:number]].tolist()]
        return [drawn[index] for index in rng.permutation(len(drawn))]
