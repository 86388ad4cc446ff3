"""Pipeline: every way to end, each under pytest's timeout and the check for left-over threads."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from fakes import FakeSource, FakeStage, ManualClock, collect, streamseg_threads

from streamseg.errors import SinkError, SourceError, StreamsegError
from streamseg.frames import Frame
from streamseg.stream import pipeline as pipeline_module
from streamseg.stream.link import End, NotYet
from streamseg.stream.pipeline import Pipeline


class Broken(Exception):
    pass


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
    assert pipeline.counts.dropped == 0
    assert pipeline.get() is End.END


def test_every_policy_never_drops_for_a_slow_consumer() -> None:
    pipeline = started(FakeSource(20), FakeStage(), FakeStage())
    assert len(rest(pipeline)) == 20
    assert pipeline.counts.dropped == 0


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


# ---- latest: one frame under way, and the newest waiting


class Crossing:
    """Two stages, and how many frames are between the entry of the first and the exit of the second."""

    def __init__(self, hold: Callable[[Frame], object] = lambda _: None) -> None:
        self.inside = self.most_inside = 0
        self._hold = hold
        self.stages = FakeStage("first", during=self._enter), FakeStage("last", during=self._leave)

    def _enter(self, _: Frame) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)

    def _leave(self, frame: Frame) -> None:
        self._hold(frame)
        self.inside -= 1


def held_at_first(count: int) -> tuple[FakeSource, Crossing, threading.Event]:
    """A source that gives the rest of its frames while the last stage holds frame 0 until the event is set."""
    entered, go_on = threading.Event(), threading.Event()

    def hold(frame: Frame) -> None:
        if frame.index == 0:
            entered.set()
            assert go_on.wait(10)

    def before(index: int) -> None:
        if index == 1:
            assert entered.wait(10)

    return FakeSource(count, before=before, hang=True), Crossing(hold), go_on


def test_latest_has_one_frame_under_way_and_then_takes_the_newest() -> None:
    source, crossing, go_on = held_at_first(30)
    pipeline = started(source, *crossing.stages, policy="latest", newest_only=True)
    # The source never waits: all but the frame under way and the newest are thrown away.
    while pipeline.counts.busy < 28:
        time.sleep(0.001)
    go_on.set()
    pipeline.finish_early()
    assert rest(pipeline)[-1] == 29
    assert [stage.seen for stage in crossing.stages] == [[0, 29], [0, 29]]
    assert crossing.most_inside == 1
    counts = pipeline.counts
    assert (counts.decoded, counts.written, counts.busy, counts.stale) == (30, 2, 28, 0)


def test_every_works_on_several_frames_at_once() -> None:
    both = threading.Barrier(2, timeout=10)  # frame 1 in the first stage, frame 0 in the second
    first = FakeStage("a", during=lambda frame: frame.index == 1 and both.wait())
    second = FakeStage("b", during=lambda frame: frame.index == 0 and both.wait())
    assert rest(started(FakeSource(2), first, second)) == [0, 1]


def test_what_is_written_with_latest_waits_for_a_slow_caller_and_is_not_unread() -> None:
    pipeline = started(FakeSource(2), FakeStage("a"), FakeStage("b"), policy="latest")
    came = rest(pipeline)
    counts = pipeline.counts
    assert len(came) == counts.written == 2 - counts.busy
    assert counts.unread == 0


def test_results_that_a_polling_caller_did_not_take_are_unread_and_not_dropped() -> None:
    passed = threading.Semaphore(0)
    stage = FakeStage(during=lambda _: passed.release())

    def after_the_one_before(index: int) -> None:
        assert index == 0 or passed.acquire(timeout=10)

    source = FakeSource(5, before=after_the_one_before)
    pipeline = started(source, stage, policy="latest", newest_only=True)
    while pipeline.counts.unread < 4:
        time.sleep(0.001)
    assert rest(pipeline) == [4]
    counts = pipeline.counts
    assert (counts.written, counts.unread, counts.dropped) == (5, 4, 0)


# ---- max age


def test_a_frame_that_grew_too_old_in_the_queue_is_not_begun_with() -> None:
    clock = ManualClock()
    source, crossing, go_on = held_at_first(2)
    pipeline = started(source, *crossing.stages, policy="latest", max_age_ms=100, clock=clock)
    while pipeline.counts.decoded < 2:
        time.sleep(0.001)
    clock.advance(0.101)
    go_on.set()
    pipeline.finish_early()
    assert rest(pipeline) == []
    assert crossing.stages[0].seen == [0]
    counts = pipeline.counts
    assert (counts.written, counts.stale, counts.busy, counts.dropped) == (1, 1, 0, 1)


@pytest.mark.parametrize(("seconds", "reached"), [(0.100, [0]), (0.1001, [])])
def test_no_stage_begins_with_a_frame_that_is_too_old(seconds: float, reached: list[int]) -> None:
    clock = ManualClock()
    slow, behind = FakeStage("slow", during=lambda _: clock.advance(seconds)), FakeStage("behind")
    pipeline = started(FakeSource(1), slow, behind, policy="latest", max_age_ms=100, clock=clock)
    assert rest(pipeline) == behind.seen == reached
    assert pipeline.counts.stale == 1 - len(reached)
    assert pipeline.counts.written == len(reached)


@pytest.mark.parametrize("polled", [True, False])
def test_what_grew_too_old_in_the_last_stage_is_dropped_unless_it_is_written(polled: bool) -> None:
    clock = ManualClock()
    last = FakeStage(during=lambda _: clock.advance(0.2))
    pipeline = started(
        FakeSource(1), last, policy="latest", newest_only=polled, max_age_ms=100, clock=clock
    )
    assert rest(pipeline) == []
    counts = pipeline.counts
    assert (counts.stale, counts.written, counts.unread) == ((1, 0, 0) if polled else (0, 1, 1))


def test_a_result_that_grew_too_old_before_it_was_asked_for_is_not_handed_over() -> None:
    clock = ManualClock()
    source = FakeSource(1, hang=True)
    pipeline = started(
        source, FakeStage(), policy="latest", newest_only=True, max_age_ms=100, clock=clock
    )
    while pipeline.counts.written < 1:
        time.sleep(0.001)
    clock.advance(0.101)
    while pipeline.counts.unread < 1:
        with pytest.raises(NotYet):
            pipeline.get(0.0)
    assert pipeline.counts.stale == 0
    pipeline.stop()


@pytest.mark.parametrize("age", [0, -1, float("nan"), float("inf")])
def test_an_age_that_makes_no_sense_is_refused(age: float) -> None:
    with pytest.raises(ValueError, match="expected a max age above 0 ms, got"):
        Pipeline(FakeSource(), [FakeStage()], policy="latest", max_age_ms=age)


def test_a_max_age_with_every_is_refused() -> None:
    with pytest.raises(ValueError, match=r'no max age with policy "every".* got 50 ms'):
        Pipeline(FakeSource(), [FakeStage()], max_age_ms=50)


# ---- stages that hold items back


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_what_stages_hold_back_comes_out_in_order_at_the_end(policy: str) -> None:
    taken = threading.Semaphore(0)
    source = FakeSource(9, before=lambda index: index == 0 or taken.acquire(timeout=10))
    stages = (
        FakeStage("a", holds=3, during=lambda _: taken.release()),
        FakeStage("b"),
        FakeStage("c", holds=2),
    )
    pipeline = started(source, *stages, policy=policy)
    assert rest(pipeline) == list(range(9))
    assert [stage.seen for stage in stages] == [list(range(9))] * 3
    assert [entry.items for entry in pipeline.times()] == [9, 9, 9, 9]


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_a_source_that_stalls_keeps_nothing_back(policy: str) -> None:
    pipeline = started(FakeSource(1, hang=True), FakeStage(holds=3), FakeStage(), policy=policy)
    assert pipeline.get(10).frame.index == 0
    pipeline.stop()


def test_nothing_is_drained_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "PATIENCE_SECONDS", 30.0)
    last = FakeStage("b")
    broken = FakeStage("a", holds=5, error=Broken("first"), error_at=3)
    with pytest.raises(Broken, match="first"):
        rest(started(FakeSource(9), broken, last))
    assert last.seen == []


# ---- where the time goes


def sums(pipeline: Pipeline) -> list[float]:
    return [
        entry.busy_seconds + entry.wait_in_seconds + entry.wait_out_seconds
        for entry in pipeline.times()
    ]


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_the_times_of_every_stage_add_up_to_the_time_of_the_stream(policy: str) -> None:
    clock = ManualClock()

    def read(_: int) -> None:
        clock.advance(0.010)
        source.wait_seconds += 0.004

    source = FakeSource(7, before=read)
    stages = (
        FakeStage("a", during=lambda _: clock.advance(0.030), holds=2),
        FakeStage("b", during=lambda _: clock.advance(0.005)),
        FakeStage("c", closing=lambda: clock.advance(1.0)),
    )
    clock.advance(100.0)  # before the start
    pipeline = started(source, *stages, policy=policy, clock=clock)
    assert rest(pipeline)
    clock.advance(100.0)  # after the end
    assert pipeline.span.wall_seconds > 1.0
    assert sums(pipeline) == pytest.approx([pipeline.span.wall_seconds] * 4)


def test_in_one_lane_a_stage_waits_for_those_in_front_and_behind() -> None:
    clock = ManualClock()
    first = FakeStage("first", during=lambda _: clock.advance(0.030))
    last = FakeStage(
        "last", during=lambda _: clock.advance(0.050), closing=lambda: clock.advance(0.2)
    )
    pipeline = started(FakeSource(1), first, last, policy="latest", clock=clock)
    assert rest(pipeline) == [0]
    _, front, behind = pipeline.times()
    assert front.busy_seconds == pytest.approx(0.030)
    assert front.wait_out_seconds == pytest.approx(0.050 + 0.2)
    assert behind.busy_seconds == pytest.approx(0.050 + 0.2)
    assert behind.wait_in_seconds == pytest.approx(0.030)
    assert front.wait_in_seconds == behind.wait_out_seconds == 0


def test_what_the_source_waited_is_not_work_of_decode() -> None:
    clock = ManualClock()

    def read(_: int) -> None:
        clock.advance(0.010)
        source.wait_seconds += 0.004

    source = FakeSource(4, before=read)
    source.wait_seconds = 3.0  # while it was opened
    pipeline = started(source, FakeStage(), clock=clock)
    assert len(rest(pipeline)) == 4
    decode, _ = pipeline.times()
    assert decode.items == 4
    assert decode.wait_in_seconds == pytest.approx(0.016)
    assert decode.busy_seconds == pytest.approx(0.024)


def test_waiting_for_room_is_the_wait_out_of_the_stage_in_front() -> None:
    clock = ManualClock()
    pipeline = started(FakeSource(30), FakeStage("a"), capacity=1, clock=clock)
    # Link, stage, link, and one that finds no room; both threads have told the time by then.
    while pipeline.counts.decoded < 4 or pipeline.counts.written < 2:
        time.sleep(0.001)
    clock.advance(5.0)
    assert len(rest(pipeline)) == 30
    decode, stage = pipeline.times()
    assert decode.wait_out_seconds == pytest.approx(5.0)
    assert stage.wait_out_seconds == pytest.approx(5.0)
    assert stage.busy_seconds == decode.busy_seconds == 0


def test_what_is_done_early_waits_for_the_end() -> None:
    clock = ManualClock()
    pipeline = started(FakeSource(1), FakeStage(), clock=clock)
    while streamseg_threads():
        time.sleep(0.001)
    clock.advance(3.0)
    assert rest(pipeline) == [0]
    assert [entry.wait_out_seconds for entry in pipeline.times()] == [3.0, 3.0]


def test_the_times_of_a_running_stream_count_what_goes_on_now() -> None:
    clock = ManualClock()
    pipeline = started(FakeSource(0, hang=True), FakeStage(), clock=clock)
    clock.advance(2.0)
    assert sums(pipeline) == [2.0, 2.0]
    pipeline.stop()
    clock.advance(1.0)
    assert sums(pipeline) == [2.0, 2.0]


def test_processor_time_is_of_the_same_span() -> None:
    clock, cpu_clock = ManualClock(), ManualClock()
    cpu_clock.advance(7.0)
    stage = FakeStage(during=lambda _: cpu_clock.advance(0.5), closing=lambda: clock.advance(2.0))
    pipeline = Pipeline(FakeSource(3), [stage], clock=clock, cpu_clock=cpu_clock)
    assert pipeline.span.cpu_seconds == pipeline.span.wall_seconds == 0
    pipeline.start()
    assert len(rest(pipeline)) == 3
    cpu_clock.advance(7.0)
    assert (pipeline.span.cpu_seconds, pipeline.span.wall_seconds) == (1.5, 2.0)


def test_latency_runs_from_capture_to_the_end_of_the_last_stage() -> None:
    clock = ManualClock()
    pipeline = started(FakeSource(1), FakeStage(during=lambda _: clock.advance(0.25)), clock=clock)
    assert rest(pipeline) == [0]
    assert pipeline.latency.summary()["max"] == 250


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match='"every" or "latest", got \'newest\''):
        Pipeline(FakeSource(), [FakeStage()], policy="newest")  # type: ignore[arg-type]
