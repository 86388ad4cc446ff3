"""The only file with threads: a producer and its stages, one thread each, joined by links.

    source thread ──▶ link ──▶ stage thread ──▶ link ──▶ ... ──▶ link ──▶ the caller's thread

An error in a stage stops everything at once. An error in the source ends the stream behind the frames
that were good, so that what was decoded is still written; it is raised after them. Either way the
caller sees the first.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

from streamseg.errors import StreamsegError
from streamseg.frames import Frame
from streamseg.stream.link import End, Link, Stopped
from streamseg.stream.report import FrameCounts, LatencyHistogram, StageTimes

Policy = Literal["every", "latest"]
"""Process every frame, or let the newest win: frames that nobody had time for are dropped and
counted."""

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
    """A step that turns one record into one record, on its own thread."""

    name: str

    def process(self, item: Any) -> Any: ...

    def close(self) -> None:
        """Finish: flush, release. Called exactly once, after the last item or after an abort."""
        ...


class Pipeline:
    """Runs a producer and stages; `get` gives what leaves the last stage.

    Args:
        producer: yields `Frame`s; is closed by the pipeline.
        stages: in order; each is closed by the pipeline. What the last one passes on must have
            `.frame` and `.is_keyframe`.
        policy: "latest" drops frames in front of every stage that is busy.
        newest_only: drop in front of the caller, too (a control loop that polls).
        capacity: items a blocking link holds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        producer: Producer,
        stages: Sequence[Stage],
        *,
        policy: Policy = "every",
        newest_only: bool = False,
        capacity: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if policy not in ("every", "latest"):
            raise ValueError(f'expected policy "every" or "latest", got {policy!r}')
        self.counts = FrameCounts()
        self.latency = LatencyHistogram()
        self.error: BaseException | None = None
        self._producer = producer
        self._stages = list(stages)
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        # With "latest" every stage takes the newest there is: a link that blocked would hold a frame
        # back while it ages. Only what is to be written waits for its turn.
        dropping = [policy == "latest"] * len(self._stages)
        self._links: list[Link[Any]] = [
            Link(1, "drop_oldest", clock) if drop else Link(capacity, "block", clock)
            for drop in [*dropping, newest_only]
        ]
        self._times = [StageTimes("decode")] + [StageTimes(stage.name) for stage in self._stages]
        targets = [self._run_producer] + [
            lambda index=index: self._run_stage(index) for index in range(len(self._stages))
        ]
        self._threads = [
            threading.Thread(target=target, name=f"streamseg-{times.name}", daemon=True)
            for target, times in zip(targets, self._times, strict=True)
        ]

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def get(self, timeout_seconds: float | None = None) -> Any:
        """The next item, or `End.END` at the end of the stream.

        Raises:
            NotYet: none within `timeout_seconds`; the stream goes on.
            BaseException: the first error of any thread, once everything has been stopped.
        """
        try:
            item = self._links[-1].get(timeout_seconds)
        except Stopped:
            item = End.END
        if item is End.END:
            self.stop()
            if self.error is not None:
                raise self.error
        return item

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

    def times(self) -> list[StageTimes]:
        """Totals per stage so far."""
        for index, times in enumerate(self._times):
            if index:
                times.wait_in_seconds = self._links[index - 1].stats.get_wait_seconds
            times.wait_out_seconds = self._links[index].stats.put_wait_seconds
        return list(self._times)

    def dropped(self) -> int:
        """Frames dropped in front of the stages so far; not those the caller did not ask for."""
        return sum(link.stats.dropped for link in self._links[:-1])

    def _run_producer(self) -> None:
        times = self._times[0]
        try:
            started = self._clock()
            for frame in self._producer:
                waited = self._producer.wait_seconds - times.wait_in_seconds
                times.wait_in_seconds += waited
                times.busy_seconds += self._clock() - started - waited
                times.items += 1
                self.counts.decoded += 1
                self.counts.corrupt += frame.corrupt
                self.counts.interlaced += frame.interlaced
                self._links[0].put(frame)
                started = self._clock()
        except Stopped:
            pass
        except BaseException as error:
            self._remember(error)
        finally:
            self._links[0].end()

    def _run_stage(self, index: int) -> None:
        stage, times = self._stages[index], self._times[index + 1]
        inbox, outbox = self._links[index], self._links[index + 1]
        try:
            while (item := inbox.get()) is not End.END:
                started = self._clock()
                result = stage.process(item)
                times.busy_seconds += self._clock() - started
                times.items += 1
                if index == len(self._stages) - 1:
                    self._count(result)
                outbox.put(result)
        except Stopped:
            pass
        except BaseException as error:
            self._fail(error)
        finally:
            self._close(stage, self._fail)
            outbox.end()

    def _close(self, part: Producer | Stage, report: Callable[[BaseException], None]) -> None:
        try:
            part.close()
        except BaseException as error:
            report(error)

    def _count(self, result: Any) -> None:
        self.counts.written += 1
        self.counts.segmentation_keyframes += result.is_keyframe
        self.latency.add(1000 * (self._clock() - result.frame.captured_seconds))

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


def _wait_for_destructors(thread: threading.Thread, deadline: float) -> None:
    """Until the operating system's thread is gone, too.

    Python's ends earlier: C++ libraries then still run their thread-local destructors, which crash when
    the engine is freed meanwhile (OpenVINO's do, one time in some hundreds).
    """
    task = f"/proc/self/task/{thread.native_id}"
    while not thread.is_alive() and os.path.exists(task) and time.monotonic() < deadline:
        time.sleep(0.0005)
