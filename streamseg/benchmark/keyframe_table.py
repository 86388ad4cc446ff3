"""A keyframe curve as Markdown: what it comes to, then times, fixed intervals and adaptive qualities in full."""

from collections.abc import Iterable, Sequence
from statistics import mean

from streamseg.benchmark.keyframe_curve import (
    STILL,
    AdaptiveRow,
    Clip,
    Curve,
    Estimate,
    MotionCost,
    ReuseTimes,
    Row,
    Way,
)
from streamseg.benchmark.table import (
    machine_text,
    markdown_table,
    ratio_text,
    size_text,
    versions_text,
)
from streamseg.evaluation.video import ADAPTIVE_RUNS

RECIPE_TEXT = {"camera": "as cameras encode", "default": "with B-frames"}

NAMED_INTERVALS = (4, 8)
"""Told of in the summary."""

TOLD = (Way("codec", "interpolate"), Way("codec"))
"""The ways that the summary speaks of."""


def markdown(curve: Curve) -> str:
    """Summary and all tables, with machine, versions and command above."""
    parts = [_heading(curve), _what_it_means(curve)]
    for clip in curve.clips:
        rows = [row for row in curve.rows if row.clip == clip.name]
        adaptive = [row for row in curve.adaptive_rows if row.clip == clip.name]
        parts += [summary(clip, rows), _fixed(clip, rows), _adaptive(clip, adaptive)]
    parts += [_times(times) for times in curve.times]
    parts.append(_costs(curve.costs))
    return "\n\n".join(parts)


def _heading(curve: Curve) -> str:
    return (
        f"{machine_text(curve.machine, curve.load_average)}, {curve.date}; `{curve.command}`; "
        f"model {curve.model}; on the CPU.\n\n"
        f"{versions_text(curve.streamseg, curve.python, curve.machine)}"
    )


def _what_it_means(curve: Curve) -> str:
    times = curve.times[0]
    return (
        "**Keyframe reuse: accuracy against time.** On segmentation keyframes the whole network runs; on the frames "
        "between them deep features are carried over, moved by the codec's motion vectors, by optical flow, or not "
        "at all (none); propagated from the segmentation keyframe before them, or interpolated between those around "
        "them.\n\n"
        f"Relative time: of the network part, motion included, at {size_text(times.network_size)} "
        f"{times.backend} {times.precision}, to that of the whole network on every frame. Of fixed intervals it is "
        "measured; of adaptive it is read from its share of segmentation keyframes, on the straight line through "
        "the measured intervals of the same way. Accuracy: the stream's label maps against the truth, all "
        "settings of a clip on the same frames. Of fixed intervals every frame is met at every distance from its "
        "segmentation keyframe: average and minimum are over these distances. Adaptive "
        f"is run in {ADAPTIVE_RUNS} phases for each quality; it is compared at the same share of segmentation "
        "keyframes, which is the same relative time, on the straight line between the two qualities next to it; with "
        "the standard error of both, for it is chance which frames are segmentation keyframes. TC is temporal "
        "consistency, VC8 video consistency over 8 frames; a network that always says the same scores 1 in both."
    )


def summary(clip: Clip, rows: Iterable[Row]) -> str:
    """Markdown list: what the intervals of `NAMED_INTERVALS` come to, and how motion and adaptive compare."""
    rows = list(rows)
    lines = [line for way in TOLD for line in _of_one_way(way, rows)]
    return f"**{_title(clip)}**\n\n" + "\n".join(lines or ["- nothing to sum up"])


def _of_one_way(way: Way, rows: Iterable[Row]) -> list[str]:
    moved = {row.interval: row for row in rows if row.way == way}
    lines = [
        f"- interval {interval}, {way}: relative time {ratio_text(row.relative_time)}; mIoU lost "
        f"{row.lost_average:.4f} on average over distances, {row.lost_minimum:.4f} at the worst; TC "
        f"{_signed(row.consistency_gained)}, VC8 {_signed(row.vc8_gained)} against every frame in full"
        for interval in NAMED_INTERVALS
        if (row := moved.get(interval)) is not None
    ]
    far = [row for interval, row in moved.items() if interval >= NAMED_INTERVALS[0]]
    gains = [row.over_none_average for row in far if row.over_none_average is not None]
    if gains:
        lines.append(
            f"- {way}, over no motion, from interval {NAMED_INTERVALS[0]} on: mIoU "
            f"{_signed(min(gains))} to {_signed(max(gains))} on average over distances"
        )
    over = {n: row.adaptive_over for n, row in moved.items() if row.adaptive_over is not None}
    if over:
        below = [str(interval) for interval, one in over.items() if one.value < -2 * one.error]
        values = [one.value for one in over.values()]
        lines.append(
            f"- adaptive, {way}, against fixed intervals at the same relative time: mIoU "
            f"{_signed(min(values))} to {_signed(max(values))} at {len(over)} intervals, {_signed(mean(values))} on "
            f"average; below fixed by more than two standard errors at {', '.join(below) or 'none of them'}"
        )
    return lines


