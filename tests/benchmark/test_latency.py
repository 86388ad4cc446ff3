from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benchmark.conftest import TINY

from streamseg.benchmark.latency import latest, poll, summary
from streamseg.benchmark.session import Session

FRAMES = {
    "decoded": 9,
    "written": 6,
    "dropped": 3,
    "unread": 2,
    "dropped_by_cause": {"busy": 2, "stale": 1},
}


class Polled:
    """A segmenter whose stream answers polls with (index, age) or None, one after the other."""

    def __init__(self, answers: list[tuple[int, float] | None]) -> None:
        self.asked: dict[str, Any] = {}
        self._answers = answers

    @contextmanager
    def stream(self, source: object, **asked: Any) -> Iterator["Polled"]:
        self.asked = asked
        yield self

    @property
    def ended(self) -> bool:
        return not self._answers

    def latest(self, timeout_ms: float) -> SimpleNamespace | None:
        answer = self._answers.pop(0)
        return None if answer is None else SimpleNamespace(index=answer[0], age_ms=answer[1])

    def report(self) -> dict[str, Any]:
        return {"frames": FRAMES, "segmentation_keyframes": 3}


def test_repeated_results_count_only_for_the_greatest_age() -> None:
    segmenter: Any = Polled([None, (0, 30.0), (0, 80.0), (2, 20.0), None, (5, 40.0)])
    first, delivered, report = poll(segmenter, Path("any.mp4"), TINY)
    assert first == [30.0, 20.0, 40.0]
    assert delivered == [30.0, 80.0, 20.0, 40.0]
    assert report == {"frames": FRAMES, "segmentation_keyframes": 3}
    assert segmenter.asked == {"policy": "latest", "max_age_ms": TINY.max_age_ms}


def test_polling_ends_with_enough_results() -> None:
    segmenter: Any = Polled([(index, 1.0) for index in range(9)])
    first, _, _ = poll(segmenter, Path("any.mp4"), TINY)
    assert len(first) == TINY.latest_results == 4
    assert not segmenter.ended


def test_percentiles_of_what_was_delivered() -> None:
    found = summary(
        [10.0, 20.0, 30.0, 40.0],
        [10.0, 20.0, 90.0, 30.0, 40.0],
        {"frames": FRAMES, "segmentation_keyframes": 3},
        TINY,
        network_size=(33, 65),
        precision="int8",
    )
    assert (found.results, found.p50_ms, found.max_ms) == (4, 25.0, 40.0)
    assert found.p99_ms == pytest.approx(39.7)
    assert found.p99_to_p50 == pytest.approx(1.588)
    assert found.greatest_age_ms == 90.0
    assert (found.decoded, found.written, found.dropped, found.unread) == (9, 6, 3, 2)
    assert found.dropped_by_cause == {"busy": 2, "stale": 1}


def test_nothing_delivered_is_no_division_by_zero() -> None:
    found = summary(
        [],
        [],
        {"frames": FRAMES, "segmentation_keyframes": 3},
        TINY,
        network_size=(1, 1),
        precision="fp32",
    )
    assert (found.results, found.p50_ms, found.p99_to_p50, found.greatest_age_ms) == (0, 0, 0, 0)


def test_a_source_in_real_time_is_polled(session: Session) -> None:
    whole, found = latest(session)
    assert (whole.keyframe, found.keyframe) == ("off", "adaptive")
    assert whole.segmentation_keyframes == whole.written
    assert 0 < found.segmentation_keyframes < max(found.written, 2)
    for one in (whole, found):  # on a busy machine not all of the four are in time
        assert 0 < one.results == one.written <= 4
        assert one.written + one.dropped == one.decoded
    assert found.source_fps == 30
    assert 0 < found.p50_ms <= found.p99_ms <= found.max_ms <= found.greatest_age_ms
    assert found.greatest_age_ms <= found.max_age_ms
    assert found.machine_p99_to_p50 >= 1
