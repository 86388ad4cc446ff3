"""Writes data sets in Pascal VOC's and SBD's layouts, so that tests need no real ones."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from streamseg.datasets.label_files import palette_rgb

Pixels = NDArray[np.uint8]


def voc_sample() -> tuple[Pixels, Pixels, Pixels]:
    """(image, class ids, object numbers): a dog (12) and two persons (15) that touch, with rims of 255."""
    label, objects = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    for number, (class_id, left, right) in enumerate([(12, 2, 20), (15, 26, 38), (15, 38, 52)], 1):
        label[6:34, left:right], objects[6:34, left:right] = class_id, number
        for array in (label, objects):
            array[5, left:right] = array[34, left:right] = 255
    return np.dstack([3 * label] * 3), label, objects


def write_voc(
    root: Path,
    split: str,
    names: list[str],
    *,
    folder: str = "SegmentationClass",
    objects: bool = True,
) -> None:
    """`voc_sample` under each name, in palette images as VOC's own are."""
    image, label, numbers = voc_sample()
    for name in ("JPEGImages", folder, "ImageSets/Segmentation", "SegmentationObject"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in names:
        assert cv2.imwrite(str(root / "JPEGImages" / f"{name}.jpg"), image)
        write_palette_png(root / folder / f"{name}.png", label)
        if objects:
            write_palette_png(root / "SegmentationObject" / f"{name}.png", numbers)
    (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names) + "\n")


def write_sbd(root: Path, split: str, names: list[str]) -> None:
    """`voc_sample` under each name; Matlab files hold no 255."""
    image, label, numbers = voc_sample()
    for name in ("img", "cls", "inst"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in names:
        assert cv2.imwrite(str(root / "img" / f"{name}.jpg"), image)
        for folder, record, values in (("cls", "GTcls", label), ("inst", "GTinst", numbers)):
            segmentation = {"Segmentation": np.where(values == 255, 0, values)}
            savemat(root / folder / f"{name}.mat", {record: segmentation})
    (root / f"{split}.txt").write_text("\n".join(names) + "\n")


def write_palette_png(path: Path, indices: Pixels) -> None:
    """An 8-bit palette image, which cv2 cannot write."""
    height, width = indices.shape
    rows = b"".join(b"\0" + row.tobytes() for row in indices)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette_rgb().tobytes()),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
