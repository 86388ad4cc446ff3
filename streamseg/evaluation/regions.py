"""Accuracy by the size of things: what ICNet's finer branches gain, they gain on small regions.

The ICNet paper's analysis of connected components: regions of the truth are sorted into bins by their area, and
each bin says what share of such a region's pixels is labelled right.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.evaluation.confusion import check_label_maps, check_num_classes

BIN_PIXELS = 30
"""The paper's: bin i holds regions of about 30 i pixels."""


@dataclass(slots=True, eq=False)
class RegionAccuracy:
    """Mean accuracy of connected regions of the truth, by size.

    A region is of one class and 8-connected; every region counts alike in its bin, however large. Its accuracy is the
    share of its pixels labelled right. Unlabelled pixels belong to no region. The papers do not say which regions
    "about" holds; here a region is in the bin whose size is nearest, very small ones in the first and all that are
    larger in the last.

    Attributes:
        num_classes: classes are 0..num_classes - 1.
        bin_pixels: step between sizes of neighbouring bins.
        num_bins: of sizes `bin_pixels` * (1..num_bins).
        regions: num_classes x num_bins int64, how many were counted.
        sums: num_classes x num_bins float64, their accuracies added up.
    """

    num_classes: int
    bin_pixels: int = BIN_PIXELS
    num_bins: int = 100
    regions: NDArray[np.int64] = field(init=False)
    sums: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        check_num_classes(self.num_classes)
        if self.bin_pixels < 1 or self.num_bins < 1:
            raise ValueError(
                f"expected bin_pixels and num_bins >= 1, got {self.bin_pixels} and {self.num_bins}"
            )
        self.regions = np.zeros((self.num_classes, self.num_bins), np.int64)
        self.sums = np.zeros((self.num_classes, self.num_bins))

    def add(self, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
        """Count the regions of one label map; see `Confusion.add`.

        Raises:
            ValueError: shapes differ, or an id is no class.
        """
        scored = check_label_maps(truth, predicted, self.num_classes)
        for label in np.unique(truth[scored]):
            mask = truth == label
            _, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
            pixels = np.bincount(numbers[mask])[1:]
            right = np.bincount(numbers[mask & (predicted == label)], minlength=len(pixels) + 1)[1:]
            bins = self.bin_of(pixels)
            np.add.at(self.regions[label], bins, 1)
            np.add.at(self.sums[label], bins, right / pixels)

    def bin_of(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the bin, from 0, for regions of so many pixels."""
        nearest = (pixels + self.bin_pixels // 2) // self.bin_pixels
        return np.clip(nearest, 1, self.num_bins) - 1

    def sizes(self) -> NDArray[np.int64]:
        """Pixels of a region in the middle of each bin; the last bin also holds all that are larger."""
        return self.bin_pixels * np.arange(1, self.num_bins + 1)

    def accuracy(self) -> NDArray[np.float64]:
        """Mean accuracy of the regions in each bin, of all classes, 0..1; nan for an empty bin."""
        regions = self.regions.sum(0)
        mean = np.full(self.num_bins, np.nan)
        np.divide(self.sums.sum(0), regions, out=mean, where=regions > 0)
        return mean
