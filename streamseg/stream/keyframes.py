"""When the whole network runs: `--keyframe`. Comes in: how a picture moved, and how far features were carried.

Goes out: why they are to be made anew, if they are. Plain decisions: no threads, no pixels.
"""

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from streamseg.frames import Step

Reason = Literal["first", "cut", "unknown", "interval", "change"]
"""Why a frame is a segmentation keyframe: it is the stream's first; another scene begins; how it moved is not known, or
a guess (codec keyframes have no vectors); its turn has come; carried features are thought to be too wrong."""

WHOLE_NUMBER = "[1-9][0-9]{0,5}"

MOTIONS = ("auto", "codec", "flow", "none")
FEATURES = ("auto", "propagate", "interpolate")

DEFAULT_QUALITY = 0.5
"""Of `adaptive`: on CamVid's clip, 15 frames a second, every fourth frame or so, and every seventh interpolated."""

CHANGE_PER_RESIDUAL = 0.1
"""Share of labels that go wrong with a step whose cells differ from what motion made of the picture before by as much
as they differ from each other. Fitted to CamVid's clip, a motorway and a rendered street, carried up to 11 frames."""

LEAST_CONTRAST = 5.0
"""Added to every picture's contrast: in fog and darkness noise is no change."""

PACE_FRAMES = 16
"""Frames that `Pace` looks back, about."""

SUDDEN = 2.0
"""How many times as much as usual is sudden."""

CHANGE_AT_WORST = 0.06
"""Where `adaptive:0` refreshes. The higher quality is, the earlier; `adaptive:1` carries nothing."""

EVEN = 0.25
"""Share of the allowed change by which `adaptive` refreshes later or earlier, to keep its intervals even: of as many
segmentation keyframes unevenly spaced ones cost more."""

MOST_FRAMES = 30
"""`adaptive` carries features no further, however little seems to change: what is overlooked must not last."""

MOST_FRAMES_BETWEEN = 12
"""The same, where features are interpolated: the next segmentation keyframe must come, and its deep part be done,
before the frames that wait for it are too many."""


@dataclass(slots=True)
class Carry:
    """How far features have been carried.

    Attributes:
        age: frames since their own.
        change: how wrong they are thought to be: share of labels, 0..1.
    """

    age: int = 0
    change: float = 0.0

    def advance(self, change: float) -> None:
        """One frame on, over which so many labels go wrong."""
        self.age += 1
        self.change = min(1.0, self.change + change)


class Pace:
    """How many labels go wrong from frame to frame, share: smoothed, but for what comes suddenly.

    What a single step leaves unexplained says little of what it costs: by itself it makes intervals uneven, and uneven
    intervals cost more than even ones. How lively a scene is, over half a second or so, says more.
    """

    def __init__(self) -> None:
        self._mean: float | None = None

    def after(self, step: Step) -> float:
        """With one step more, which must be known."""
        now = CHANGE_PER_RESIDUAL * step.residual / (step.contrast + LEAST_CONTRAST)
        before = now if self._mean is None else self._mean
        self._mean = before + (now - before) / PACE_FRAMES
        return now if now > SUDDEN * before else self._mean

    def forget(self) -> None:
        """Another scene has another pace."""
        self._mean = None


class Schedule(Protocol):
    """Says when features have been carried far enough. Of one stream; may count."""

    def due(self, carry: Carry) -> Reason | None:
        """Why a frame that features reach by `carry` should have its own; None if it need not."""
        ...


class Fixed:
    """Every `interval` frames; the first interval can be another, so that a frame can be met at any distance."""

    def __init__(self, interval: int, first: int | None = None) -> None:
        self._interval = interval
        self._due = interval if first is None else first

    def due(self, carry: Carry) -> Reason | None:
        """See `Schedule`."""
        if carry.age < self._due:
            return None
        self._due = self._interval
        return "interval"


