"""The only file with threads: a producer and its stages, joined by links.

    source thread ──▶ link ──▶ lane ──▶ link ──▶ ... ──▶ link ──▶ the caller's thread

A lane is a thread and the stages that it carries an item through before it takes the next. The policy says
how stages are put into lanes:

    "every"   a lane for each stage, behind links that hold some frames and block: all work at the same time, for
              the most frames a second.
    "latest"  one lane for all, behind a link that holds the newest frame alone: one frame is under way, with the
              whole machine to itself, for the youngest results.

An error in a stage stops everything at once. An error in the source ends the stream behind the frames
that were good, so that what was decoded is still written; it is raised after them. Either way the
caller sees the first.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Protocol

from streamseg.errors import StreamsegError
from streamseg.frames import Frame
from streamseg.stream.link import End, Link, NotYet, Stopped
from streamseg.stream.report import FrameCounts, LatencyHistogram, Span, StageTimes, Stopwatch

Policy = Literal["every", "latest"]
"""Process every frame, or let the newest win: frames that nobody had time for are dropped and
counted."""

PATIENCE_SECONDS = 0.1
"""How long a lane waits for its next item before its stages give out what they hold: a camera that is slow or
stalls must not keep results back. Longer than most sources take for a frame, for giving out costs speed."""

JOIN_SECONDS = 30.0
"""How long `stop` waits for threads that sit in foreign code before giving up on them: longer than a
network source's timeout, and than one frame of a large network on a small machine."""


class Producer(Protocol):
    """What stands at the head of a pipeline: an iterable of frames that can be told to stop.

    Attributes:
        wait_seconds: time that `next` has spent waiting for input, not working, so far.
    """

    wait_seconds: float

    def __iter__(self) -> Iterator[Frame]: ...

    def interrupt(self) -> None:
        """Make a blocked or future `next` end soon. Called from another thread; idempotent."""
        ...

    def close(self) -> None:
        """Release the input. Called once, when no thread runs any more: until then the last stage may
        look at what it copies from.
        """
        ...


class Stage(Protocol):
    """A step that turns records into records, in order. All calls come from one thread."""

    name: str

    def process(self, item: Any) -> Sequence[Any]:
        """Take one item; give out those that are done, which may be none, or earlier ones."""
        ...

    def drain(self) -> Sequence[Any]:
        """Give out all that is held back. Called after the last item, before `close`, and not after an abort;
        also whenever the next item is long in coming.
        """
        ...

    def close(self) -> None:
        """Finish: flush, release. Called exactly once, after the last item or after an abort."""
        ...


def check_policy(policy: str, max_age_ms: float | None) -> None:
    """Refuse what makes no sense.

    Raises:
        ValueError: an unknown policy; an age that is not above 0, or that "every" could not keep to.
    """
    if policy not in ("every", "latest"):
        raise ValueError(f'expected policy "every" or "latest", got {policy!r}')
    if max_age_ms is None:
        return
    if not 0 < max_age_ms < math.inf:
        raise ValueError(f"expected a max age above 0 ms, got {max_age_ms}")
    if policy == "every":
        raise ValueError(
            f'expected no max age with policy "every", which leaves no frame out, got {max_age_ms:g} ms; '
            f'use policy "latest"'
        )


@dataclass(slots=True, eq=False)
class _Step:
    """A stage and its time."""

    stage: Stage
    watch: Stopwatch


@dataclass(frozen=True, slots=True, eq=False)
class _Lane:
    """Stages that share a thread."""

    steps: list[_Step]
    inbox: Link[Any]
    outbox: Link[Any]
    clock: Callable[[], float]

    @property
    def name(self) -> str:
        return "+".join(step.stage.name for step in self.steps)

    def at(self, position: int) -> None:
        """From now on the thread is busy with this step: those in front of it wait for it to come back, those
        behind it for what it brings. -1 is in front of the first, `len(steps)` behind the last.
        """
        now = self.clock()
        for index, step in enumerate(self.steps):
            if index == position:
                step.watch.switch("busy", now)
            else:
                step.watch.switch("wait_in" if index > position else "wait_out", now)


