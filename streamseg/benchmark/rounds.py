"""Contestants take turns, A B C A B C ..., and are compared within rounds: what else a machine does at the time
slows all of a round alike, and most of it cancels out of the ratios.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

from streamseg.benchmark.records import Ratio

Progress = Callable[[str], None]
"""Told what is being measured now."""

Value = TypeVar("Value")


def take_turns(
    contestants: Mapping[str, Callable[[], Value]], rounds: int, progress: Progress
) -> dict[str, tuple[Value, ...]]:
    """What every contestant returned, round by round."""
    values: dict[str, list[Value]] = {name: [] for name in contestants}
    for number in range(1, rounds + 1):
        for name, measure in contestants.items():
            progress(f"{name} ({number}/{rounds})")
            values[name].append(measure())
    return {name: tuple(found) for name, found in values.items()}


def compare(speeds: Mapping[str, Sequence[float]], of: str, to: str) -> Ratio:
    """The speed of one contestant over another's, round by round."""
    ratios = [first / second for first, second in zip(speeds[of], speeds[to], strict=True)]
    return Ratio(of=of, to=to, median=median(ratios), least=min(ratios), greatest=max(ratios))
