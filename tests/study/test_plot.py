from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from streamseg.errors import SinkError
from streamseg.study.plot import Line, Panel, draw_lines


def panel(*values: float | None) -> Panel:
    line = Line(name="sub4", x=tuple(float(i) for i in range(len(values))), y=values)
    return Panel(x_label="x", y_label="y", lines=(line,), zero=True)


def test_panels_stand_side_by_side_and_gaps_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plot.png"
    draw_lines(path, panel(1.0, None, 2.0), panel(3.0))
    assert cv2.imread(str(path)).shape == (420, 1200, 3)


def test_points_of_no_order_are_not_joined(tmp_path: Path) -> None:
    """A line between two points far apart crosses the middle, where without it is nothing but the paper's grid."""
    inked = {}
    for joined in (True, False):
        one = replace(panel(1.0, 2.0), joined=joined)
        draw_lines(tmp_path / "plot.png", one)
        picture = cv2.imread(str(tmp_path / "plot.png"))
        blue = picture[..., 0].astype(int) - picture[..., 2] > 60
        inked[joined] = int(blue.sum())
    assert inked[True] > 2 * inked[False] > 0


def test_a_plot_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plot.png").mkdir()
    with pytest.raises(SinkError, match="cannot write the plot"):
        draw_lines(tmp_path / "plot.png", panel(1.0))
