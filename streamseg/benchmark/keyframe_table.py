"""A keyframe curve as Markdown: what it comes to, then times, fixed intervals and adaptive qualities in full."""

from collections.abc import Iterable

from streamseg.benchmark.keyframe_curve import NO_MOTION, AdaptiveRow, Clip, Curve, ReuseTimes, Row
from streamseg.benchmark.table import markdown_table, ratio_text, size_text
from streamseg.evaluation.video import ADAPTIVE_RUNS

NAMED_INTERVALS = (4, 8)
"""Told of in the summary."""

MOVED = "codec"
"""The motion that the summary speaks of."""


def markdown(curve: Curve) -> str:
    """Summary and all tables, with machine, versions and command above."""
    parts = [_heading(curve), _what_it_means(curve)]
    for clip in curve.clips:
        rows = [row for row in curve.rows if row.clip == clip.name]
        adaptive = [row for row in curve.adaptive_rows if row.clip == clip.name]
        parts += [summary(clip, rows), _fixed(clip, rows), _adaptive(clip, adaptive)]
    parts += [_times(times) for times in curve.times]
    return "\n\n".join(parts)


def _heading(curve: Curve) -> str:
    machine = curve.machine
    units = ", ".join(machine["bf16"]) or "neither bf16 nor int8 units"
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    busy = "" if curve.load_average is None else f", load {curve.load_average:.1f} at the start"
    return (
        f"{machine['processor']}, {machine['cores']} cores ({units}){busy}, {curve.date}; `{curve.command}`; "
        f"model {curve.model}; on the CPU.\n\n"
        f"(streamseg {curve.streamseg}, Python {curve.python}, {packages}.)"
    )


def _what_it_means(curve: Curve) -> str:
    times = curve.times[0]
    return (
        "**Keyframe reuse: accuracy against time.** On segmentation keyframes the whole network runs; on the frames "
        "between them deep features are carried over, moved by the codec's motion vectors, by optical flow, or not "
        "at all (none).\n\n"
        f"Relative time: of the network part, motion included, at {size_text(times.network_size)} "
        f"{times.backend} {times.precision}, to that of the whole network on every frame. Of fixed intervals it is "
        "measured; of adaptive it is read from its share of segmentation keyframes, on the straight line through "
        "the measured intervals of the same motion. Accuracy: the stream's label maps against the truth, all "
        "settings of a clip on the same frames. Of fixed intervals every frame is met at every distance from its "
        "segmentation keyframe: average and minimum are over these distances. Adaptive "
        f"is run in {ADAPTIVE_RUNS} phases and scored over all of them; it is compared at the same share of "
        "segmentation keyframes, which is the same relative time, between its two nearest qualities and on mIoU over "
        "all scored frames and runs, of which no other average exists; one run: by how much single runs of the fixed "
        "interval scatter (standard deviation over its offsets), adaptive's about as much. TC is temporal "
        "consistency, VC8 video consistency over 8 frames; a network that always says the same scores 1 in both."
    )


def summary(clip: Clip, rows: Iterable[Row]) -> str:
    """Markdown list: what the intervals of `NAMED_INTERVALS` come to, and how motion and adaptive compare."""
    moved = {row.interval: row for row in rows if row.motion == MOVED}
    lines = [
        f"- interval {interval}, motion {MOVED}: relative time {ratio_text(row.relative_time)}; mIoU lost "
        f"{row.lost_average:.4f} on average over distances, {row.lost_minimum:.4f} at the worst; TC "
        f"{_signed(row.consistency_gained)}, VC8 {_signed(row.vc8_gained)} against every frame in full"
        for interval in NAMED_INTERVALS
        if (row := moved.get(interval)) is not None
    ]
    far = [row for interval, row in moved.items() if interval >= NAMED_INTERVALS[0]]
    gains = [row.over_none_average for row in far if row.over_none_average is not None]
    if gains:
        lines.append(
            f"- motion {MOVED} over none from interval {NAMED_INTERVALS[0]} on: mIoU "
            f"{_signed(min(gains))} to {_signed(max(gains))} on average over distances"
        )
    over = {n: row.adaptive_over for n, row in moved.items() if row.adaptive_over is not None}
    if over:
        below = [
            f"{interval} ({_signed(value)}, one run ±{moved[interval].scatter:.4f})"
            for interval, value in over.items()
            if value < 0
        ]
        lines.append(
            f"- adaptive, motion {MOVED}, against fixed intervals at the same relative time: mIoU "
            f"{_signed(min(over.values()))} to {_signed(max(over.values()))} over {len(over)} intervals; "
            f"below fixed at {', '.join(below) or 'none of them'}"
        )
    return f"**{_title(clip)}**\n\n" + "\n".join(lines or ["- nothing to sum up"])


