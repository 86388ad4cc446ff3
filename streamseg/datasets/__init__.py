"""Labelled images on disk. Comes in: a folder. Goes out: (image, label map), one at a time."""

from streamseg.datasets.labelled import LabelledImages, open_dataset

__all__ = ["LabelledImages", "open_dataset"]
