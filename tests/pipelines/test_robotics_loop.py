"""The control loop: what it says with a fresh result, and without one."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from fakes import ManualClock, fake_segmenter, gray_frame
from streamseg.pipelines import robotics_loop

import streamseg
from streamseg.labels import CAMVID
from streamseg.result import Result


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    robotics_loop.add_arguments(parser)
    return parser.parse_args(words)


def test_a_fresh_result_is_told_with_its_age_and_what_is_in_front() -> None:
    clock = ManualClock()
    clock.advance(0.08)
    labels = np.zeros((32, 48), np.uint8)
    labels[:24] = 3
    result = Result(labels, gray_frame(5), CAMVID, captured_seconds=0.0, clock=clock)
    told = robotics_loop.describe(result, max_age_ms=200)
    assert told.startswith("frame 5, 80 ms old: road 75 %, sky 25 %")


def test_without_one_it_says_not_to_act() -> None:
    assert robotics_loop.describe(None, 150) == "stale: nothing younger than 150 ms, do not act"


def test_both_spellings_of_the_flag_are_the_same() -> None:
    assert arguments("0").max_age_ms == 200
    assert arguments("0", "--max-age", "50").max_age_ms == 50
    assert arguments("0", "--max-age-ms", "50").max_age_ms == 50


@pytest.mark.parametrize(("age", "fresh"), [("60000", True), ("1e-6", False)])
def test_no_tick_acts_on_what_is_older_than_allowed(
    age: str,
    fresh: bool,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(streamseg, "load_from_arguments", lambda args: fake_segmenter())
    args = arguments(str(clip), "--rate", "50", "--max-age", age, "--report", "-")
    assert robotics_loop.run(args) == 0
    out = capsys.readouterr().out
    assert ("ms old: " in out) == fresh
    assert ('"stale": 0' in out) == fresh
    assert "with nothing fresh; " in out
    if not fresh:
        assert "stale: nothing younger than 1e-06 ms, do not act" in out
        assert "; 0 frames labelled" in out


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="--rate above 0"):
        robotics_loop.run(arguments("0", "--rate", "0"))
