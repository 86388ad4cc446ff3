"""Loops shared out to threads. Comes in: a function of a range that drops the GIL. Goes out: nothing, all is done."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from streamseg.compiled import num_cpus

CHUNKS = 8
"""Per thread: chunks differ in work, and so does what threads get of the machine."""


class Threads:
    """As many threads as there are CPUs; use it in a `with` block."""

    def __init__(self) -> None:
        self._count = num_cpus()
        self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="streamseg-crf")

    def each(self, loop: Callable[[int, int], object], count: int) -> None:
        """Call `loop(first, last)` until all of range(count) is done."""
        step = max(1, -(-count // (CHUNKS * self._count)))
        firsts = range(0, count, step)
        lasts = [min(first + step, count) for first in firsts]
        for _ in self._pool.map(loop, firsts, lasts):
            pass

    def __enter__(self) -> "Threads":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown()