def _fixed(clip: Clip, rows: Iterable[Row]) -> str:
    every = clip.every_frame
    head = ["motion", "features", "interval", "relative time", "by the line"]
    head += ["mIoU", "average", "minimum"]
    head += [
        "lost, average",
        "lost, worst",
        "over none",
        "... at worst",
        "adaptive over it",
    ]
    head += ["TC", "VC8"]
    first = ["every frame in full", "", "", "1", "", _score(every.miou), *[""] * 7]
    cells = [[*first, _score(every.temporal_consistency), _score(every.vc8)]]
    cells += [
        [
            row.way.motion,
            row.way.features,
            str(row.interval),
            ratio_text(row.relative_time),
            f"{row.line_time:.2f}",
            _score(row.point.miou),
            _score(row.point.miou_average),
            _score(row.point.miou_minimum),
            _score(row.lost_average),
            _score(row.lost_minimum),
            "" if row.way == STILL else _signed(row.over_none_average),
            "" if row.way == STILL else _signed(row.over_none_minimum),
            _estimate(row.adaptive_over),
            _score(row.point.temporal_consistency),
            _score(row.point.vc8),
        ]
        for row in rows
    ]
    return f"Fixed intervals, {clip.name}:\n\n" + markdown_table(head, cells, right_from=2)


def _adaptive(clip: Clip, rows: Iterable[AdaptiveRow]) -> str:
    head = ["motion", "features", "quality", "segmentation keyframes"]
    head += ["relative time by the line", "mIoU", "lost", "TC", "VC8"]
    cells = [
        [
            row.way.motion,
            row.way.features,
            f"{row.quality:g}",
            f"{100 * row.point.keyframe_share:.1f} %",
            f"{row.line_time:.2f}",
            _score(row.point.miou),
            _score(row.lost),
            _score(row.point.temporal_consistency),
            _score(row.point.vc8),
        ]
        for row in rows
        if (10 * row.quality).is_integer()
    ]
    return f"Adaptive, {clip.name}:\n\n" + markdown_table(head, cells, right_from=2)


def _times(times: ReuseTimes) -> str:
    head = [
        "motion",
        "features",
        "interval",
        "segmentation keyframes",
        "ms",
        "relative time",
        "by the line",
    ]
    cells = [
        [
            time.way.motion,
            time.way.features,
            str(time.interval),
            f"{100 * time.keyframe_share:.1f} %",
            f"{time.milliseconds:.1f}",
            ratio_text(time.relative),
            f"{times.by_line(time.way, time.keyframe_share):.2f}",
        ]
        for time in times.times
    ]
    return (
        f"**Times of the network part**, frames of {size_text(times.video_size)}, "
        f"network {size_text(times.network_size)} {times.backend} {times.precision}, {times.cores} cores; every frame "
        f"in full: "
        f"{times.every_frame_ms:.1f} ms. Decoded frames in memory, logits out; medians over {times.rounds} rounds "
        f"of about {times.frames} frames, ratios within rounds, least and greatest in brackets.\n\n"
        + markdown_table(head, cells, right_from=2)
    )


def _costs(costs: Sequence[MotionCost]) -> str:
    head = ["video", "motion", "decoding", "stage", "chaining", "in all", "turning"]
    cells = [
        [
            RECIPE_TEXT[cost.recipe],
            cost.motion,
            *(f"{value:.2f}" for value in (cost.decoding, cost.stage, cost.chaining)),
            f"{cost.total:.2f} ({cost.least:.2f}..{cost.greatest:.2f})",
            f"{cost.turning:.2f}",
        ]
        for cost in costs
    ]
    return (
        "**What motion takes of one core**, milliseconds a frame of "
        f"{size_text(costs[0].video_size)}: decoding with motion vectors less without; the motion stage, scene cuts "
        "included; putting steps together; and beside the sum of these, turning steps, where features are "
        "interpolated. Medians over rounds, the sum's least and greatest round in brackets.\n\n"
        + markdown_table(head, cells, right_from=2)
    )


def _title(clip: Clip) -> str:
    rate = "" if clip.rate is None else f" at {clip.rate:g} frames/s"
    return (
        f"{clip.name}, {clip.frames} frames of {size_text(clip.size)}{rate} ({clip.recipe}), scored from frame "
        f"{clip.scored_from} on; network {size_text(clip.network_size)}"
    )


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _estimate(found: Estimate | None) -> str:
    return "" if found is None else f"{found.value:+.4f} ±{found.error:.4f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"
