"""How a stream went: counts, stage times, latency percentiles. The contract's report, live and final.

Its keys, beside what names the source, the model and the files:

    frames.decoded                 read from the source
    frames.segmented               labelled by the network
    frames.written                 came out of the last stage: into the files, or to the caller
    frames.dropped                 never came out, by choice: the sum of dropped_by_cause
    frames.dropped_by_cause.busy   a newer frame came while the network was busy with an older one
    frames.dropped_by_cause.stale  older than max_age_ms, found before a stage began with it or, where results
                                   are polled, when the last one was done
    frames.unread                  written, but never handed to the caller, who did not ask in time: a newer
                                   result came, or this one grew older than max_age_ms
    frames.corrupt                 damaged, kept or not
    frames.interlaced              pictures that hold two fields
    segmentation_keyframes         frames that the whole network ran on, of those written
    keyframe.mode                  what --keyframe asked for
    keyframe.motion                what moves carried features: codec, flow, or none (also with mode off)
    keyframe.refreshed             why the whole network ran, and how often, of all frames segmented: first (frame),
                                   cut, unknown (motion), interval, change; empty with mode off
    wall_seconds                   from the call of `load` to the end, without what lay between load and stream
    warmup_seconds                 of that, before the first frame was read: loading, compiling, warming up
    fps                            written / (wall_seconds - warmup_seconds)
    cpu_seconds                    processor time of the whole process, all threads, in the same span as fps
    cores_busy                     cpu_seconds / (wall_seconds - warmup_seconds): cores at work, on average
    latency_ms                     from a frame's capture (a file's: its decoding) until its result is written, or
                                   there for the caller to take: p50, p95, p99, max
    stages                         of each stage, in ms per frame that it passed on:
        busy_ms_per_frame              at work. infer, with policy "every": handing a picture over and waiting
                                       for the oldest of those computed side by side, so less than one takes
        wait_in_ms_per_frame           waiting for its next frame, and for the stages in front in its own thread
        wait_out_ms_per_frame          waiting for room behind it, for the stages behind in its own thread, and,
                                       once it is done with its last frame, for the end of the stream
                                   Of every stage the three add up to (wall_seconds - warmup_seconds) / frames.
    peak_rss_mb                    greatest resident memory of the process
"""

import math
import re
import resource
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from streamseg.reading.source import SourceInfo
from streamseg.version import __version__


class LatencyHistogram:
    """Percentiles of an endless series in constant memory: logarithmic bins, each 2 % wide.

    Covers 10 us to 1000 s; the greatest value is kept exactly.
    """

    _LEAST_MS = 0.01
    _GROWTH = math.log(1.02)
    _NUM_BINS = math.ceil(math.log(1e6 / _LEAST_MS) / _GROWTH) + 1

    def __init__(self) -> None:
        self._counts = [0] * self._NUM_BINS
        self._total = 0
        self._max_ms = 0.0

    def add(self, milliseconds: float) -> None:
        """Count one latency, in ms."""
        position = math.log(max(milliseconds, self._LEAST_MS) / self._LEAST_MS) / self._GROWTH
        self._counts[min(int(position), self._NUM_BINS - 1)] += 1
        self._total += 1
        self._max_ms = max(self._max_ms, milliseconds)

    def percentile(self, percent: float) -> float:
        """The value (ms) that `percent` of the series does not exceed, within 1 %; 0 for none."""
        wanted = self._total * percent / 100
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= wanted and seen:
                middle = self._LEAST_MS * math.exp(self._GROWTH * (index + 0.5))
                return min(middle, self._max_ms)
        return 0.0

    def summary(self) -> dict[str, float]:
        """p50, p95, p99 and max in ms."""
        values = {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99)}
        values["max"] = self._max_ms
        return {name: round(value, 2) for name, value in values.items()}


@dataclass(slots=True, eq=False)
class StageTimes:
    """One stage's totals, in seconds, and the items that went through it."""

    name: str
    busy_seconds: float = 0.0
    wait_in_seconds: float = 0.0
    wait_out_seconds: float = 0.0
    items: int = 0

    def per_frame(self) -> dict[str, Any]:
        """The contract's entry: milliseconds per frame."""
        scale = 1000 / max(self.items, 1)
        return {
            "name": self.name,
            "busy_ms_per_frame": round(self.busy_seconds * scale, 3),
            "wait_in_ms_per_frame": round(self.wait_in_seconds * scale, 3),
            "wait_out_ms_per_frame": round(self.wait_out_seconds * scale, 3),
        }


State = Literal["busy", "wait_in", "wait_out"]


