"""Frames a second, end to end, as bars: one panel for each size of video."""

from pathlib import Path
from typing import Any

from streamseg.benchmark.records import EndToEnd, Program, Result, Size
from streamseg.errors import SinkError

COLORS = {"loop": "#9aa0a6", "supervision": "#e8a33d", "streamseg": "#2f7d4f"}


def draw(result: Result, path: Path) -> None:
    """Write a PNG (or whatever the suffix says). matplotlib must be there.

    Raises:
        SinkError: the file cannot be written.
        ValueError: nothing was measured end to end.
    """
    if not result.end_to_end:
        raise ValueError("expected end_to_end among the sections of a chart, got a result without")
    # No pyplot: it would look for a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [len(one.programs) for one in result.end_to_end]
    figure = Figure(figsize=(9, 1.0 + 0.34 * sum(heights) + 0.75 * len(heights)), dpi=120)
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(
        len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axes, one in zip(panels[:, 0], result.end_to_end, strict=True):
        _panel(axes, one)
    panels[-1, 0].set_xlabel("frames a second, video file to overlaid video file")
    machine = result.machine
    figure.suptitle(
        f"{result.model} on {machine['processor']}, {machine['cores']} cores, {result.date}",
        fontsize=11,
    )
    figure.tight_layout()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise SinkError(f"cannot write the chart {path}: {error}") from error


def _panel(axes: Any, one: EndToEnd) -> None:
    speeds = [program.frames_per_second for program in one.programs]
    bars = axes.barh(
        [_name(program) for program in one.programs],
        speeds,
        color=[COLORS[program.kind] for program in one.programs],
    )
    axes.bar_label(
        bars, [_label(one, program) for program in one.programs], padding=4, fontsize=8.5
    )
    axes.invert_yaxis()
    axes.set_xlim(0, 1.2 * max(speeds))
    axes.set_title(
        f"{_size(one.video_size)} video (in brackets: times the first)", fontsize=10, loc="left"
    )
    axes.tick_params(labelsize=8.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _name(program: Program) -> str:
    reuse = "" if program.keyframe == "off" else f", keyframe {program.keyframe}"
    return f"{program.kind}, {program.network.split(',')[0]}, network {_size(program.network_size)}{reuse}"


def _label(one: EndToEnd, program: Program) -> str:
    """The speed; of ours also how many times that of the first loop."""
    loop = next((other.name for other in one.programs if other.kind == "loop"), None)
    times = [ratio for ratio in one.ratios if (ratio.of, ratio.to) == (program.name, loop)]
    speed = f"{program.frames_per_second:.1f}"
    return f"{speed} ({times[0].median:.1f}x)" if times else speed


def _size(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
