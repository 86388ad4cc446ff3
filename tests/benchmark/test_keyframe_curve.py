import json
from dataclasses import replace
from typing import Any

import pytest
from benchmark.keyframe_results import CLIP, CURVE, TIMES, point

from streamseg.benchmark.keyframe_curve import (
    AdaptiveRow,
    Point,
    Row,
    adaptive_at,
    adaptive_rows,
    fixed_rows,
)


def row(motion: str, interval: int) -> Row:
    (found,) = [row for row in CURVE.rows if (row.motion, row.interval) == (motion, interval)]
    return found


def adaptive_row(quality: float) -> AdaptiveRow:
    (found,) = [row for row in CURVE.adaptive_rows if row.quality == quality]
    return found


def test_the_line_goes_through_the_intervals_of_one_motion() -> None:
    assert TIMES.line("none") == pytest.approx((0.2, 0.8))
    assert TIMES.by_line("codec", 0.5) == pytest.approx(0.65)


def test_an_interval_keeps_its_measured_time() -> None:
    assert row("codec", 4).relative_time.median == pytest.approx(0.45)
    assert row("codec", 4).relative_time is TIMES.find("codec", 4)
    with pytest.raises(KeyError, match="no time of motion codec at interval 5"):
        TIMES.find("codec", 5)


def test_intervals_are_compared_with_every_frame_and_with_no_motion() -> None:
    moved = row("codec", 4)
    assert moved.lost_average == pytest.approx(0.67 - 0.666)
    assert moved.lost_minimum == pytest.approx(0.67 - 0.66)
    assert moved.over_none_average == pytest.approx(0.666 - 0.62)
    assert moved.over_none_minimum == pytest.approx(0.66 - 0.57)
    assert moved.consistency_gained == pytest.approx(0.075)
    assert moved.vc8_gained == pytest.approx(0)
    assert row("none", 4).over_none_average == 0
    assert moved.scatter == pytest.approx(0.002)


def test_without_a_measurement_there_is_no_comparison() -> None:
    codec_alone = tuple(point for point in CLIP.points if "none" not in point.motion)
    clip = replace(CLIP, points=(CLIP.points[0], *codec_alone))
    rows = list(fixed_rows(clip, TIMES))
    assert {row.motion for row in rows} == {"codec"}
    assert {row.over_none_average for row in rows} == {None}


def test_adaptive_is_met_at_the_same_share_between_its_nearest_points() -> None:
    assert row("codec", 4).adaptive_over == pytest.approx(0.662 - 0.665)
    assert row("codec", 1).adaptive_over == pytest.approx(0)
    assert row("codec", 8).adaptive_over is None  # adaptive has no less than 0.2
    assert row("none", 4).adaptive_over is None


def test_adaptive_of_equal_share_counts_by_its_mean_and_need_not_rise() -> None:
    points = [
        point("adaptive:0", "codec", 0.2, 0.60),
        point("adaptive:0.1", "codec", 0.4, 0.50),
        point("adaptive:0.2", "codec", 0.4, 0.54),
    ]
    clip = replace(CLIP, points=(CLIP.points[0], *reversed(points)))
    assert adaptive_at(clip, "codec", 0.4) == pytest.approx(0.52)
    assert adaptive_at(clip, "codec", 0.3) == pytest.approx(0.56)
    assert adaptive_at(clip, "codec", 0.41) is None


def test_adaptive_takes_its_time_from_the_line() -> None:
    found = adaptive_row(0.5)
    assert found.line_time == pytest.approx(0.25 + 0.8 * 0.3)
    assert found.lost == pytest.approx(0.67 - 0.664)
    assert len(list(adaptive_rows(CLIP, TIMES))) == 3


def test_points_are_made_of_scores() -> None:
    scores: dict[str, Any] = {
        "keyframe": "adaptive:0.5", "motion": "codec", "keyframe_share": 0.3, "miou": 0.6,
        "pixel_accuracy": 0.9, "miou_by_distance": {"0": 0.6}, "miou_by_run": [0.6],
        "temporal_consistency": None, "vc8": 0.9, "video": {"runs": 1}, "fps": 10.0,
    }  # fmt: skip
    found = Point.of(scores, "auto")
    assert (found.motion, found.runs, found.miou_average) == ("auto", 1, None)
    assert found.keyframe == "adaptive:0.5"


def test_json_holds_measurements_and_comparisons() -> None:
    found = json.loads(json.dumps(CURVE.to_json()))
    assert found["clips"][0]["points"][0]["keyframe"] == "off"
    assert found["times"][0]["times"][0]["relative"]["to"] == "every frame"
    assert len(found["rows"]) == 6
    assert found["rows"][4]["interval"] == 4
    assert found["rows"][4]["adaptive_over"] == pytest.approx(-0.003)
    assert found["adaptive_rows"][1]["quality"] == 0.5