class Stopwatch:
    """One stage's time: at every moment it is busy, waits for input, or waits for what is behind it.

    Switched by the thread that runs the stage, read by any.

    Attributes:
        items: how many the stage has passed on; counted by its thread.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.items = 0
        self._seconds: dict[State, float] = dict.fromkeys(get_args(State), 0.0)
        self._state: State = "wait_in"
        self._since: float | None = None
        self._lock = threading.Lock()

    def switch(self, state: State, now: float) -> None:
        """From `now` on, time is counted as `state`. The first call starts the watch."""
        with self._lock:
            if self._since is not None:
                self._seconds[self._state] += now - self._since
            self._state, self._since = state, now

    def times(self, now: float) -> StageTimes:
        """Totals until `now`."""
        with self._lock:
            seconds = dict(self._seconds)
            if self._since is not None:
                seconds[self._state] += max(0.0, now - self._since)
        return StageTimes(
            self.name, seconds["busy"], seconds["wait_in"], seconds["wait_out"], self.items
        )


class Span:
    """Time from a stream's start to its end, or until now: by the clock, and of the processors for this process."""

    def __init__(self, clock: Callable[[], float], cpu_clock: Callable[[], float]) -> None:
        self._clocks = clock, cpu_clock
        self._started: tuple[float, ...] | None = None
        self._stopped: tuple[float, ...] | None = None

    def start(self) -> float:
        """The clock's reading."""
        self._started = self._read()
        return self._started[0]

    def stop(self) -> None:
        """Idempotent."""
        self._stopped = self._stopped or self._read()

    def now(self) -> float:
        """The clock's reading; after `stop` that of then."""
        return (self._stopped or self._read())[0]

    @property
    def wall_seconds(self) -> float:
        """Seconds by the clock."""
        return self._elapsed(0)

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of the process, all its threads together."""
        return self._elapsed(1)

    def _elapsed(self, which: int) -> float:
        if self._started is None:
            return 0.0
        return (self._stopped or self._read())[which] - self._started[which]

    def _read(self) -> tuple[float, ...]:
        return tuple(clock() for clock in self._clocks)


@dataclass(slots=True, eq=False)
class FrameCounts:
    """Frames at each point of the stream; the module's docstring tells each."""

    decoded: int = 0
    segmented: int = 0
    written: int = 0
    busy: int = 0
    stale: int = 0
    unread: int = 0
    corrupt: int = 0
    interlaced: int = 0
    segmentation_keyframes: int = 0

    @property
    def dropped(self) -> int:
        """For whatever cause."""
        return self.busy + self.stale

    def to_dict(self) -> dict[str, Any]:
        """The report's `frames`."""
        return {
            "decoded": self.decoded,
            "segmented": self.segmented,
            "written": self.written,
            "dropped": self.dropped,
            "dropped_by_cause": {"busy": self.busy, "stale": self.stale},
            "unread": self.unread,
            "corrupt": self.corrupt,
            "interlaced": self.interlaced,
        }


def describe_video(info: SourceInfo) -> dict[str, Any]:
    """What the source holds, as stored: the report's `video`."""
    picture = info.format
    aspect = picture.sample_aspect_ratio
    space, color_range, primaries, transfer = picture.color_tags
    return {
        "codec": info.codec,
        "pix_fmt": picture.pix_fmt,
        "size": list(picture.size),
        "fps": round(float(info.rate), 3) if info.rate else None,
        "rotation": round(picture.orientation.degrees, 3),
        "sample_aspect_ratio": f"{aspect.numerator}:{aspect.denominator}",
        "color": {
            "space": space,
            "range": color_range,
            "primaries": primaries,
            "transfer": transfer,
        },
        "hdr": None if picture.transfer == "sdr" else picture.transfer,
    }


def interlaced_note(counts: FrameCounts) -> list[str]:
    """For the report's fallbacks."""
    if not counts.interlaced:
        return []
    return [
        f"{counts.interlaced} interlaced pictures as the fields they hold, processed and written as whole "
        f"pictures, nothing deinterlaces in this version"
    ]


@dataclass(slots=True, kw_only=True, eq=False)
class StreamReport:
    """Everything the contract's report holds; `to_dict` is its JSON form."""

    source: str
    model: str
    backend: str
    device: str
    precision: str
    size: tuple[int, int]
    counts: FrameCounts
    wall_seconds: float
    warmup_seconds: float
    cpu_seconds: float
    latency_ms: dict[str, float]
    stages: list[StageTimes]
    video: dict[str, Any]
    keyframe: dict[str, Any]
    outputs: list[dict[str, Any]] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, keys as in the contract and the module's docstring."""
        running = self.wall_seconds - self.warmup_seconds
        return {
            "streamseg": __version__,
            "source": self.source,
            "model": self.model,
            "backend": self.backend,
            "device": self.device,
            "precision": self.precision,
            "size": list(self.size),
            "video": self.video,
            "outputs": list(self.outputs),
            "frames": self.counts.to_dict(),
            "segmentation_keyframes": self.counts.segmentation_keyframes,
            "keyframe": self.keyframe,
            "wall_seconds": round(self.wall_seconds, 4),
            "warmup_seconds": round(self.warmup_seconds, 4),
            "fps": round(self.counts.written / running, 3) if running > 0 else 0.0,
            "cpu_seconds": round(self.cpu_seconds, 4),
            "cores_busy": round(self.cpu_seconds / running, 3) if running > 0 else 0.0,
            "latency_ms": self.latency_ms,
            "stages": [stage.per_frame() for stage in self.stages],
            "fallbacks": list(self.fallbacks),
            "peak_rss_mb": round(peak_rss_mb(), 1),
        }


def peak_rss_mb() -> float:
    """Greatest resident memory of this process so far, in MB."""
    # getrusage keeps the peak of the program that started this one by fork and exec; VmHWM does not.
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"VmHWM:\s+([0-9]+) kB", status)[0]) * 1024 / 1e6
    except (OSError, IndexError):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
