from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from benchmark.results import END_TO_END, RESULT

from streamseg.benchmark.chart import draw
from streamseg.errors import SinkError

pytest.importorskip("matplotlib")


def test_a_panel_for_every_size(tmp_path: Path) -> None:
    draw(RESULT, tmp_path / "one.png")
    draw(replace(RESULT, end_to_end=(END_TO_END, END_TO_END)), tmp_path / "two.png")
    one, two = (cv2.imread(str(tmp_path / name)) for name in ("one.png", "two.png"))
    assert one is not None
    assert two is not None
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] > one.shape[0]


def test_nothing_to_draw_and_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected end_to_end"):
        draw(replace(RESULT, end_to_end=()), tmp_path / "c.png")
    with pytest.raises(SinkError, match="cannot write the chart"):
        draw(RESULT, tmp_path / "nowhere" / "c.png")
    with pytest.raises(SinkError, match="cannot write the chart"):
        draw(RESULT, tmp_path / "c.unknown")
