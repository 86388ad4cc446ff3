"""How much of keyframe reuse is measured."""

from dataclasses import dataclass, field

from streamseg.benchmark.keyframe_curve import STILL, Way
from streamseg.benchmark.records import Size
from streamseg.engine.engine import SizeChoice

WAYS = (
    STILL,
    Way("codec"),
    Way("flow"),
    Way("codec", "interpolate"),
    Way("flow", "interpolate"),
)

PHASES = 4
"""Adaptive's first interval is so many different ones, in turn: all of its runs would else begin in step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is scored on one clip: all ways with all intervals and qualities, but for qualities of `STILL`.

    Attributes:
        intervals: between segmentation keyframes, frames; at least two different ones.
        qualities: of adaptive, 0..1: one run each, so many that chance averages out.
    """

    intervals: tuple[int, ...]
    qualities: tuple[float, ...]
    ways: tuple[Way, ...] = WAYS

    def keyframes(self, way: Way) -> tuple[str, ...]:
        """The words of `--keyframe`."""
        fixed = tuple(f"fixed:{interval}" for interval in self.intervals)
        if way == STILL:
            return fixed
        phases = (1 + index % PHASES for index in range(len(self.qualities)))
        adaptive = zip(self.qualities, phases, strict=True)
        return (*fixed, *(f"adaptive:{quality:g}+{first}" for quality, first in adaptive))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyframePlan:
    """What to measure.

    Attributes:
        camvid: on CamVid's validation clip; its ways and intervals are timed, too.
        images: only the first so many of its images.
        rendered: on a rendered street; its ways and intervals are among CamVid's.
        rendered_seconds, rendered_size, rendered_fps: of that street.
        timed_size: of the frames timed.
        network_sizes: of the network's input; relative times on the curve are the first one's.
        frames: of a turn.
        rounds: how often everybody has a turn.
    """

    camvid: Settings = field(
        default_factory=lambda: Settings(
            intervals=tuple(range(1, 11)), qualities=(*(step / 40 for step in range(40)), 1.0)
        )
    )
    images: int | None = None
    rendered: Settings = field(
        default_factory=lambda: Settings(
            intervals=(1, 2, 4, 8), qualities=(*(step / 20 for step in range(20)), 1.0)
        )
    )
    rendered_seconds: float = 6.0
    rendered_size: Size = (360, 480)
    rendered_fps: int = 30
    timed_size: Size = (1024, 2048)
    network_sizes: tuple[SizeChoice, ...] = ("native", "auto")
    frames: int = 40
    rounds: int = 5


QUICK = KeyframePlan(
    camvid=Settings(intervals=(1, 4), qualities=(0.2, 0.6, 1.0)),
    images=16,
    rendered=Settings(intervals=(1, 4), qualities=(0.5,)),
    rendered_seconds=0.5,
    rendered_size=(96, 128),
    timed_size=(360, 480),
    network_sizes=("native",),
    frames=8,
    rounds=1,
)
"""To see that everything runs."""
