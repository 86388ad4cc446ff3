import json
from dataclasses import replace
from typing import Any

import pytest
from benchmark.keyframe_results import CLIP, CODEC, CURVE, TIMES, point

from streamseg.benchmark.keyframe_curve import (
    STILL,
    AdaptiveRow,
    Point,
    Row,
    Way,
    adaptive_at,
    adaptive_rows,
    fixed_rows,
)


def row(way: Way, interval: int) -> Row:
    (found,) = [row for row in CURVE.rows if (row.way, row.interval) == (way, interval)]
    return found


def adaptive_row(quality: float) -> AdaptiveRow:
    (found,) = [row for row in CURVE.adaptive_rows if row.quality == quality]
    return found


def test_the_line_goes_through_the_intervals_of_one_way() -> None:
    assert TIMES.line(STILL) == pytest.approx((0.2, 0.8))
    assert TIMES.by_line(CODEC, 0.5) == pytest.approx(0.65)


def test_an_interval_keeps_its_measured_time() -> None:
    assert row(CODEC, 4).relative_time.median == pytest.approx(0.45)
    assert row(CODEC, 4).relative_time is TIMES.find(CODEC, 4)
    with pytest.raises(KeyError, match="no time of motion codec, propagate at interval 5"):
        TIMES.find(CODEC, 5)


def test_intervals_are_compared_with_every_frame_and_with_no_motion() -> None:
    moved = row(CODEC, 4)
    assert moved.lost_average == pytest.approx(0.67 - 0.666)
    assert moved.lost_minimum == pytest.approx(0.67 - 0.66)
    assert moved.over_none_average == pytest.approx(0.666 - 0.62)
    assert moved.over_none_minimum == pytest.approx(0.66 - 0.57)
    assert moved.consistency_gained == pytest.approx(0.075)
    assert moved.vc8_gained == pytest.approx(0)
    assert row(STILL, 4).over_none_average == 0


def test_without_a_measurement_there_is_no_comparison() -> None:
    codec_alone = tuple(point for point in CLIP.points if point.way != STILL)
    clip = replace(CLIP, points=(CLIP.points[0], *codec_alone))
    rows = list(fixed_rows(clip, TIMES))
    assert {row.way for row in rows} == {CODEC}
    assert {row.over_none_average for row in rows} == {None}


def test_adaptive_is_met_at_the_same_share_between_two_qualities() -> None:
    over = row(CODEC, 4).adaptive_over
    assert over is not None
    assert over.value == pytest.approx(0.6625 - 0.665)
    assert over.error == pytest.approx(0.002)  # fixed's alone: two runs, 0.004 apart
    assert row(CODEC, 8).adaptive_over is None  # adaptive has no less than 0.2
    assert row(STILL, 4).adaptive_over is None


def test_runs_of_adaptive_scatter_and_that_is_told() -> None:
    runs = {0.2: [0.60, 0.62], 0.3: [0.64, 0.66], 0.9: [0.1, 0.1]}
    points = [
        replace(point(f"adaptive:{share}", CODEC, share, sum(of) / 2), miou_by_run=of)
        for share, of in runs.items()
    ]
    same = replace(points[1], keyframe="adaptive:0.35")  # two qualities, one share
    clip = replace(CLIP, points=(CLIP.points[0], *points, same))
    found = adaptive_at(clip, CODEC, 0.25)
    assert found is not None
    assert found.value == pytest.approx(0.63)
    alone, together = (0.0002 / 2) ** 0.5, (0.0004 / 3 / 4) ** 0.5
    assert found.error == pytest.approx((alone + together) / 2)
    assert adaptive_at(clip, CODEC, 0.19) is None
    assert adaptive_at(clip, CODEC, 0.9) is not None


def test_adaptive_takes_its_time_from_the_line() -> None:
    found = adaptive_row(0.5)
    assert found.line_time == pytest.approx(0.25 + 0.8 * 0.3)
    assert found.lost == pytest.approx(0.67 - 0.665)
    assert len(list(adaptive_rows(CLIP, TIMES))) == 7


def test_points_are_made_of_scores() -> None:
    scores: dict[str, Any] = {
        "keyframe": "adaptive:0.5", "motion": "codec", "keyframe_share": 0.3, "miou": 0.6,
        "pixel_accuracy": 0.9, "miou_by_distance": {"0": 0.6}, "miou_by_run": [0.6],
        "temporal_consistency": None, "vc8": 0.9, "video": {"runs": 1}, "fps": 10.0,
    }  # fmt: skip
    found = Point.of(scores, CODEC)
    assert (found.way, found.runs, found.miou_average) == (CODEC, 1, None)
    assert found.keyframe == "adaptive:0.5"


def test_json_holds_measurements_and_comparisons() -> None:
    found = json.loads(json.dumps(CURVE.to_json()))
    assert found["clips"][0]["points"][0]["keyframe"] == "off"
    assert found["times"][0]["times"][0]["relative"]["to"] == "every frame"
    assert len(found["rows"]) == 6
    assert found["rows"][4]["interval"] == 4
    assert found["rows"][4]["adaptive_over"]["value"] == pytest.approx(-0.0025)
    assert found["adaptive_rows"][5]["quality"] == 0.5
