"""Does a pinned buffer's guard do anything? Pictures of one value each are uploaded through the ring while the upload
stream is kept busy, so that copies come late; what arrives is looked at. Without the guard it must be mixed up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from streamseg.engine.lanes import CudaLanes
from streamseg.engine.pinned import PinnedRing

PICTURES = 32
PICTURE_BYTES = 8 << 20
DELAY_CYCLES = 20_000_000
"""About 10 ms, in which a CPU fills many buffers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Pictures that did not arrive as they were sent."""

    pictures: int
    wrong_with_guard: int
    wrong_without_guard: int


def race(device: torch.device) -> Race:
    """Send all pictures twice."""
    guarded = _wrong(device)
    with _unguarded():
        unguarded = _wrong(device)
    return Race(pictures=PICTURES, wrong_with_guard=guarded, wrong_without_guard=unguarded)


def _wrong(device: torch.device) -> int:
    lanes = CudaLanes(device)
    ring = PinnedRing(lanes.pinned, 2)
    arrived = []
    for value in range(PICTURES):
        buffer = ring.take(PICTURE_BYTES)
        buffer.fill_(value)
        lanes.delay(DELAY_CYCLES)
        copy, event = lanes.send(buffer)
        ring.give_back(buffer, event)
        arrived.append(copy)
    torch.cuda.synchronize(device)
    return sum(bool((copy != value).any()) for value, copy in enumerate(arrived))


@contextmanager
def _unguarded() -> Iterator[None]:
    """The ring without what it is for."""
    guard = PinnedRing._wait
    PinnedRing._wait = staticmethod(lambda event: None)  # type: ignore[method-assign]
    try:
        yield
    finally:
        PinnedRing._wait = staticmethod(guard)  # type: ignore[method-assign]
