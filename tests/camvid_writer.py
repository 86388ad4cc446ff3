"""Writes data sets in CamVid's layout, so that tests need no real one."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""(image H x W x 3 uint8 BGR, raw label values H x W uint8)."""

UNLABELLED = 11
"""In CamVid's files; `IGNORE` is what becomes of it."""


def write_camvid(
    root: Path,
    split: str,
    samples: Sequence[Sample],
    *,
    listing: bool = True,
    drives: Sequence[str] = ("frame",),
) -> list[str]:
    """Write `samples` as split `split` and return their names, in the order of the list.

    The list names them in reverse under the tutorial's own root, so that neither the order of the
    names nor the folder can stand in for it. Images are named after `drives` in turn.
    """
    for folder in (root / split, root / f"{split}annot"):
        folder.mkdir(parents=True, exist_ok=True)
    names = [f"{drives[index % len(drives)]}_{index:03d}.png" for index in range(len(samples))]
    for name, (image, label) in zip(names, samples, strict=True):
        assert cv2.imwrite(str(root / split / name), image)
        assert cv2.imwrite(str(root / f"{split}annot" / name), label)
    if listing:
        names.reverse()
        lines = [
            f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}" for name in names
        ]
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return names


def street(seed: int, height: int = 48, width: int = 64) -> Sample:
    """Sky above road, a car, a pole, a strip without labels; colors give the class away."""
    rng = np.random.default_rng(seed)
    label = np.zeros((height, width), np.uint8)
    horizon = int(rng.integers(height // 3, height // 2))
    label[horizon:] = 3
    left = int(rng.integers(0, width // 2))
    label[horizon - 4 : horizon + 10, left : left + width // 4] = 8
    label[: horizon + 6, width - 12 : width - 8] = 2
    label[-3:] = UNLABELLED
    colors = np.zeros((12, 3), np.int64)
    colors[[0, 2, 3, 8, UNLABELLED]] = [
        (220, 190, 140), (60, 160, 170), (80, 80, 80), (30, 30, 200), (0, 0, 0),
    ]  # fmt: skip
    noise = rng.integers(-12, 13, (height, width, 3))
    return np.clip(colors[label] + noise, 0, 255).astype(np.uint8), label
