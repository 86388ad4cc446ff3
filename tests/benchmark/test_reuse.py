from pathlib import Path

import pytest
from benchmark.conftest import SizedEngine
from fakes import FakeEngine

from streamseg.benchmark.copies import scaled_copy
from streamseg.benchmark.keyframe_curve import STILL, Way
from streamseg.benchmark.records import Ratio
from streamseg.benchmark.reuse import (
    EVERY_FRAME,
    Turn,
    every_frame,
    prepare,
    reuse_times,
    reused,
    summary,
)


@pytest.fixture
def nine_frames(clip: Path, tmp_path: Path) -> Path:
    """64 x 96, H.264."""
    scaled_copy(clip, (64, 96), tmp_path / "nine.mp4", 9)
    return tmp_path / "nine.mp4"


def turns(share: float, *milliseconds: float) -> tuple[Turn, ...]:
    return tuple(Turn(milliseconds=one, keyframe_share=share) for one in milliseconds)


def test_times_are_compared_within_rounds() -> None:
    taken = {
        EVERY_FRAME: turns(1, 100, 200, 50),
        "1": turns(1, 100, 220, 50),
        "4": turns(0.25, 40, 100, 15),
    }
    one, four = summary(Way("flow"), taken)
    assert (one.way, one.interval, one.milliseconds) == (Way("flow"), 1, 100)
    assert four.relative == Ratio(of="4", to=EVERY_FRAME, median=0.4, least=0.3, greatest=0.5)
    assert (four.keyframe_share, four.milliseconds) == (0.25, 40)


def test_a_turn_takes_whole_intervals(nine_frames: Path) -> None:
    engine = SizedEngine("native")
    prepared = prepare(engine, nine_frames, 9)
    assert [one.frame.index for one in prepared] == list(range(9))
    for interval in (1, 2, 4, 9):
        for features in ("propagate", "interpolate"):
            turn = reused(engine, prepared, Way("flow", features), interval)
            assert turn.keyframe_share == pytest.approx(1 / interval)
            assert turn.milliseconds > 0


def test_every_frame_runs_the_whole_network_side_by_side(nine_frames: Path) -> None:
    engine = FakeEngine()
    turn = every_frame(engine, prepare(engine, nine_frames, 5))
    assert engine.calls == ["submit"] * 5
    assert turn.keyframe_share == 1
    assert turn.milliseconds > 0


def test_all_intervals_of_all_ways_are_timed(nine_frames: Path) -> None:
    told: list[str] = []
    times = reuse_times(
        SizedEngine("native"),
        nine_frames,
        ways=(STILL, Way("codec", "interpolate")),
        intervals=(1, 4),
        frames=8,
        rounds=2,
        progress=told.append,
    )
    found = [(str(time.way), time.interval) for time in times.times]
    assert found == [
        ("motion none, propagate", 1),
        ("motion none, propagate", 4),
        ("motion codec, interpolate", 1),
        ("motion codec, interpolate", 4),
    ]
    assert (times.frames, times.rounds) == (8, 2)
    assert (times.video_size, times.network_size) == ((64, 96), (64, 96))
    assert times.every_frame_ms > 0
    assert "timing motion codec, interpolate, interval 4 (2/2)" in told
