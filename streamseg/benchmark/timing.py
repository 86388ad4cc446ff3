"""How long a network takes: one picture alone, and many side by side."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamseg.engine.engine import Engine

MOST_REPEATS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Of one contestant in one round.

    Attributes:
        milliseconds: of one picture, with all cores on it.
        gflop_per_second: of as many pictures side by side as there can be.
    """

    milliseconds: float
    gflop_per_second: float


def engine_timer(
    engine: "Engine", network_input: Any, gflop: float, seconds: float
) -> Callable[[], Timing]:
    """What times an engine on what its `prepare` returned.

    Args:
        gflop: 1e9 operations of one picture.
        seconds: about as long either way of running it.
    """
    engine.infer(network_input)  # compiles
    throughput(engine, network_input, engine.parallel)
    repeats = repeats_for(lambda: engine.infer(network_input), seconds)
    pictures = max(2, math.ceil(repeats / engine.parallel)) * engine.parallel

    def measure() -> Timing:
        return Timing(
            milliseconds=milliseconds(lambda: engine.infer(network_input), repeats),
            gflop_per_second=gflop * throughput(engine, network_input, pictures),
        )

    return measure


def call_timer(call: Callable[[], object], gflop: float, seconds: float) -> Callable[[], Timing]:
    """What times anything that takes one picture at a time. Arguments as of `engine_timer`."""
    call()
    repeats = repeats_for(call, seconds)

    def measure() -> Timing:
        one = milliseconds(call, repeats)
        return Timing(milliseconds=one, gflop_per_second=gflop * 1000 / one)

    return measure


def throughput(engine: "Engine", network_input: Any, pictures: int) -> float:
    """Pictures a second through `submit`; one more than are computed at a time waits its turn, as in a stream."""
    running: deque[Callable[[], object]] = deque()
    started = time.perf_counter()
    for _ in range(pictures):
        running.append(engine.submit(network_input))
        if len(running) > engine.parallel:
            running.popleft()()
    while running:
        running.popleft()()
    return pictures / (time.perf_counter() - started)


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Of one call; the median of `repeats`."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1000 * median(times)


def repeats_for(call: Callable[[], object], seconds: float) -> int:
    """How often to call to fill `seconds`: 2 to `MOST_REPEATS` times."""
    one = milliseconds(call, 1) / 1000
    return min(max(2, math.ceil(seconds / max(one, 1e-9))), MOST_REPEATS)
