"""Windows of several scales, for whatever picture. Comes in: a size. Goes out: boxes, coarse to fine."""

import math

from streamseg.proposals.boxes import Box, whole

STEP = math.sqrt(0.5)
"""Side of a scale's windows in units of the next coarser one's."""

LEAST_SIDE = 16
"""Pixels: windows do not become smaller."""


def windows(size: tuple[int, int], count: int) -> list[Box]:
    """At most `count` windows of a picture of (height, width), always in the same order.

    First the whole picture, so that every pixel is seen. Then squares, scale after scale: the greatest is as high as
    the picture (as wide, if that is less), every next one smaller by `STEP`. Neighbours overlap by half or more, and
    those of one scale cover the picture. Within a scale the middle comes first; of windows as far from it the upper
    ones, of these the left.
    """
    found = [whole(size)]
    side = float(min(size))
    while len(found) < count and side >= LEAST_SIDE:
        scale = _scale(size, round(side))
        found += [box for box in scale if box != found[0]]
        side *= STEP
    return found[:count]


def _scale(size: tuple[int, int], side: int) -> list[Box]:
    height, width = size
    boxes = [
        Box(left=left, top=top, right=left + side, bottom=top + side)
        for top in _starts(height, side)
        for left in _starts(width, side)
    ]
    return sorted(boxes, key=lambda box: _distance(box, size))  # stable: upper ones first


def _starts(length: int, side: int) -> list[int]:
    """Evenly spread over an axis, half a side apart or less."""
    gaps = math.ceil((length - side) / (side / 2))
    return [round(index * (length - side) / gaps) for index in range(gaps + 1)] if gaps else [0]


def _distance(box: Box, size: tuple[int, int]) -> int:
    """Square of the distance between the middles of box and picture, in half pixels."""
    return (box.left + box.right - size[1]) ** 2 + (box.top + box.bottom - size[0]) ** 2
