"""`PinnedRing`: host memory for copies to and from a device, used again and again.

Note [An event per slot]: a copy that was begun reads or writes host memory at some later time, and nothing but its
event tells when. Memory that is filled for the next picture before that gives a picture made of both, now and then,
without an error. So memory comes back to the ring with the event of its last copy, and is handed out again only when
that has happened.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class Event(Protocol):
    """Something on a device that has happened or not, as `torch.cuda.Event`."""

    def query(self) -> bool: ...

    def synchronize(self) -> None: ...


class PinnedRing:
    """Buffers in the order in which they came back.

    Args:
        allocate: so many bytes, 1-D uint8.
        depth: buffers that may have a copy under way at a time. Beyond them `take` waits for the oldest copy. Two
            keep a copy engine busy: one is copied while the next is filled.

    Thread-safe.
    """

    def __init__(self, allocate: Callable[[int], Tensor], depth: int) -> None:
        if depth < 1:
            raise ValueError(f"expected a depth of at least 1, got {depth}")
        self._allocate = allocate
        self._depth = depth
        self._free: deque[tuple[Tensor, Event | None]] = deque()
        self._lock = threading.Lock()

    def take(self, count: int) -> Tensor:
        """A buffer of at least `count` bytes that no copy reads or writes; the caller's until it is given back."""
        with self._lock:
            if self._free and (self._is_free(self._free[0][1]) or len(self._free) >= self._depth):
                buffer, event = self._free.popleft()
            else:
                return self._allocate(count)
        self._wait(event)
        return buffer if len(buffer) >= count else self._allocate(count)

    def give_back(self, buffer: Tensor, event: Event | None = None) -> None:
        """It may be handed out again after `event`; at once if that is None."""
        with self._lock:
            self._free.append((buffer, event))

    def clear(self) -> None:
        """Forget all that were given back, once their copies are done."""
        with self._lock:
            free, self._free = self._free, deque()
        for _, event in free:
            self._wait(event)

    def __len__(self) -> int:
        """Buffers that were given back."""
        return len(self._free)

    @staticmethod
    def _is_free(event: Event | None) -> bool:
        return event is None or event.query()

    @staticmethod
    def _wait(event: Event | None) -> None:
        if event is not None:
            event.synchronize()
