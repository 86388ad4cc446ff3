"""How much of keyframe reuse is measured."""

from dataclasses import dataclass, field

from streamseg.benchmark.records import Size
from streamseg.engine.engine import SizeChoice

MOTIONS = ("none", "codec", "flow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is scored on one clip: all motions with all intervals and qualities.

    Attributes:
        intervals: between segmentation keyframes, frames; at least two different ones.
        qualities: of adaptive, 0..1.
    """

    intervals: tuple[int, ...]
    qualities: tuple[float, ...]
    motions: tuple[str, ...] = MOTIONS

    @property
    def keyframes(self) -> tuple[str, ...]:
        """The words of `--keyframe`."""
        fixed = (f"fixed:{interval}" for interval in self.intervals)
        return (*fixed, *(f"adaptive:{quality:g}" for quality in self.qualities))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyframePlan:
    """What to measure.

    Attributes:
        camvid: on CamVid's validation clip; its motions and intervals are timed, too.
        images: only the first so many of its images.
        rendered: on a rendered street; its intervals are among CamVid's.
        rendered_seconds, rendered_size, rendered_fps: of that street.
        timed_size: of the frames timed.
        network_sizes: of the network's input; relative times on the curve are the first one's.
        frames: of a turn.
        rounds: how often everybody has a turn.
    """

    camvid: Settings = field(
        default_factory=lambda: Settings(
            intervals=tuple(range(1, 11)), qualities=(*(step / 10 for step in range(8)), 1.0)
        )
    )
    images: int | None = None
    rendered: Settings = field(
        default_factory=lambda: Settings(
            intervals=(1, 2, 4, 8), qualities=(0.0, 0.25, 0.5, 0.75, 1.0)
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
