"""A drive that no network of a study shall have seen. Comes in: a card's text. Goes out: what a reader must know."""

import re

from streamseg.datasets import LabelledImages

HARMLESS = re.compile(r"; \d+ rendered frames mixed in")
"""They show no drive."""


def hold_out(images: LabelledImages, drive: str) -> tuple[LabelledImages, LabelledImages]:
    """(the images of all other drives, to train on; those of this one, to score on).

    Raises:
        DataError: no such drive, or there is no other.
    """
    return images.without(drive), images.only(drive)


def acquaintance(trained_on: str, name: str, drive: str) -> str:
    """What may be said against a score on a drive, by what a card says of the training; empty for nothing.

    Args:
        trained_on: as `training.trained_card` writes it, such as "camvid train without 0006R0, 266 images, from
            random weights".
        name: of the data set.
    """
    images, _, rest = HARMLESS.sub("", trained_on).partition(", ")
    split, *others = images.split(" without ")
    if drive not in others:
        known = split in (f"{name} train", f"{name} train {drive}")
        return f"has learnt from the drive {drive}" if known else f"may have seen the drive {drive}"
    if split == f"{name} train" and rest.endswith("from random weights"):
        return ""
    return f"may have seen the drive {drive}, in the weights it began with or the frames mixed in"


def warning(what: str, trained_on: str, name: str, drive: str) -> str:
    """`acquaintance` as a sentence; empty for nothing.

    Args:
        what: the network, as the sentence begins.
    """
    found = acquaintance(trained_on, name, drive)
    return f"**{what} {found}, which is scored here** (trained on: {trained_on})." if found else ""