def _fixed(clip: Clip, rows: Iterable[Row]) -> str:
    every = clip.every_frame
    head = ["motion", "interval", "relative time", "by the line", "mIoU", "average", "minimum"]
    head += [
        "lost, average",
        "lost, worst",
        "over none",
        "... at worst",
        "adaptive over it",
        "one run",
    ]
    head += ["TC", "VC8"]
    first = ["every frame in full", "", "1", "", _score(every.miou), *[""] * 8]
    cells = [[*first, _score(every.temporal_consistency), _score(every.vc8)]]
    cells += [
        [
            row.motion,
            str(row.interval),
            ratio_text(row.relative_time),
            f"{row.line_time:.2f}",
            _score(row.point.miou),
            _score(row.point.miou_average),
            _score(row.point.miou_minimum),
            _score(row.lost_average),
            _score(row.lost_minimum),
            "" if row.motion == NO_MOTION else _signed(row.over_none_average),
            "" if row.motion == NO_MOTION else _signed(row.over_none_minimum),
            _signed(row.adaptive_over),
            f"±{row.scatter:.4f}",
            _score(row.point.temporal_consistency),
            _score(row.point.vc8),
        ]
        for row in rows
    ]
    return f"Fixed intervals, {clip.name}:\n\n" + markdown_table(head, cells, right_from=1)


def _adaptive(clip: Clip, rows: Iterable[AdaptiveRow]) -> str:
    head = ["motion", "quality", "segmentation keyframes", "relative time by the line", "mIoU"]
    head += ["lost", "TC", "VC8"]
    cells = [
        [
            row.motion,
            f"{row.quality:g}",
            f"{100 * row.point.keyframe_share:.1f} %",
            f"{row.line_time:.2f}",
            _score(row.point.miou),
            _score(row.lost),
            _score(row.point.temporal_consistency),
            _score(row.point.vc8),
        ]
        for row in rows
    ]
    return f"Adaptive, {clip.name}:\n\n" + markdown_table(head, cells, right_from=1)


def _times(times: ReuseTimes) -> str:
    head = ["motion", "interval", "segmentation keyframes", "ms", "relative time", "by the line"]
    cells = [
        [
            time.motion,
            str(time.interval),
            f"{100 * time.keyframe_share:.1f} %",
            f"{time.milliseconds:.1f}",
            ratio_text(time.relative),
            f"{times.by_line(time.motion, time.keyframe_share):.2f}",
        ]
        for time in times.times
    ]
    return (
        f"**Times of the network part**, frames of {size_text(times.video_size)}, "
        f"network {size_text(times.network_size)} {times.backend} {times.precision}, {times.cores} cores; every frame "
        f"in full: "
        f"{times.every_frame_ms:.1f} ms. Decoded frames in memory, logits out; medians over {times.rounds} rounds "
        f"of about {times.frames} frames, ratios within rounds, least and greatest in brackets.\n\n"
        + markdown_table(head, cells, right_from=1)
    )


def _title(clip: Clip) -> str:
    rate = "" if clip.rate is None else f" at {clip.rate:g} frames/s"
    return (
        f"{clip.name}, {clip.frames} frames of {size_text(clip.size)}{rate} ({clip.recipe}), scored from frame "
        f"{clip.scored_from} on; network {size_text(clip.network_size)}"
    )


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"
