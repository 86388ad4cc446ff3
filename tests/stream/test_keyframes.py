"""When the whole network runs: schedules, and the words that ask for them."""

import re

import numpy as np
import pytest

from streamseg.frames import Step
from streamseg.stream.keyframes import (
    CHANGE_AT_WORST,
    CHANGE_PER_RESIDUAL,
    LEAST_CONTRAST,
    MOST_FRAMES,
    MOST_FRAMES_BETWEEN,
    Carry,
    KeyframeReuse,
    Pace,
    Reason,
)

FIELD = np.zeros((1, 1, 2), np.float32)


def step(residual: float, contrast: float = 45.0) -> Step:
    return Step(field=FIELD, unknown=0.0, residual=residual, contrast=contrast, cut=False, since=0)


def run(keyframe: str, residuals: list[float]) -> list[Reason | None]:
    """Why each frame after the first is a segmentation keyframe."""
    schedule = KeyframeReuse(keyframe=keyframe).schedule()
    assert schedule is not None
    carry, pace, reasons = Carry(), Pace(), []
    for residual in residuals:
        carry.advance(pace.after(step(residual)))
        reasons.append(schedule.due(carry))
        if reasons[-1] is not None:
            carry = Carry()
    return reasons


def positions(reasons: list[Reason | None]) -> list[int]:
    return [index for index, reason in enumerate(reasons, 1) if reason is not None]


def test_fixed_is_every_nth_whatever_happens():
    for residuals in ([0.0] * 9, [200.0] * 9):
        reasons = run("fixed:3", residuals)
        assert positions(reasons) == [3, 6, 9]
        assert set(reasons) == {None, "interval"}


def test_fixed_1_is_every_frame():
    assert positions(run("fixed:1", [0.0] * 4)) == [1, 2, 3, 4]


@pytest.mark.parametrize(("first", "expected"), [(1, [1, 5, 9]), (2, [2, 6, 10]), (6, [6, 10])])
def test_the_first_interval_can_be_another(first, expected):
    assert positions(run(f"fixed:4+{first}", [0.0] * 10)) == expected


def test_adaptive_refreshes_the_sooner_the_more_changes():
    slow, fast = (positions(run("adaptive", [residual] * 28)) for residual in (2.0, 8.0))
    assert len(fast) > 2 * len(slow) > 0


def test_adaptive_refreshes_the_sooner_the_higher_its_quality():
    counts = [len(positions(run(f"adaptive:{q}", [3.0] * 29))) for q in (0, 0.25, 0.5, 0.75, 1)]
    assert counts == sorted(counts)
    assert counts[0] < counts[2] < counts[4] == 29


def test_where_nothing_changes_adaptive_refreshes_by_age_alone():
    reasons = run("adaptive:0.9", [0.0] * (2 * MOST_FRAMES))
    assert positions(reasons) == [MOST_FRAMES, 2 * MOST_FRAMES]
    assert set(reasons) == {None, "interval"}


def test_change_adds_up_by_what_motion_does_not_explain():
    carry, pace = Carry(), Pace()
    for _ in range(3):
        carry.advance(pace.after(step(9.0, contrast=45.0)))
    assert carry.age == 3
    assert carry.change == pytest.approx(3 * CHANGE_PER_RESIDUAL * 9 / (45 + LEAST_CONTRAST))
    for _ in range(1000):
        carry.advance(pace.after(step(255.0, contrast=0.0)))
    assert carry.change == 1.0


def test_the_pace_is_smooth_but_for_what_comes_suddenly():
    pace = Pace()
    usual = pace.after(step(4.0))
    assert usual == pytest.approx(CHANGE_PER_RESIDUAL * 4 / (45 + LEAST_CONTRAST))
    livelier = pace.after(step(6.0))
    assert usual < livelier < 1.1 * usual
    assert pace.after(step(40.0)) == pytest.approx(10 * usual)
    for _ in range(200):
        last = pace.after(step(8.0))
    assert last == pytest.approx(2 * usual, rel=1e-3)
    pace.forget()
    assert pace.after(step(4.0)) == pytest.approx(usual)


