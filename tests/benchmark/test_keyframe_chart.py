from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from benchmark.keyframe_results import CLIP, CURVE

from streamseg.benchmark.keyframe_chart import draw
from streamseg.errors import SinkError

pytest.importorskip("matplotlib")


def test_a_panel_for_every_clip(tmp_path: Path) -> None:
    draw(CURVE, tmp_path / "one.png")
    draw(replace(CURVE, clips=(CLIP, CLIP)), tmp_path / "two.png")
    one, two = (cv2.imread(str(tmp_path / name)) for name in ("one.png", "two.png"))
    assert one is not None
    assert two is not None
    assert two.shape[0] == one.shape[0]
    assert two.shape[1] == 2 * one.shape[1]


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot write the chart"):
        draw(CURVE, tmp_path / "nowhere" / "c.png")
