"""How much a benchmark measures."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from streamseg.benchmark.records import Size
from streamseg.engine.engine import SizeChoice

Section = Literal["accuracy", "network", "end_to_end", "stages", "paint", "latest"]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolutions:
    """The work that the machine's ceiling is measured on: `layers` 3x3 convolutions of equal width in a row."""

    channels: int = 256
    size: Size = (128, 256)
    layers: int = 3

    @property
    def gflop(self) -> float:
        """1e9 multiplications and additions in all."""
        height, width = self.size
        return 2e-9 * self.layers * self.channels**2 * 9 * height * width


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. The defaults take some eight minutes on two cores, `QUICK` less than one.

    Attributes:
        sections: which parts.
        sizes: of the videos. The largest alone is taken for stages and painting.
        network_sizes: what `streamseg run --size` is given.
        keyframes: what `streamseg run --keyframe` is given, beside "off", at the largest size of video.
        rounds: how often every contestant has its turn.
        frames: of streamseg's own, end to end, in a round.
        stage_frames: of these, how many every stage alone is given; all are held in memory.
        baseline_frames: of the others, which are slower; a first one is not timed.
        timing_seconds: a timing in memory is repeated for about as long.
        compile: also time `torch.compile`, at the largest size alone: it takes most of a minute for each.
        ceiling: what the machine's ceiling is measured on.
        images: most images scored for accuracy; None for the whole split.
        latest_size, latest_fps: of the real-time source.
        latest_results: how many to ask it for.
        max_age_ms: what a control loop would still use.

    Raises:
        ValueError: nothing to measure.
    """

    sections: tuple[Section, ...] = SECTIONS
    sizes: tuple[Size, ...] = ((360, 480), (720, 960), (1024, 2048))
    network_sizes: tuple[SizeChoice, ...] = ("native", "auto")
    keyframes: tuple[str, ...] = ("adaptive",)
    rounds: int = 4
    frames: int = 60
    stage_frames: int = 40
    baseline_frames: int = 4
    timing_seconds: float = 0.15
    compile: bool = True
    ceiling: Convolutions = field(default_factory=Convolutions)
    images: int | None = None
    latest_size: Size = (720, 960)
    latest_fps: int = 30
    latest_results: int = 900
    max_age_ms: float = 100.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.sections if name not in SECTIONS]
        if unknown or not self.sections:
            got = ", ".join(map(repr, unknown)) or "nothing"
            raise ValueError(f"expected sections from {', '.join(SECTIONS)}, got {got}")
        if not self.sizes:
            raise ValueError("expected at least one size of video, got none")
        least = {"rounds": 1, "frames": 2, "baseline_frames": 2, "latest_results": 2}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ValueError(
                    f"expected {name} of at least {smallest}, got {getattr(self, name)}"
                )

    @property
    def largest(self) -> Size:
        """The size that stages and painting are measured at."""
        return max(self.sizes, key=lambda size: size[0] * size[1])


QUICK = Plan(
    sizes=((720, 960),),
    rounds=1,
    frames=20,
    stage_frames=10,
    baseline_frames=2,
    timing_seconds=0.05,
    compile=False,
    images=5,
    latest_results=60,
)
"""To see that everything runs. One round cannot tell a difference from noise."""
