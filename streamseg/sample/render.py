"""Length, size, rate and seed come in; frames with their truth go out, one by one."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from streamseg.sample.painter import Painter
from streamseg.sample.street import Street
from streamseg.sample.world import Image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleFrame:
    """One frame and its truth.

    Attributes:
        image: H x W x 3 uint8, BGR.
        labels: H x W uint8, ids of `streamseg.labels.CAMVID`; every pixel has a class.
        time_seconds: since the start of the clip.
    """

    image: Image
    labels: Image
    time_seconds: float


def render_street(
    *,
    seconds: float = 10.0,
    size: tuple[int, int] = (540, 960),
    fps: float | Fraction = 30.0,
    seed: int = 0,
) -> Iterator[SampleFrame]:
    """Drive down a street. Frames are made as they are asked for, in memory that does not grow.

    Args:
        seconds: length of the clip; at least one frame is made.
        size: height and width in pixels, even and at least 64.
        fps: frames a second. The street does not depend on it, only where in time it is looked at.
        seed: of the street; frames of equal arguments are equal to the byte on one machine.

    Raises:
        ValueError: an argument is out of range. Raised here, not at the first frame.
    """
    height, width = size
    if height < 64 or width < 64 or height % 2 or width % 2:
        got = f"{height}x{width}"
        raise ValueError(f"expected even height and width of at least 64, got {got}")
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"expected a length of more than 0 seconds, got {seconds}")
    if not 1 <= fps <= 1000:
        raise ValueError(f"expected 1 to 1000 frames per second, got {fps}")
    if seed < 0:
        raise ValueError(f"expected a seed of at least 0, got {seed}")
    return _render(num_frames(seconds, fps), size, exact_rate(fps), seed)


def exact_rate(fps: float | Fraction) -> Fraction:
    """29.97 becomes 30000/1001."""
    return Fraction(fps).limit_denominator(1001)


def num_frames(seconds: float, fps: float | Fraction) -> int:
    return max(1, round(seconds * exact_rate(fps)))


def _render(total: int, size: tuple[int, int], fps: Fraction, seed: int) -> Iterator[SampleFrame]:
    height, width = size
    street = Street(np.random.default_rng((seed, 0)))
    painter = Painter(size, np.random.default_rng((seed, 1)))
    rng = np.random.default_rng((seed, 2))
    grain = rng.normal(0, 1.6, (height + 64, width + 64, 1)).astype(np.int16).repeat(3, axis=2)
    for index in range(total):
        time = float(index / fps)
        painter.start(time)
        things = [(thing, thing.x - painter.x, z) for thing, z in street.ahead(time)]
        for thing, x, z in things:
            if thing.shadow:
                painter.shade(x, z, thing.shadow, thing.length)
        for thing, x, z in things:
            thing.draw(painter, x, z, time)
        down, right = rng.integers(0, 64, 2)
        small = np.ascontiguousarray(cv2.pyrDown(painter.canvas)[:, :, :3])
        noisy = cv2.add(small, grain[down : down + height, right : right + width], dtype=cv2.CV_8U)
        yield SampleFrame(
            image=noisy.astype(np.uint8, copy=False),
            labels=np.ascontiguousarray(painter.canvas[::2, ::2, 3]),
            time_seconds=time,
        )
