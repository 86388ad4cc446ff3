"""Plots of studies: lines in panels side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamseg.errors import SinkError

COLORS = ("#3c6fb0", "#d9822b", "#2f7d4f", "#a05195", "#9aa0a6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A curve; None in `y` leaves a gap. A line's color goes by its name's first appearance in a picture."""

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines over one pair of axes.

    Attributes:
        zero: whether to mark y = 0.
        joined: whether a line joins its points; not where their order means nothing.
    """

    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    zero: bool = False
    joined: bool = True


def draw_lines(path: Path, *panels: Panel) -> None:
    """Write a PNG of all panels. matplotlib must be there.

    Raises:
        SinkError: the file cannot be written.
    """
    # No pyplot: it would look for a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0 * len(panels), 4.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    found: Any = figure.subplots(1, len(panels), squeeze=False)
    for axes, panel in zip(found[0], panels, strict=True):
        _panel(axes, panel, {name: COLORS[i % len(COLORS)] for i, name in enumerate(names)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise SinkError(f"cannot write the plot {path}: {error}") from error


def _panel(axes: Any, panel: Panel, colors: dict[str, str]) -> None:
    if panel.zero:
        axes.axhline(0, color="black", lw=0.8)
    how = "o-" if panel.joined else "o"
    for line in panel.lines:
        values = [float("nan") if value is None else value for value in line.y]
        axes.plot(line.x, values, how, color=colors[line.name], ms=3, lw=1.2, label=line.name)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
