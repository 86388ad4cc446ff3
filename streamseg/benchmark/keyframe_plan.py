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


def retimed(images: int) -> list[int]:
    """Numbers of so many images of a drive, in an order in which it is driven as it was, then stands still, then goes
    twice as fast: evenly driven, all intervals between segmentation keyframes should be the same, and here not.
    """
    third, stop = images // 3, images // 4
    return [*range(third), *[third - 1] * stop, *range(third + 1, images, 2)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is scored on one clip: all ways with all intervals and qualities, but for qualities of `STILL`.

    Attributes:
        intervals: between segmentation keyframes, frames; at least two different ones.
        qualities: of adaptive, 0..1.
    """

    intervals: tuple[int, ...]
    qualities: tuple[float, ...]
    ways: tuple[Way, ...] = WAYS

    def keyframes(self, way: Way) -> tuple[str, ...]:
        """The words of `--keyframe`."""
        fixed = tuple(f"fixed:{interval}" for interval in self.intervals)
        if way == STILL:
            return fixed
        return (*fixed, *(f"adaptive:{quality:g}" for quality in self.qualities))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyframePlan:
    """What to measure.

    Attributes:
        camvid: on CamVid's validation clip; its ways and intervals are timed, too.
        images: only the first so many of its images.
        retimed: on the same images in another order (`retimed`); its ways and intervals are among CamVid's.
        rendered: on a rendered street; its ways and intervals are among CamVid's.
        rendered_seconds, rendered_size, rendered_fps: of that street.
        timed_size: of the frames timed.
        network_sizes: of the network's input; relative times on the curve are the first one's.
        frames: of a turn.
        rounds: how often everybody has a turn.
    """

    camvid: Settings = field(
        default_factory=lambda: Settings(
            intervals=tuple(range(1, 11)),
            qualities=(0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75),
        )
    )
    images: int | None = None
    retimed: Settings = field(
        default_factory=lambda: Settings(
            intervals=(2, 3, 4, 6, 8),
            qualities=(0.3, 0.4, 0.5, 0.55, 0.6, 0.65),
            ways=WAYS[1:],
        )
    )
    rendered: Settings = field(
        default_factory=lambda: Settings(intervals=(1, 2, 4, 8), qualities=(0.5, 0.65, 0.8))
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
    retimed=Settings(intervals=(1, 4), qualities=(0.5,), ways=WAYS[1:2]),
    rendered=Settings(intervals=(1, 4), qualities=(0.5,)),
    rendered_seconds=0.5,
    rendered_size=(96, 128),
    timed_size=(360, 480),
    network_sizes=("native",),
    frames=8,
    rounds=1,
)
"""To see that everything runs."""
