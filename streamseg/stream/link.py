"""A bounded queue between two stages. One thread puts, one thread gets."""

import threading
from collections import deque
from enum import Enum
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")


class End(Enum):
    """What `get` returns after the last item."""

    END = "end"


class Stopped(Exception):
    """Raised by `put` and `get` after `abort`: the pipeline is being torn down."""


class NotYet(Exception):
    """Raised by `get`: nothing came in time. Not a TimeoutError, which a stage may raise itself."""


class Link(Generic[Item]):
    """Bounded first-in first-out queue that can be ended and aborted.

    Args:
        capacity: most items held.
        policy: what `put` does when full: wait ("block"), or throw the oldest item away
            ("drop_oldest").

    Attributes:
        dropped: items thrown away to make room.
    """

    def __init__(self, capacity: int, policy: Literal["block", "drop_oldest"]) -> None:
        if capacity < 1:
            raise ValueError(f"expected a capacity of at least 1, got {capacity}")
        self.dropped = 0
        self._capacity = capacity
        self._policy = policy
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._aborted = False

    def put(self, item: Item) -> None:
        """Append `item`, by the policy.

        Raises:
            Stopped: the link was aborted.
        """
        with self._changed:
            if self._policy == "drop_oldest" and len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._changed.wait_for(lambda: len(self._items) < self._capacity or self._aborted)
            if self._aborted:
                raise Stopped
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout_seconds: float | None = None) -> Item | End:
        """The oldest item, or `End.END` when there will be none.

        Raises:
            Stopped: the link was aborted.
            NotYet: nothing came within `timeout_seconds`.
        """
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: self._items or self._ended or self._aborted, timeout_seconds
            )
            if self._aborted:
                raise Stopped
            if not arrived:
                raise NotYet
            if not self._items:
                return End.END
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def end(self) -> None:
        """Say that no further item will come. Items already held are still delivered."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Throw away what is held and wake both sides with `Stopped`. Idempotent."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._changed.notify_all()