class Adaptive:
    """Where the estimated change reaches what `quality` (0..1) allows, and after `MOST_FRAMES` at the latest; once more
    after the stream's first `first` frames, so that it can be met in another phase.

    While the last interval fits by and large (`EVEN`) it is kept: a steady drive gets the same interval throughout.
    With interpolation twice the change is allowed: from the nearest segmentation keyframe it is half of it.
    """

    def __init__(
        self, quality: float, first: int | None = None, *, interpolate: bool = False
    ) -> None:
        self._most = CHANGE_AT_WORST * (1 - quality) ** 2 * (2 if interpolate else 1)
        self._frames = MOST_FRAMES_BETWEEN if interpolate else MOST_FRAMES
        self._until_first = first or 0
        self._interval: int | None = None

    def due(self, carry: Carry) -> Reason | None:
        """See `Schedule`."""
        self._until_first -= 1
        changed = carry.change >= self._allowed(carry.age)
        if not changed and carry.age < self._frames and self._until_first != 0:
            return None
        if changed:
            self._interval = carry.age
        return "change" if changed else "interval"

    def _allowed(self, age: int) -> float:
        if self._interval is None:
            return self._most
        return self._most * (1 + EVEN if age < self._interval else 1 - EVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyframeReuse:
    """What a user asked for.

    Attributes:
        keyframe: "off", "fixed:N", "adaptive" or "adaptive:Q"; with "+FIRST" behind it the frame FIRST
            frames after the first is one, too, which is for measuring: a stream is met in another phase.
        motion: "auto", "codec", "flow" or "none".
        features: "propagate" those of the segmentation keyframe before a frame, "interpolate" between those around
            it, or "auto": whichever the policy allows.

    Raises:
        ValueError: something else.
    """

    keyframe: str = "off"
    motion: str = "auto"
    features: str = "auto"

    def __post_init__(self) -> None:
        self.schedule()
        for name, known in (("motion", MOTIONS), ("features", FEATURES)):
            if (given := getattr(self, name)) not in known:
                raise ValueError(
                    f"expected {name} {', '.join(known[:-1])} or {known[-1]}, got {given!r}"
                )

    def interpolates(self, *, waits: bool) -> bool:
        """Whether frames take the features of the next segmentation keyframe, too.

        Args:
            waits: the stream's policy lets them: "every".

        Raises:
            ValueError: it was asked for and may not be.
        """
        if self.on and self.features == "interpolate" and not waits:
            raise ValueError(
                "expected policy every with features interpolate, which wait for the next segmentation keyframe; "
                "with policy latest they can only propagate"
            )
        return self.features != "propagate" and waits

    @property
    def on(self) -> bool:
        """Whether anything is carried over."""
        return self.keyframe != "off"

    @property
    def wants_vectors(self) -> bool:
        """Whether the decoder should give its motion vectors, if it can."""
        return self.on and self.motion in ("auto", "codec")

    def schedule(self, *, interpolate: bool = False) -> Schedule | None:
        """A new one; None for "off".

        Args:
            interpolate: see `interpolates`.
        """
        if self.keyframe == "off":
            return None
        word, plus, number = self.keyframe.partition("+")
        first = int(number) if re.fullmatch(WHOLE_NUMBER, number) else 0
        if first or not plus:
            if match := re.fullmatch(f"fixed:({WHOLE_NUMBER})", word):
                return Fixed(int(match[1]), first or None)
            if match := re.fullmatch(r"adaptive(?::([0-9]*\.?[0-9]+))?", word):
                quality = float(match[1] or DEFAULT_QUALITY)
                if quality <= 1:
                    return Adaptive(quality, first or None, interpolate=interpolate)
        raise ValueError(
            f"expected keyframe off, fixed:N, adaptive or adaptive:Q (N from 1, Q from 0 to 1), or either with "
            f"+FIRST (from 1), got {self.keyframe!r}"
        )
