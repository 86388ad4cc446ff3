"""`Stream`: a source being labelled, from its first frame to its report."""

import math
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2  # noqa: F401  (see Note "cv2 before av" in view.py)

# isort: split
from streamseg.errors import SinkError
from streamseg.frames import Frame, Labelled, Logits, Painted
from streamseg.labels import LabelSet
from streamseg.picture.orientation import UPRIGHT
from streamseg.picture.planes import gray_frame, planar_view
from streamseg.reading.source import Source, SourceInfo
from streamseg.result import Result
from streamseg.stream.keyframes import KeyframeReuse, Reason
from streamseg.stream.link import End, NotYet
from streamseg.stream.pipeline import Pipeline, Policy, Stage
from streamseg.stream.report import StreamReport, describe_video, interlaced_note

if TYPE_CHECKING:
    from streamseg.engine.engine import Engine
    from streamseg.stream.paint import Painter
    from streamseg.stream.transfer import Transfer
    from streamseg.writing.sink import FileSink

Clock = Callable[[], float]

LINK_PIXELS = 3 * 3840 * 2160
"""Pixels that may wait between two stages."""

LOOKAHEAD_PIXELS = 16 * 1024 * 2048
"""Pixels that may be held back for keyframe reuse, each of some seven bytes: picture and network input."""


class Stream:
    """A stream being labelled. Iterate over it, or use `latest`; close it, or leave its `with` block.

    Results older than the stream's `max_age_ms` are never given out: iteration and `read` skip them.

    Attributes:
        info: what is known of the source (`SourceInfo`).
        files: what is being written, by kind.
    """

    def __init__(
        self,
        engine: "Engine",
        labels: LabelSet,
        source: Source,
        *,
        policy: Policy = "every",
        sink: "FileSink | None" = None,
        alpha: float = 0.5,
        max_age_ms: float | None = None,
        reuse: KeyframeReuse | None = None,
        load_seconds: float = 0.0,
        clock: Clock = time.monotonic,
        cpu_clock: Clock = time.process_time,
    ) -> None:
        from streamseg.stream.paint import Painter
        from streamseg.stream.transfer import Transfer

        self.info = source.info
        self.files = sink.files if sink else {}
        self._engine = engine
        self._labels = labels
        self._source = source
        self._sink = sink
        self._clock = clock
        self._ended = False
        self._max_age_ms = math.inf if max_age_ms is None else max_age_ms
        self._newest: Result | None = None
        self._polled = policy == "latest" and sink is None
        self._canvas = sink.canvas if sink else "yuv420p"
        last: list[Stage] = [sink] if sink else []
        started = clock()
        try:
            network = _Network(engine, reuse or KeyframeReuse(), self.info, policy)
            painter = Painter(
                labels,
                alpha=alpha,
                overlay="overlay" in self.files,
                color="color" in self.files,
                canvas=self._canvas,
            )
            on_device = engine.paints and not (reuse or KeyframeReuse()).on
            transfer = Transfer(engine, painter.drawing if on_device else None)
            stages: list[Stage] = [transfer, *network.stages, painter, *last]
            pipeline = Pipeline(
                source,
                stages,
                policy=policy,
                newest_only=self._polled,
                max_age_ms=max_age_ms,
                capacity=_link_capacity(self.info),
                clock=clock,
                cpu_clock=cpu_clock,
            )
            self._warm_up(transfer, network, painter)
        except BaseException:
            source.close()
            for stage in last:
                stage.close()
            raise
        self._warmup_seconds = clock() - started + load_seconds
        self._pipeline = pipeline
        self._network = network
        # A stream that is dropped or still runs at exit ends like one that is closed.
        weakref.finalize(self, pipeline.stop)
        pipeline.start()

    def _warm_up(self, transfer: "Transfer", network: "_Network", painter: "Painter") -> None:
        """Compile graphs and loops on a gray picture, before the clock of fps starts."""
        blank = gray_frame(self.info.size, self.info.image_tags)
        frame = Frame(
            image=blank,
            pixels=planar_view(blank),
            decoded=blank,
            orientation=UPRIGHT,
            index=0,
            time_seconds=0.0,
            captured_seconds=0.0,
        )
        answer = network.warm_up(frame, transfer.prepared(frame))
        if isinstance(answer, Logits):
            painter.warm_up(answer, self.info.size, self.info.image_tags)

    def __iter__(self) -> Iterator[Result]:
        """Results in order, each once. Leaving the loop early stops the stream."""
        try:
            while (result := self.read(None)) is not None:
                yield result
        finally:
            self.close()

    def latest(self, timeout_ms: float = 0.0) -> Result | None:
        """The newest result, waiting up to `timeout_ms` for one that was not returned before.

        Returns:
            A new result; else the last one again (its `age_ms` tells). None before the first, after the
            end, and when it would be older than the stream's `max_age_ms`.

        Raises:
            StreamsegError: the stream failed.
            ValueError: the stream keeps every result, so that this would return ever older ones.
        """
        if not self._polled:
            raise ValueError('latest() expects a stream made by stream(..., policy="latest")')
        with suppress(NotYet):
            self._newest = self._take(timeout_ms / 1000)
        if self._newest is None or self._newest.age_ms > self._max_age_ms:
            return None
        return self._newest

    @property
    def ended(self) -> bool:
        """Whether the stream is over: at its end, failed, or closed."""
        return self._ended

    def finish(self) -> dict[str, Any]:
        """Wait for the end and return the report."""
        for _ in self:
            pass
        return self.report()

    def finish_early(self) -> None:
        """Read no further frame; those already read go through to the end."""
        self._pipeline.finish_early()

    def close(self) -> None:
        """Stop the stream; files written so far are closed and playable. Idempotent.

        Raises:
            SinkError: a file could not be finished.
        """
        if self._ended:
            return
        self._pipeline.stop()
        self._ended = True
        if isinstance(self._pipeline.error, SinkError):
            raise self._pipeline.error

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            self.close()
        except SinkError:
            if kind is None:
                raise

    def report(self) -> dict[str, Any]:
        """Counts, stage times and latency so far, in the report's form."""
        pipeline, info = self._pipeline, self._engine.info
        times = pipeline.times()
        counts = pipeline.counts
        counts = replace(
            counts,
            corrupt=counts.corrupt + self._source.corrupt_skipped,
            segmented=next(entry.items for entry in times if entry.name == "infer"),
        )
        return StreamReport(
            source=self.info.name,
            model=self._engine.card.name,
            backend=info.backend,
            device=info.device,
            precision=info.precision,
            size=self._engine.network_size(self.info.size),
            counts=counts,
            wall_seconds=self._warmup_seconds + pipeline.span.wall_seconds,
            warmup_seconds=self._warmup_seconds,
            cpu_seconds=pipeline.span.cpu_seconds,
            latency_ms=pipeline.latency.summary(),
            stages=times,
            keyframe=self._network.report(),
            video=describe_video(self.info),
            outputs=self._sink.outputs_report() if self._sink else [],
            fallbacks=[
                *info.fallbacks,
                *self._network.notes,
                *self._source.notes,
                *interlaced_note(counts),
                *(self._sink.notes if self._sink else []),
            ],
        ).to_dict()

    def read(self, timeout_seconds: float | None = None) -> Result | None:
        """The next result in order, or None at the end. Unlike iteration, an interrupt leaves the
        stream alive.

        Raises:
            TimeoutError: none within `timeout_seconds`; the stream goes on.
            StreamsegError: the stream failed.
        """
        try:
            return self._take(timeout_seconds)
        except NotYet:
            raise TimeoutError(f"no result within {timeout_seconds} s") from None

    def _take(self, timeout_seconds: float | None) -> Result | None:
        if self._ended:
            return None
        try:
            item = self._pipeline.get(timeout_seconds)
        except (NotYet, KeyboardInterrupt):
            raise
        except BaseException:
            self._ended = True
            raise
        if item is End.END:
            self._ended = True
            return None
        return self._result(item)

    def _result(self, painted: Painted) -> Result:
        return Result(
            painted.labels,
            painted.frame,
            self._labels,
            captured_seconds=painted.frame.captured_seconds,
            clock=self._clock,
            reuse=painted.reuse,
        )