class Pipeline:
    """Runs a producer and stages; `get` gives what leaves the last stage.

    Args:
        producer: yields `Frame`s; is closed by the pipeline.
        stages: in order; each is closed by the pipeline. What they pass on must have `.frame`, what the
            last one passes on `.reuse`, too.
        policy: how stages share threads, and whether frames are dropped: see above.
        newest_only: drop in front of the caller, too (a control loop that polls).
        max_age_ms: with "latest": no stage begins with a frame that is older, and none is given to the caller.
        capacity: items a blocking link holds.
        clock: monotonic seconds, the very clock of the frames' `captured_seconds`.
        cpu_clock: processor seconds of the whole process.

    Raises:
        ValueError: see `check_policy`.
    """

    def __init__(
        self,
        producer: Producer,
        stages: Sequence[Stage],
        *,
        policy: Policy = "every",
        newest_only: bool = False,
        max_age_ms: float | None = None,
        capacity: int = 3,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        check_policy(policy, max_age_ms)
        self.latency = LatencyHistogram()
        self.span = Span(clock, cpu_clock)
        self.error: BaseException | None = None
        self._producer = producer
        self._newest_only = newest_only
        self._max_age_ms = math.inf if max_age_ms is None else max_age_ms
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = FrameCounts()
        self._closed = False
        self._waited_before = 0.0
        every = policy == "every"
        groups = [[stage] for stage in stages] if every else [list(stages)]
        # Only what is to be written waits for its turn: behind "latest" a link that blocked would hold a frame
        # back while it ages.
        blocking = [*[every] * len(groups), not newest_only]
        self._links: list[Link[Any]] = [
            Link(capacity, "block") if block else Link(1, "drop_oldest") for block in blocking
        ]
        self._decode = Stopwatch("decode")
        self._lanes = [
            _Lane([_Step(stage, Stopwatch(stage.name)) for stage in group], inbox, outbox, clock)
            for group, (inbox, outbox) in zip(groups, pairwise(self._links), strict=True)
        ]
        self._threads = [_thread(self._decode.name, self._run_producer)]
        self._threads += [_thread(lane.name, self._run_lane, lane) for lane in self._lanes]

    def start(self) -> None:
        """Start all threads."""
        self._waited_before = self._producer.wait_seconds
        now = self.span.start()
        self._decode.switch("busy", now)
        for step in self._steps():
            step.watch.switch("wait_in", now)
        for thread in self._threads:
            thread.start()

    def get(self, timeout_seconds: float | None = None) -> Any:
        """The next item, or `End.END` at the end of the stream.

        Raises:
            NotYet: none within `timeout_seconds`; the stream goes on.
            BaseException: the first error of any thread, once everything has been stopped.
        """
        limit = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            item = self._take(None if limit is None else max(0.0, limit - time.monotonic()))
            if item is End.END or self._age_ms(item) <= self._max_age_ms:
                return item
            self._counts.unread += 1

    def finish_early(self) -> None:
        """Stop reading, but let what was read go through to the end (first Ctrl-C)."""
        self._producer.interrupt()

    def stop(self) -> None:
        """Tear down: no thread is left running. Idempotent; called by `get` at the end of the stream.

        A thread stuck in foreign code for more than `JOIN_SECONDS` is left behind as a daemon and
        reported as an error, for nothing can end it.
        """
        self._abort()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            if thread.ident is None or thread is threading.current_thread():
                continue
            thread.join(max(0.0, deadline - time.monotonic()))
            _wait_for_destructors(thread, deadline)
            if thread.is_alive():
                self._remember(
                    StreamsegError(f"{thread.name} did not stop within {JOIN_SECONDS:g} s")
                )
        # What a stuck thread may still read from cannot be closed.
        if not self._closed and not any(thread.is_alive() for thread in self._threads):
            self._closed = True
            self._close(self._producer, self._remember)
        self.span.stop()

    def times(self) -> list[StageTimes]:
        """Totals per stage so far. Of the producer's time, what it says it waited is not work."""
        now = self.span.now()
        waited = self._producer.wait_seconds - self._waited_before
        decode = self._decode.times(now)
        decode = replace(
            decode,
            busy_seconds=decode.busy_seconds - waited,
            wait_in_seconds=decode.wait_in_seconds + waited,
        )
        return [decode, *(step.watch.times(now) for step in self._steps())]

    @property
    def counts(self) -> FrameCounts:
        """Frames so far; of those segmented only the caller knows which stage does that."""
        return replace(
            self._counts,
            busy=sum(link.dropped for link in self._links[:-1]),
            unread=self._counts.unread + self._links[-1].dropped,
        )

    def _run_producer(self) -> None:
        try:
            for frame in self._producer:
                self._decode.switch("wait_out", self._clock())
                self._decode.items += 1
                self._counts.decoded += 1
                self._counts.corrupt += frame.corrupt
                self._counts.interlaced += frame.interlaced
                self._links[0].put(frame)
                self._decode.switch("busy", self._clock())
        except Stopped:
            pass
        except BaseException as error:
            self._remember(error)
        finally:
            self._decode.switch("wait_out", self._clock())
            self._links[0].end()

    def _run_lane(self, lane: _Lane) -> None:
        try:
            while (item := self._next(lane)) is not End.END:
                self._carry([item], lane)
            self._drain(lane)
        except Stopped:
            pass
        except BaseException as error:
            self._fail(error)
        finally:
            for position, step in enumerate(lane.steps):
                lane.at(position)
                self._close(step.stage, self._fail)
            lane.at(len(lane.steps))
            lane.outbox.end()

    def _next(self, lane: _Lane) -> Any:
        lane.at(-1)
        with suppress(NotYet):
            return lane.inbox.get(PATIENCE_SECONDS)
        self._drain(lane)
        lane.at(-1)
        return lane.inbox.get()

    def _carry(self, items: Sequence[Any], lane: _Lane, position: int = 0) -> None:
        """Carry `items` through the steps from `position` on and out, one after the other."""
        for item in items:
            if position == len(lane.steps):
                self._hand_on(item, lane)
            elif not self._is_stale(item):
                step = lane.steps[position]
                lane.at(position)
                made = step.stage.process(item)
                step.watch.items += len(made)
                self._carry(made, lane, position + 1)

    def _drain(self, lane: _Lane) -> None:
        for position, step in enumerate(lane.steps):
            lane.at(position)
            held = step.stage.drain()
            step.watch.items += len(held)
            self._carry(held, lane, position + 1)

    def _hand_on(self, item: Any, lane: _Lane) -> None:
        lane.at(len(lane.steps))
        if lane is self._lanes[-1]:
            # What nobody polls for has been written, however old it is by now.
            if self._newest_only and self._is_stale(item):
                return
            self._counts.written += 1
            self._counts.segmentation_keyframes += item.reuse.is_keyframe
            self.latency.add(self._age_ms(item))
        lane.outbox.put(item)

    def _is_stale(self, item: Any) -> bool:
        """Whether no more work is to be spent on `item`; counted."""
        stale = self._age_ms(item) > self._max_age_ms
        self._counts.stale += stale
        return stale

    def _age_ms(self, item: Any) -> float:
        frame = item if isinstance(item, Frame) else item.frame
        return float(1000 * (self._clock() - frame.captured_seconds))

    def _take(self, timeout_seconds: float | None) -> Any:
        try:
            item = self._links[-1].get(timeout_seconds)
        except Stopped:
            item = End.END
        if item is End.END:
            self.stop()
            if self.error is not None:
                raise self.error
        return item

    def _steps(self) -> list[_Step]:
        return [step for lane in self._lanes for step in lane.steps]

    def _close(self, part: Producer | Stage, report: Callable[[BaseException], None]) -> None:
        try:
            part.close()
        except BaseException as error:
            report(error)

    def _remember(self, error: BaseException) -> None:
        with self._lock:
            if self.error is None:
                self.error = error

    def _fail(self, error: BaseException) -> None:
        """Remember the first error and stop every thread."""
        self._remember(error)
        self._abort()

    def _abort(self) -> None:
        self._producer.interrupt()
        for link in self._links:
            link.abort()


def _thread(name: str, target: Callable[..., None], *args: object) -> threading.Thread:
    return threading.Thread(target=target, args=args, name=f"streamseg-{name}", daemon=True)


def _wait_for_destructors(thread: threading.Thread, deadline: float) -> None:
    """Until the operating system's thread is gone, too.

    Python's ends earlier: C++ libraries then still run their thread-local destructors, which crash when
    the engine is freed meanwhile (OpenVINO's do, one time in some hundreds).
    """
    task = f"/proc/self/task/{thread.native_id}"
    while not thread.is_alive() and os.path.exists(task) and time.monotonic() < deadline:
        time.sleep(0.0005)
