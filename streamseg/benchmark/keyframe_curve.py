"""What keyframe reuse costs and saves: records, and what is read off them. `to_json` is the JSON of scripts/keyframes.

    {"streamseg", "date", "command", "python", "load_average", "machine", "video", "model",
     "times": [ReuseTimes ...],  "costs": [MotionCost ...],  "clips": [Clip ...],  "rows": [Row ...],
     "adaptive_rows": [AdaptiveRow ...]}

Keys are the attributes below; those above are as of `records.Result`. Sizes are [height, width].
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, variance
from typing import Any

import numpy as np

from streamseg.benchmark.records import Ratio, Size

OFF = "off"


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """How ordinary frames come by their deep features.

    Attributes:
        motion: "codec", "flow" or "none".
        features: "propagate" or "interpolate".
    """

    motion: str
    features: str = "propagate"

    def __str__(self) -> str:
        return f"motion {self.motion}, {self.features}"


STILL = Way("none")
"""Nothing is moved: what others are compared with, and what is said of every frame in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseTime:
    """The network part with segmentation keyframes at a fixed interval, motion included.

    Attributes:
        keyframe_share: segmentation keyframes over frames: 1 / interval, or more where motion was not known.
        milliseconds: a frame's time, median over rounds.
        relative: to a frame's time of the whole network on every frame, within rounds; less is better.
    """

    way: Way
    interval: int
    keyframe_share: float
    milliseconds: float
    relative: Ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseTimes:
    """Times of the network part: decoded frames in memory, logits out, as many frames side by side as a stream has.

    Attributes:
        video_size, network_size: of the frames and of the network's input.
        rounds: in each, every frame in full and all intervals have their turn.
        frames: of a turn, about: whole intervals.
        every_frame_ms: a frame's time of the whole network on every frame.
    """

    video_size: Size
    network_size: Size
    backend: str
    precision: str
    cores: int
    rounds: int
    frames: int
    every_frame_ms: float
    times: tuple[ReuseTime, ...]

    def find(self, way: Way, interval: int) -> Ratio:
        """The relative time of an interval.

        Raises:
            KeyError: it was not measured.
        """
        for time in self.times:
            if (time.way, time.interval) == (way, interval):
                return time.relative
        raise KeyError(f"no time of {way} at interval {interval}")

    def line(self, way: Way) -> tuple[float, float]:
        """(time without, what one adds): relative time = first + second * share of segmentation keyframes.

        Fitted to the measured intervals by least squares. All ordinary frames take the same time, and so do all
        segmentation keyframes, whoever chose them.
        """
        times = [time for time in self.times if time.way == way]
        shares = [time.keyframe_share for time in times]
        slope, start = np.polyfit(shares, [time.relative.median for time in times], 1)
        return float(start), float(slope)

    def by_line(self, way: Way, share: float) -> float:
        """Relative time at a share (0..1) of segmentation keyframes."""
        start, slope = self.line(way)
        return start + slope * share


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionCost:
    """What knowing how frames move takes of a core: milliseconds a frame, medians over rounds.

    Attributes:
        recipe: how the video was encoded, see `labelled_video.RECIPES`.
        motion: "codec", "flow" or "none".
        decoding: with motion vectors asked for, less without; 0 where none are needed.
        stage: of the `motion` stage, looking out for scene cuts included.
        chaining: of putting a step and those before it together.
        total, least, greatest: of these three, and of all rounds.
        turning: on top, where features are interpolated: the way back, step by step.
    """

    recipe: str
    motion: str
    video_size: Size
    decoding: float
    stage: float
    chaining: float
    total: float
    least: float
    greatest: float
    turning: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One setting on one clip, as scored by `evaluate_video`.

    Attributes:
        keyframe: "off", "fixed:4", "adaptive:0.5+2".
        way: as asked; `STILL` with "off".
        runs: over the clip: one for every offset of a fixed interval.
        keyframe_share: of the scored frames, 0..1.
        miou, pixel_accuracy: all scored frames of all runs in one confusion matrix.
        miou_by_distance, miou_average, miou_minimum: by frames since the segmentation keyframe, their mean and the
            least of them; the last two null where not every frame was met at every distance.
        miou_by_run: of every run alone.
        temporal_consistency, vc8: see `streamseg.evaluation.consistency`.
    """

    keyframe: str
    way: Way
    runs: int
    keyframe_share: float
    miou: float
    pixel_accuracy: float
    miou_by_distance: dict[str, float]
    miou_by_run: list[float]
    miou_average: float | None
    miou_minimum: float | None
    temporal_consistency: float | None
    vc8: float | None

    @classmethod
    def of(cls, scores: dict[str, Any], way: Way) -> "Point":
        """From what `evaluate_video` returned."""
        values: dict[str, Any] = {
            field.name: scores.get(field.name) for field in dataclasses.fields(cls)
        }
        return cls(**values | {"way": way, "runs": scores["video"]["runs"]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip and all settings scored on it, on the same frames each.

    Attributes:
        name: what it shows.
        frames, scored_from: how many, and the index of the first that is scored.
        rate: frames a second.
        recipe: how it was encoded.
    """

    name: str
    frames: int
    scored_from: int
    size: Size
    network_size: Size
    rate: float | None
    recipe: str
    points: tuple[Point, ...]

    @property
    def every_frame(self) -> Point:
        """The whole network on every frame."""
        return next(point for point in self.points if point.keyframe == OFF)

    def fixed(self, way: Way) -> dict[int, Point]:
        """Points of fixed intervals."""
        return {
            int(point.keyframe.removeprefix("fixed:")): point
            for point in self.points
            if point.keyframe.startswith("fixed:") and point.way == way
        }

    def adaptive(self, way: Way) -> dict[float, Point]:
        """Points of adaptive qualities."""
        return {
            float(point.keyframe.removeprefix("adaptive:").split("+")[0]): point
            for point in self.points
            if point.keyframe.startswith("adaptive:") and point.way == way
        }

    @property
    def ways(self) -> tuple[Way, ...]:
        """In the order of measuring."""
        reused = (point.way for point in self.points if point.keyframe != OFF)
        return tuple(dict.fromkeys(reused))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Of several runs, and its standard error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fixed interval on one clip, compared.

    Attributes:
        relative_time: measured, to every frame in full.
        line_time: by the line through all intervals.
        lost_average, lost_minimum: mIoU of every frame in full less `miou_average` and `miou_minimum`.
        over_none_average, over_none_minimum: the same scores less those of `STILL`.
        adaptive_over: mIoU of adaptive at the same share of segmentation keyframes, and so at the same relative
            time (`adaptive_at`), less `Point.miou`; null beyond the ends of its curve. Its error is of both, by how
            much `Point.miou_by_run` scatters.
        consistency_gained, vc8_gained: less those of every frame in full.
    """

    clip: str
    way: Way
    interval: int
    relative_time: Ratio
    line_time: float
    point: Point
    lost_average: float
    lost_minimum: float
    over_none_average: float | None
    over_none_minimum: float | None
    adaptive_over: Estimate | None
    consistency_gained: float | None
    vc8_gained: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveRow:
    """An adaptive quality on one clip, compared. Attributes as of `Row`; `lost` is of `Point.miou`."""

    clip: str
    way: Way
    quality: float
    line_time: float
    point: Point
    lost: float
    consistency_gained: float | None
    vc8_gained: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Everything measured in one run; `times[0]` is what relative times are taken from."""

    streamseg: str
    date: str
    command: str
    python: str
    load_average: float | None
    machine: dict[str, Any]
    video: str
    model: str
    times: tuple[ReuseTimes, ...]
    costs: tuple[MotionCost, ...]
    clips: tuple[Clip, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Fixed intervals."""
        return tuple(row for clip in self.clips for row in fixed_rows(clip, self.times[0]))

    @property
    def adaptive_rows(self) -> tuple[AdaptiveRow, ...]:
        """Adaptive qualities."""
        return tuple(row for clip in self.clips for row in adaptive_rows(clip, self.times[0]))

    def to_json(self) -> dict[str, Any]:
        """Numbers, texts, lists and objects alone."""
        return dataclasses.asdict(self) | {
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "adaptive_rows": [dataclasses.asdict(row) for row in self.adaptive_rows],
        }


def fixed_rows(clip: Clip, times: ReuseTimes) -> Iterable[Row]:
    """All fixed intervals of a clip, way by way."""
    every = clip.every_frame
    none = clip.fixed(STILL)
    for way in clip.ways:
        for interval, point in clip.fixed(way).items():
            # A fixed interval met every distance.
            assert point.miou_average is not None and point.miou_minimum is not None
            still = none.get(interval)
            yield Row(
                clip=clip.name,
                way=way,
                interval=interval,
                relative_time=times.find(way, interval),
                line_time=times.by_line(way, point.keyframe_share),
                point=point,
                lost_average=every.miou - point.miou_average,
                lost_minimum=every.miou - point.miou_minimum,
                over_none_average=_difference(
                    point.miou_average, still.miou_average if still else None
                ),
                over_none_minimum=_difference(
                    point.miou_minimum, still.miou_minimum if still else None
                ),
                adaptive_over=adaptive_over(clip, way, point),
                consistency_gained=_difference(
                    point.temporal_consistency, every.temporal_consistency
                ),
                vc8_gained=_difference(point.vc8, every.vc8),
            )


def adaptive_rows(clip: Clip, times: ReuseTimes) -> Iterable[AdaptiveRow]:
    """All adaptive qualities of a clip, way by way."""
    every = clip.every_frame
    for way in clip.ways:
        for quality, point in clip.adaptive(way).items():
            yield AdaptiveRow(
                clip=clip.name,
                way=way,
                quality=quality,
                line_time=times.by_line(way, point.keyframe_share),
                point=point,
                lost=every.miou - point.miou,
                consistency_gained=_difference(
                    point.temporal_consistency, every.temporal_consistency
                ),
                vc8_gained=_difference(point.vc8, every.vc8),
            )


def adaptive_over(clip: Clip, way: Way, point: Point) -> Estimate | None:
    """See `Row`."""
    at = adaptive_at(clip, way, point.keyframe_share)
    runs = point.miou_by_run
    if at is None or len(runs) < 2:
        return None
    error = (at.error**2 + variance(runs) / len(runs)) ** 0.5
    return Estimate(value=at.value - point.miou, error=error)


def adaptive_at(clip: Clip, way: Way, share: float) -> Estimate | None:
    """mIoU of adaptive at a share of segmentation keyframes: between the two qualities with the nearest shares, on the
    straight line that joins them.

    Returns:
        None beyond the ends of adaptive's curve.
    """
    of_share: dict[float, list[Point]] = {}
    for point in clip.adaptive(way).values():
        of_share.setdefault(point.keyframe_share, []).append(point)
    shares = sorted(of_share)
    if len(shares) < 2 or not shares[0] <= share <= shares[-1]:
        return None
    found = [_together(of_share[one]) for one in shares]
    return Estimate(
        value=float(np.interp(share, shares, [one.value for one in found])),
        error=float(np.interp(share, shares, [one.error for one in found])),
    )


def _together(points: Iterable[Point]) -> Estimate:
    """Qualities that are met at the same share, their runs taken as one setting's."""
    points = list(points)
    runs = [miou for point in points for miou in point.miou_by_run]
    error = (variance(runs) / len(runs)) ** 0.5 if len(runs) > 1 else 0.0
    return Estimate(value=mean(point.miou for point in points), error=error)


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
