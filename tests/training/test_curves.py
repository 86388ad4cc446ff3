from pathlib import Path

import cv2
import numpy as np
import pytest

from streamseg.training.curves import plot_curves

BLUE = (180, 119, 31)
ORANGE = (14, 127, 255)
"""matplotlib's tab:blue and tab:orange, as BGR."""


def num_pixels(path: Path, color: tuple[int, int, int]) -> int:
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape == (540, 960, 3)
    return int((np.abs(picture.astype(int) - color).max(2) < 8).sum())


@pytest.mark.slow
def test_loss_and_score_are_drawn(tmp_path: Path) -> None:
    history = [{"epoch": epoch, "loss": 3.0 / (epoch + 1), "rate": 0.1} for epoch in range(6)]
    plot_curves(history, tmp_path / "unscored.png")
    history[2]["miou"] = 0.2
    history[5]["miou"] = 0.7
    plot_curves(history, tmp_path / "scored.png")
    for name in ("unscored.png", "scored.png"):
        assert num_pixels(tmp_path / name, BLUE) > 500
    assert num_pixels(tmp_path / "unscored.png", ORANGE) == 0
    assert num_pixels(tmp_path / "scored.png", ORANGE) > 300


def test_a_score_without_a_value_is_left_out(tmp_path: Path) -> None:
    plot_curves([{"epoch": 0, "loss": 1.0, "miou": None}], tmp_path / "curves.png")
    assert num_pixels(tmp_path / "curves.png", ORANGE) == 0


def test_the_process_keeps_no_figure(tmp_path: Path) -> None:
    from matplotlib import pyplot

    plot_curves([{"epoch": 0, "loss": 1.0}], tmp_path / "curves.png")
    assert pyplot.get_fignums() == []
