from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeEngine, ManualClock

from streamseg.benchmark import timing
from streamseg.benchmark.timing import Timing, call_timer, engine_timer, repeats_for, throughput
from streamseg.picture.pixels import Packed

PIXELS = Packed(pixels=np.zeros((4, 4, 3), np.uint8))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=clock))
    return clock


def takes(clock: ManualClock, *seconds: float) -> Callable[[], None]:
    """Something that takes so long, call by call; the last one again and again."""
    left = list(seconds)

    def call() -> None:
        clock.advance(left.pop(0) if len(left) > 1 else left[0])

    return call


@pytest.mark.parametrize(
    ("one", "seconds", "repeats"), [(0.1, 0.35, 4), (1.0, 0.35, 2), (0.001, 5.0, 100)]
)
def test_repeats_fill_the_time(
    clock: ManualClock, one: float, seconds: float, repeats: int
) -> None:
    assert repeats_for(takes(clock, one), seconds) == repeats


def test_a_call_is_timed_by_the_median_of_its_repeats(clock: ManualClock) -> None:
    # Warming up, finding out how often (3 times 1/8 s in 3/8 s), then the three that count.
    measure = call_timer(takes(clock, 9.0, 0.125, 0.125, 0.25, 0.5), gflop=4.0, seconds=0.375)
    assert measure() == Timing(milliseconds=250.0, gflop_per_second=16.0)


def test_an_engine_is_timed_alone_and_side_by_side(clock: ManualClock) -> None:
    engine = FakeEngine(hold=takes(clock, 0.01))
    measured = engine_timer(engine, PIXELS, gflop=2.0, seconds=0.05)()
    assert measured.milliseconds == pytest.approx(10.0)
    assert measured.gflop_per_second == pytest.approx(200.0)


def test_throughput_keeps_one_more_waiting_than_are_computed() -> None:
    engine = FakeEngine()
    throughput(engine, PIXELS, 7)
    assert engine.calls == ["submit"] * 7
    assert engine.most_running == engine.parallel + 1
    assert engine.running == 0
