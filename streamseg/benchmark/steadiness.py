"""How steady the machine itself is: the same short work on all cores, again and again, at a video's pace.

A virtual machine's cores may share one of the host's, for a while and unseen: whatever is run then takes longer.
That is a floor under every tail of latency, so it is measured beside them.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from streamseg.compiled import compiled

VALUES = 1024
"""float32 numbers worked on: they stay in the core's own cache."""


@compiled
def _multiply_and_add(values: Any, turns: Any) -> None:
    """Nothing but vector arithmetic, which cores that share their units must share."""
    for _ in range(turns):
        for i in range(values.size):
            values[i] = values[i] * np.float32(0.999) + np.float32(0.001)


def bursts(count: int, burst_ms: float, fps: float, cores: int) -> list[float]:
    """Milliseconds that each of `count` bursts of equal work took until all cores were done.

    Args:
        burst_ms: about how long one is to take, alone.
        fps: bursts a second.
        cores: how many work at a time.
    """
    arrays = [np.ones(VALUES, np.float32) for _ in range(cores)]
    turns = _turns_for(burst_ms)
    taken = []
    with ThreadPoolExecutor(cores) as pool:
        due = time.perf_counter()
        for _ in range(count):
            due += 1 / fps
            time.sleep(max(0.0, due - time.perf_counter()))
            started = time.perf_counter()
            list(pool.map(_multiply_and_add, arrays, [turns] * cores))
            taken.append(1000 * (time.perf_counter() - started))
    return taken


def _turns_for(burst_ms: float) -> int:
    """Turns that take about `burst_ms` on one core."""
    values = np.ones(VALUES, np.float32)
    _multiply_and_add(values, 1)  # compiles
    turns = 1000
    fastest = min(_milliseconds(values, turns) for _ in range(5))
    return max(1, round(turns * burst_ms / fastest))


def _milliseconds(values: Any, turns: int) -> float:
    started = time.perf_counter()
    _multiply_and_add(values, turns)
    return 1000 * (time.perf_counter() - started)
