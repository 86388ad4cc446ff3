import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeSource, ManualClock

from streamseg.stream import report as report_module
from streamseg.stream.report import (
    FrameCounts,
    LatencyHistogram,
    Span,
    StageTimes,
    Stopwatch,
    StreamReport,
    describe_video,
    peak_rss_mb,
)


@pytest.mark.parametrize("shape", ["lognormal", "uniform", "bimodal"])
def test_percentiles_are_within_two_percent_of_numpy(shape: str, rng: np.random.Generator) -> None:
    series = {
        "lognormal": rng.lognormal(3, 1.5, 20_000),
        "uniform": rng.uniform(1, 100, 20_000),
        "bimodal": np.concatenate([rng.normal(10, 1, 18_000), rng.normal(500, 20, 2_000)]),
    }[shape]
    histogram = LatencyHistogram()
    for value in series:
        histogram.add(value)
    for percent in (1, 50, 95, 99, 99.9):
        exact = np.percentile(series, percent, method="inverted_cdf")
        assert histogram.percentile(percent) == pytest.approx(exact, rel=0.02)
    assert histogram.summary()["max"] == round(max(series), 2)


def test_values_outside_the_bins_are_counted_at_the_ends() -> None:
    histogram = LatencyHistogram()
    for value in (0.0, 1e-9, 1e9):
        histogram.add(value)
    assert histogram.percentile(50) <= 0.011
    assert histogram.summary()["max"] == 1e9
    assert histogram.percentile(100) >= 1e6


def test_an_empty_histogram_says_zero() -> None:
    assert LatencyHistogram().summary() == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}


def test_memory_does_not_grow_with_the_series() -> None:
    histogram = LatencyHistogram()
    bins = len(histogram._counts)
    for value in range(50_000):
        histogram.add(value * 1.7)
    assert len(histogram._counts) == bins < 2000


def report() -> StreamReport:
    return StreamReport(
        source="a.mp4",
        model="icnet-camvid",
        backend="openvino",
        device="cpu",
        precision="fp32",
        size=(360, 480),
        counts=FrameCounts(
            decoded=15,
            segmented=11,
            written=10,
            busy=4,
            stale=1,
            unread=3,
            corrupt=2,
            segmentation_keyframes=9,
        ),
        wall_seconds=6.0,
        warmup_seconds=1.0,
        cpu_seconds=7.5,
        latency_ms={"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0},
        stages=[StageTimes("decode", 1.0, 2.0, 3.0, 10)],
        video=describe_video(FakeSource().info),
        keyframe={"mode": "fixed:2", "motion": "codec", "refreshed": {"first": 1, "interval": 8}},
        outputs=[{"kind": "overlay"}],
        fallbacks=["a"],
    )


def test_keys_are_exactly_those_of_the_contract() -> None:
    values = report().to_dict()
    assert set(values) == {
        "streamseg", "source", "model", "backend", "device", "precision", "size", "frames",
        "segmentation_keyframes",
        "keyframe", "wall_seconds", "warmup_seconds", "fps", "cpu_seconds", "cores_busy",
        "latency_ms", "stages", "fallbacks", "peak_rss_mb", "video", "outputs",
    }  # fmt: skip
    assert values["frames"] == {
        "decoded": 15, "segmented": 11, "written": 10, "dropped": 5,
        "dropped_by_cause": {"busy": 4, "stale": 1}, "unread": 3, "corrupt": 2, "interlaced": 0,
    }  # fmt: skip
    assert values["outputs"] == [{"kind": "overlay"}]
    assert values["video"] == {
        "codec": "rawvideo", "pix_fmt": "yuv420p", "size": [32, 48], "fps": 25.0, "rotation": 0.0,
        "sample_aspect_ratio": "1:1", "hdr": None,
        "color": {"space": 2, "range": 0, "primaries": 2, "transfer": 2},
    }  # fmt: skip
    assert values["stages"] == [
        {
            "name": "decode",
            "busy_ms_per_frame": 100.0,
            "wait_in_ms_per_frame": 200.0,
            "wait_out_ms_per_frame": 300.0,
        }
    ]
    assert values["fps"] == 10 / 5
    assert values["cpu_seconds"] == 7.5
    assert values["cores_busy"] == 7.5 / 5
    assert values["size"] == [360, 480]
    assert json.loads(json.dumps(values)) == values


def test_every_number_is_explained_in_the_docstring() -> None:
    values = report().to_dict()
    text = report_module.__doc__ or ""
    names = {
        *(f"frames.{key}" for key, value in values["frames"].items() if isinstance(value, int)),
        *(f"frames.dropped_by_cause.{key}" for key in values["frames"]["dropped_by_cause"]),
        *(key for key, value in values.items() if isinstance(value, float | int)),
        *(key for key in values["stages"][0] if key != "name"),
    }
    assert {name for name in names if not re.search(rf"^ +{re.escape(name)} ", text, re.M)} == set()


def test_speed_of_a_stream_without_running_time_is_zero() -> None:
    still = report()
    still.wall_seconds = still.warmup_seconds
    assert still.to_dict()["fps"] == still.to_dict()["cores_busy"] == 0.0


def test_a_stopwatch_counts_all_time_once_from_its_first_state_on() -> None:
    watch = Stopwatch("infer")
    assert watch.times(9.0).per_frame()["wait_in_ms_per_frame"] == 0.0
    watch.switch("wait_in", 10.0)
    watch.switch("busy", 11.0)
    watch.switch("wait_out", 13.0)
    watch.switch("wait_in", 17.0)
    watch.items = 2
    times = watch.times(25.0)
    assert (times.name, times.items) == ("infer", 2)
    assert (times.busy_seconds, times.wait_in_seconds, times.wait_out_seconds) == (2.0, 9.0, 4.0)
    assert watch.times(25.0).wait_in_seconds == 9.0  # reading changes nothing


def test_a_span_stands_still_before_its_start_and_after_its_end() -> None:
    clock, cpu_clock = ManualClock(), ManualClock()
    span = Span(clock, cpu_clock)
    clock.advance(5.0)
    assert (span.wall_seconds, span.cpu_seconds) == (0.0, 0.0)
    assert span.start() == 5.0
    clock.advance(2.0)
    cpu_clock.advance(3.0)
    assert (span.wall_seconds, span.cpu_seconds, span.now()) == (2.0, 3.0, 7.0)
    span.stop()
    clock.advance(1.0)
    cpu_clock.advance(1.0)
    span.stop()
    assert (span.wall_seconds, span.cpu_seconds, span.now()) == (2.0, 3.0, 7.0)


def test_peak_memory_covers_what_is_held_now() -> None:
    before = peak_rss_mb()
    block = np.ones(80_000_000, np.uint8)
    assert block[::4096].all()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
    assert peak_rss_mb() >= max(before, 0.99 * resident)
    assert math.isfinite(before)