def intervals(reasons: list[Reason | None]) -> list[int]:
    return np.diff([0, *positions(reasons)]).tolist()


def test_adaptive_keeps_its_interval_while_it_fits_by_and_large():
    wobbling = [4 + 0.6 * np.sin(index / 9) for index in range(160)]
    assert len(set(intervals(run("adaptive", wobbling)))) == 1
    first, *_, last = intervals(run("adaptive", [4.0] * 60 + [8.0] * 100))
    assert last == pytest.approx(first / 2, abs=1)
    first, *_, last = intervals(run("adaptive", [8.0] * 60 + [4.0] * 100))
    assert 1.5 * first <= last <= 2.5 * first


def test_adaptive_can_be_met_in_every_phase():
    plain = positions(run("adaptive", [3.0] * 60))
    interval = plain[0]
    assert plain == list(range(interval, 61, interval))
    phases = {positions(run(f"adaptive+{n}", [3.0] * 60))[-1] % interval for n in range(1, 9)}
    assert 1 < interval <= 8
    assert phases == set(range(interval))


def test_off_has_no_schedule():
    assert KeyframeReuse().schedule() is None
    assert not KeyframeReuse().on


def test_vectors_are_wanted_only_where_they_would_be_used():
    wanted = {
        motion: KeyframeReuse(keyframe="adaptive", motion=motion).wants_vectors
        for motion in ("auto", "codec", "flow", "none")
    }
    assert wanted == {"auto": True, "codec": True, "flow": False, "none": False}
    assert not KeyframeReuse(motion="codec").wants_vectors


@pytest.mark.parametrize(
    "keyframe",
    ["", "on", "fixed", "fixed:", "fixed:0", "fixed:-1", "fixed:4+0", "fixed:1.5", "fixed:4+", "adaptive:",
     "adaptive:1.01", "adaptive:-0.1", "adaptive:nan", "Fixed:4", "fixed:4 ", "fixed:9999999"],
)  # fmt: skip
def test_other_words_are_refused_in_one_line(keyframe):
    with pytest.raises(ValueError, match=re.escape(f"got {keyframe!r}")) as caught:
        KeyframeReuse(keyframe=keyframe)
    assert "fixed:N" in str(caught.value)


def test_interpolated_features_may_change_twice_as_much():
    apart, between = (
        KeyframeReuse(keyframe="adaptive:0.5").schedule(interpolate=interpolate)
        for interpolate in (False, True)
    )
    carry = Carry(age=3, change=CHANGE_AT_WORST / 4)
    assert apart.due(carry) == "change"
    assert between.due(carry) is None
    assert between.due(Carry(age=3, change=CHANGE_AT_WORST / 2)) == "change"
    assert between.due(Carry(age=MOST_FRAMES_BETWEEN)) == "interval"


def test_features_are_interpolated_where_frames_may_wait():
    found = {
        (features, waits): KeyframeReuse(features=features).interpolates(waits=waits)
        for features in ("auto", "propagate", "interpolate")
        for waits in (True, False)
    }
    assert [asked for asked, interpolated in found.items() if interpolated] == [
        ("auto", True), ("interpolate", True),
    ]  # fmt: skip
    asked = KeyframeReuse(keyframe="fixed:4", features="interpolate")
    assert asked.interpolates(waits=True)
    with pytest.raises(ValueError, match="expected policy every with features interpolate"):
        asked.interpolates(waits=False)


def test_other_kinds_of_features_are_refused():
    expected = "expected features auto, propagate or interpolate, got 'both'"
    with pytest.raises(ValueError, match=expected):
        KeyframeReuse(features="both")


def test_other_kinds_of_motion_are_refused():
    with pytest.raises(ValueError, match="expected motion auto, codec, flow or none, got 'mv'"):
        KeyframeReuse(motion="mv")
