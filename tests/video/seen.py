"""What streamseg makes of a frame: for networks, and for users."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamseg.engine.entry import Entry
from streamseg.frames import Frame
from streamseg.models.card import InputSpec
from streamseg.reading.open_source import open_source
from streamseg.result import to_bgr


def frame_of(path: Path, index: int = 0) -> Frame:
    """One frame, counted from 0."""
    source = open_source(path)
    try:
        return next(frame for frame in source if frame.index == index)
    finally:
        source.close()


def by_network(frame: Frame) -> NDArray[np.float64]:
    """H x W x 3 RGB, 0..255: what a network gets that takes just that, at the picture's own size."""
    spec = InputSpec(size=(9, 9), color="rgb", mean=(0.0, 0.0, 0.0), align_corners=False)
    entry = Entry(frame.pixels, spec, frame.pixels.size)
    return entry(frame.pixels)[0].astype(np.float64)


def by_user(frame: Frame) -> NDArray[np.float64]:
    """H x W x 3 RGB, 0..255: `Result.image`."""
    return to_bgr(frame.image)[:, :, ::-1].astype(np.float64)


def difference(got: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean absolute difference of each channel, 0..255."""
    assert got.shape == wanted.shape
    return np.abs(got - wanted).mean((0, 1))


GREATEST_DIFFERENCE = 2.0
"""Of 255, in each of red, green and blue."""


def assert_same(got: NDArray[np.float64], wanted: NDArray[np.float64]) -> None:
    """The same picture."""
    assert difference(got, wanted).max() <= GREATEST_DIFFERENCE, difference(got, wanted).round(2)
