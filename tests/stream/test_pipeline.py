"""Pipeline: every way to end, each under pytest's timeout and the check for left-over threads."""

import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from fakes import FakeSource, FakeStage, ManualClock, collect, streamseg_threads

from streamseg.errors import SinkError, SourceError, StreamsegError
from streamseg.stream import pipeline as pipeline_module
from streamseg.stream.link import End, NotYet
from streamseg.stream.pipeline import Pipeline


class Broken(Exception):
    pass


class ThreadClock(threading.local):
    """Every thread has a time of its own, so that nobody's work looks like another's waiting."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def started(source: FakeSource, *stages: FakeStage, **options: Any) -> Pipeline:
    pipeline = Pipeline(source, stages or (FakeStage(),), **options)
    pipeline.start()
    return pipeline


def rest(pipeline: Pipeline) -> list[int]:
    """Indices of the frames that come out."""
    indices: list[int] = []
    collect(pipeline, indices)
    return indices


def test_every_frame_comes_out_in_order_and_everything_is_closed_once() -> None:
    source, stages = FakeSource(50), [FakeStage(name) for name in "abc"]
    pipeline = started(source, *stages)
    assert rest(pipeline) == list(range(50))
    assert source.num_closed == 1
    assert [stage.num_closed for stage in stages] == [1, 1, 1]
    assert pipeline.counts.decoded == pipeline.counts.written == 50
    assert pipeline.dropped() == 0
    assert pipeline.get() is End.END


def test_every_policy_never_drops_for_a_slow_consumer() -> None:
    pipeline = started(FakeSource(20), FakeStage(), FakeStage())
    assert len(rest(pipeline)) == 20
    assert pipeline.dropped() == 0


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("error_at", [0, 7])
def test_the_error_of_a_stage_ends_everything_and_is_what_the_caller_sees(
    place: int, error_at: int
) -> None:
    stages = [FakeStage(name) for name in "abc"]
    stages[place] = FakeStage("broken", error=Broken("first"), error_at=error_at)
    source = FakeSource(1000, hang=True)
    pipeline = started(source, *stages)
    with pytest.raises(Broken, match="first"):
        rest(pipeline)
    assert streamseg_threads() == []
    assert source.num_closed == 1
    assert [stage.num_closed for stage in stages] == [1, 1, 1]
    assert pipeline.counts.decoded < 1000
    with pytest.raises(Broken, match="first"):
        pipeline.get()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_error_in_close_is_raised_behind_the_last_frame_or_instead(place: int) -> None:
    stages = [FakeStage(name) for name in "abc"]
    stages[place] = FakeStage("broken", close_error=SinkError("not closed"))
    pipeline = started(FakeSource(3), *stages)
    with pytest.raises(SinkError, match="not closed"):
        rest(pipeline)


def test_an_error_in_the_close_of_the_source_is_raised() -> None:
    pipeline = started(FakeSource(3, close_error=SourceError("not closed")))
    with pytest.raises(SourceError, match="not closed"):
        rest(pipeline)


def test_the_first_error_wins_over_those_it_causes() -> None:
    broken = FakeStage("a", error=Broken("first"), error_at=2)
    pipeline = started(FakeSource(9), broken, FakeStage("b", close_error=SinkError("second")))
    with pytest.raises(Broken, match="first"):
        rest(pipeline)
    # The other way about: the source fails first, the sink's close later.
    pipeline = started(
        FakeSource(2, error=SourceError("first")), FakeStage(close_error=SinkError("second"))
    )
    with pytest.raises(SourceError, match="first"):
        rest(pipeline)


def test_frames_in_front_of_a_source_error_come_out_before_it() -> None:
    last = FakeStage("c")
    pipeline = started(
        FakeSource(25, error=SourceError("cut short")), FakeStage("a"), FakeStage("b"), last
    )
    came: list[int] = []
    with pytest.raises(SourceError, match="cut short"):
        collect(pipeline, came)
    assert came == last.seen == list(range(25))


def test_a_source_that_fails_at_once_is_reported() -> None:
    with pytest.raises(SourceError, match="nothing"):
        rest(started(FakeSource(0, error=SourceError("nothing"))))


def test_a_timeout_error_of_a_stage_is_not_taken_for_a_poll_without_result() -> None:
    pipeline = started(FakeSource(3), FakeStage(error=TimeoutError("the device")))

    def poll() -> None:
        while True:
            with suppress(NotYet):
                pipeline.get(0.01)

    with pytest.raises(TimeoutError, match="the device"):
        poll()


def test_stopping_early_ends_full_links_and_a_hanging_source() -> None:
    source = FakeSource(5, hang=True)
    pipeline = started(source, FakeStage("a"), FakeStage("b"))
    assert pipeline.get().frame.index == 0
    pipeline.stop()
    assert streamseg_threads() == []
    assert source.interrupted.is_set()
    assert source.num_closed == 1
    pipeline.stop()
    assert pipeline.error is None


def test_stopping_while_a_stage_is_blocked_by_its_consumer() -> None:
    filled = threading.Event()
    source = FakeSource(1000, before=lambda index: filled.set() if index == 5 else None)
    pipeline = started(source, FakeStage(), capacity=2)
    assert filled.wait(5)  # two links hold 2 each, the stage 1: the next put cannot succeed
    pipeline.stop()
    assert streamseg_threads() == []
    assert pipeline.counts.decoded <= 6


def test_a_stalled_source_is_polled_without_hanging() -> None:
    pipeline = started(FakeSource(1, hang=True))
    assert pipeline.get(5).frame.index == 0
    with pytest.raises(NotYet):
        pipeline.get(0.02)
    pipeline.stop()


def test_finish_early_lets_through_what_was_read() -> None:
    pipeline: Pipeline
    last = FakeStage("b")
    read = threading.Event()
    source = FakeSource(10_000, before=lambda index: read.set() if index == 5 else None)
    pipeline = started(source, FakeStage("a"), last)
    assert read.wait(5)
    pipeline.finish_early()
    came = rest(pipeline)
    assert came == list(range(pipeline.counts.decoded))
    assert 5 <= len(came) < 10_000
    assert last.num_closed == 1


def test_latest_drops_in_front_of_a_slow_stage_and_counts() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(frame: Any) -> None:
        if frame.index == 0:
            entered.set()
            assert go_on.wait(10)

    def before(index: int) -> None:
        if index == 1:
            assert entered.wait(10)

    source = FakeSource(30, before=before, hang=True)
    slow = FakeStage("slow", during=hold)
    pipeline = started(source, slow, policy="latest", newest_only=True)
    assert entered.wait(10)
    while pipeline.counts.decoded < 30:  # the source never waits for the stage
        time.sleep(0.001)
    go_on.set()
    pipeline.finish_early()
    assert rest(pipeline)[-1] == 29
    assert slow.seen == [0, 29]
    assert pipeline.dropped() == 28
    assert pipeline.counts.decoded == pipeline.counts.written + pipeline.dropped() == 30


def test_latest_holds_no_frame_back_behind_a_quick_stage() -> None:
    """A stage in the middle takes the newest there is, not the one that waited longest for it."""
    entered, go_on = threading.Event(), threading.Event()

    def hold(frame: Any) -> None:
        if frame.index == 0:
            entered.set()
            assert go_on.wait(10)

    def before(index: int) -> None:
        if index == 1:
            assert entered.wait(10)

    quick, slow = FakeStage("quick"), FakeStage("slow", during=hold)
    source = FakeSource(30, before=before, hang=True)
    pipeline = started(source, quick, slow, policy="latest", newest_only=True)
    assert entered.wait(10)
    while pipeline.dropped() < 28:  # all but the one being worked on and the newest
        time.sleep(0.001)
    go_on.set()
    pipeline.finish_early()
    assert rest(pipeline)[-1] == 29
    assert slow.seen == [0, 29]
    assert pipeline.counts.decoded == pipeline.counts.written + pipeline.dropped() == 30


def test_a_thread_that_cannot_be_stopped_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "JOIN_SECONDS", 0.05)
    release, inside = threading.Event(), threading.Event()

    def foreign_code(_: Any) -> None:
        inside.set()
        release.wait(10)

    pipeline = started(FakeSource(2), FakeStage("stuck", during=foreign_code))
    assert inside.wait(5)
    pipeline.stop()
    assert isinstance(pipeline.error, StreamsegError)
    assert "streamseg-stuck did not stop within 0.05 s" in str(pipeline.error)
    release.set()
    pipeline.stop()


def test_times_are_attributed_to_the_stage_that_spends_or_waits() -> None:
    clock = ThreadClock()

    def read(_: int) -> None:
        clock.advance(0.010)
        source.wait_seconds += 0.004

    source = FakeSource(4, before=read)
    slow = FakeStage("slow", during=lambda _: clock.advance(0.030))
    pipeline = started(source, slow, clock=clock)
    assert len(rest(pipeline)) == 4
    decode, stage = pipeline.times()
    assert decode.items == stage.items == 4
    assert decode.wait_in_seconds == pytest.approx(0.016)
    assert decode.busy_seconds == pytest.approx(0.024)
    assert stage.busy_seconds == pytest.approx(0.120)
    assert decode.wait_out_seconds == stage.wait_in_seconds == stage.wait_out_seconds == 0


def test_waiting_for_room_is_the_wait_out_of_the_stage_in_front() -> None:
    clock = ManualClock()
    pipeline = started(FakeSource(30), FakeStage("a"), capacity=1, clock=clock)
    while pipeline.counts.decoded < 4:  # link, stage, link, and one that finds no room
        time.sleep(0.001)
    time.sleep(0.05)  # let both threads reach their waits
    clock.advance(5.0)
    assert len(rest(pipeline)) == 30
    decode, stage = pipeline.times()
    assert decode.wait_out_seconds == pytest.approx(5.0)
    assert stage.wait_out_seconds == pytest.approx(5.0)
    assert stage.busy_seconds == decode.busy_seconds == 0


def test_latency_runs_from_capture_to_the_end_of_the_last_stage() -> None:
    clock = ManualClock()
    pipeline = started(FakeSource(1), FakeStage(during=lambda _: clock.advance(0.25)), clock=clock)
    assert rest(pipeline) == [0]
    assert pipeline.latency.summary()["max"] == 250


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match='"every" or "latest", got \'newest\''):
        Pipeline(FakeSource(), [FakeStage()], policy="newest")  # type: ignore[arg-type]
