"""A keyframe curve drawn: mIoU against relative time, a panel for each clip, and below it its top enlarged."""

from pathlib import Path
from typing import Any

from streamseg.benchmark.keyframe_curve import STILL, Clip, Curve, Way
from streamseg.errors import SinkError

COLORS = {
    STILL: "#9aa0a6",
    Way("codec"): "#2f7d4f",
    Way("flow"): "#3c6fb0",
    Way("codec", "interpolate"): "#d9822b",
    Way("flow", "interpolate"): "#a05195",
}

ZOOM = 0.04
"""mIoU below every frame in full that the lower panels show."""


def draw(curve: Curve, path: Path) -> None:
    """Write a PNG (or whatever the suffix says). matplotlib must be there.

    Raises:
        SinkError: the file cannot be written.
    """
    # No pyplot: it would look for a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5 * len(curve.clips), 9.5), dpi=120)
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(2, len(curve.clips), squeeze=False)
    for column, clip in enumerate(curve.clips):
        for axes in panels[:, column]:
            _panel(axes, curve, clip)
        best = clip.every_frame.miou
        panels[1, column].set_ylim(best - ZOOM, best + ZOOM / 4)
        panels[1, column].set_title("... the top of it", fontsize=10, loc="left")
        panels[1, column].set_xlabel(
            "time of the network part, motion included, relative to every frame in full"
        )
    for axes in panels[:, 0]:
        axes.set_ylabel("mIoU")
    panels[0, 0].legend(fontsize=8, loc="lower right")
    machine = curve.machine
    figure.suptitle(
        f"{curve.model}: keyframe reuse on {machine['processor']}, {machine['cores']} cores, {curve.date}",
        fontsize=11,
    )
    figure.tight_layout()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise SinkError(f"cannot write the chart {path}: {error}") from error


def _panel(axes: Any, curve: Curve, clip: Clip) -> None:
    for way in clip.ways:
        color, name = COLORS[way], f"{way.motion}, {way.features}"
        rows = [row for row in curve.rows if (row.clip, row.way) == (clip.name, way)]
        times = [row.relative_time.median for row in rows]
        average = [row.point.miou_average for row in rows]
        axes.plot(times, average, "o-", color=color, ms=4, label=f"{name}, fixed: average")
        minimum = [row.point.miou_minimum for row in rows]
        axes.plot(times, minimum, ":", color=color, lw=1, label=f"{name}, fixed: worst distance")
        for row in rows:
            axes.annotate(
                str(row.interval),
                (row.relative_time.median, row.point.miou_average),
                xytext=(3, -10),
                textcoords="offset points",
                fontsize=7,
                color=color,
                clip_on=True,
            )
        adaptive = [row for row in curve.adaptive_rows if (row.clip, row.way) == (clip.name, way)]
        if adaptive:
            axes.plot(
                [row.line_time for row in adaptive],
                [row.point.miou for row in adaptive],
                "x",
                color=color,
                ms=6,
                label=f"{name}, adaptive",
            )
    axes.plot([1], [clip.every_frame.miou], "*", color="black", ms=10, label="every frame in full")
    axes.set_title(f"{clip.name} (at the points: interval)", fontsize=10, loc="left")
    axes.tick_params(labelsize=8.5)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