class _Network:
    """The stages between `transfer` and `overlay`, by what is asked of keyframe reuse.

    Attributes:
        stages: in order.
        notes: what was asked for and is not so, for the report's fallbacks.
    """

    def __init__(
        self, engine: "Engine", reuse: KeyframeReuse, info: SourceInfo, policy: Policy
    ) -> None:
        from streamseg.stream.infer import Infer
        from streamseg.stream.motion import Motion, pick
        from streamseg.stream.reuse import LOOKAHEAD_BETWEEN, InferReusing

        self._infer: Infer | InferReusing
        self.stages: list[Stage]
        self.notes: list[str] = []
        self._keyframe, self._motion, self._features = reuse.keyframe, "none", "none"
        self._refreshed: Mapping[Reason, int] = {}
        self._find: Motion | None = None
        every = policy == "every"
        interpolate = reuse.interpolates(waits=every)
        schedule = reuse.schedule(interpolate=interpolate)
        if schedule is None:
            self._infer = Infer(engine, side_by_side=every)
            self.stages = [self._infer]
            return
        self._motion, note = pick(reuse.motion, info.codec)
        self.notes += [note] if note else []
        self._features = "interpolate" if interpolate else "propagate"
        self._infer = InferReusing(
            engine,
            schedule,
            side_by_side=every,
            interpolate=interpolate,
            lookahead=min(LOOKAHEAD_BETWEEN, LOOKAHEAD_PIXELS // (info.size[0] * info.size[1])),
        )
        self._find = Motion(self._motion)
        self.stages = [self._find, self._infer]
        self._refreshed = self._infer.refreshed

    def warm_up(self, frame: Frame, network_input: Any) -> Logits | Labelled:
        """See `Infer.warm_up`."""
        if self._find is not None:
            self._find.warm_up(frame)
        return self._infer.warm_up(network_input)

    def report(self) -> dict[str, Any]:
        """The report's `keyframe`."""
        refreshed = {str(reason): count for reason, count in self._refreshed.items()}
        return {
            "mode": self._keyframe,
            "motion": self._motion,
            "features": self._features,
            "refreshed": refreshed,
        }


def _link_capacity(info: SourceInfo) -> int:
    """Pictures that may wait between two stages: fewer of 8K, so that memory stays bounded."""
    return max(1, min(3, LINK_PIXELS // (info.size[0] * info.size[1])))
