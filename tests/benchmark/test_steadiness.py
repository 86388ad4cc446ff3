"""Bursts of equal work: as many as asked for, of about the length asked for."""

import numpy as np

from streamseg.benchmark import steadiness
from streamseg.benchmark.steadiness import bursts


def test_every_burst_is_timed() -> None:
    taken = bursts(5, 0.5, 1000.0, 2)
    assert len(taken) == 5
    assert min(taken) > 0


def test_turns_scale_with_the_time_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(steadiness, "_milliseconds", lambda values, turns: 0.25)
    assert steadiness._turns_for(1.0) == 4000
    assert steadiness._turns_for(0.0) == 1


def test_work_stays_finite() -> None:
    values = np.zeros(steadiness.VALUES, np.float32)
    steadiness._multiply_and_add(values, 20_000)
    np.testing.assert_allclose(values, 1.0, rtol=1e-3)
