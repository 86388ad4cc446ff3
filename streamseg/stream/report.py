"""How a stream went: counts, stage times, latency percentiles. The contract's report, live and final."""

import math
import re
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


@dataclass(slots=True, eq=False)
class FrameCounts:
    """Frames at each point of the stream. `written` counts what left the last stage."""

    decoded: int = 0
    segmented: int = 0
    written: int = 0
    dropped: int = 0
    corrupt: int = 0
    interlaced: int = 0
    segmentation_keyframes: int = 0


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
    latency_ms: dict[str, float]
    stages: list[StageTimes]
    video: dict[str, Any]
    outputs: list[dict[str, Any]] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, keys as in the contract."""
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
            "frames": {
                "decoded": self.counts.decoded,
                "segmented": self.counts.segmented,
                "written": self.counts.written,
                "dropped": self.counts.dropped,
                "corrupt": self.counts.corrupt,
                "interlaced": self.counts.interlaced,
            },
            "segmentation_keyframes": self.counts.segmentation_keyframes,
            "wall_seconds": round(self.wall_seconds, 4),
            "warmup_seconds": round(self.warmup_seconds, 4),
            "fps": round(self.counts.written / running, 3) if running > 0 else 0.0,
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
