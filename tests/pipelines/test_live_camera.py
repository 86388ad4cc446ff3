"""The live overlay, on a screen that only counts."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import fake_segmenter
from numpy.typing import NDArray
from streamseg.pipelines import live_camera

import streamseg


class CountingPage:
    """Stands for `Page`; the viewer leaves after `leaves_after` pictures."""

    leaves_after = 1000
    url = "http://127.0.0.1:0/"

    def __init__(self, report: Callable[[], dict[str, Any]], *, port: int, host: str) -> None:
        self.shown = 0
        CountingPage.last = self

    def show(self, picture: NDArray[np.uint8]) -> bool:
        assert picture.shape == (48, 64, 3)
        self.shown += 1
        return self.shown < self.leaves_after

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr(streamseg, "load_from_arguments", lambda args: fake_segmenter())
    monkeypatch.setattr(streamseg, "Page", CountingPage)

    def run(*words: object) -> int:
        parser = argparse.ArgumentParser()
        live_camera.add_arguments(parser)
        return live_camera.run(parser.parse_args([*map(str, words), "--page"]))

    return run


def test_what_is_shown_and_what_is_dropped_is_told(
    live: Callable[..., int], clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert live(clip, "--max-age", "60000") == 0
    out = capsys.readouterr().out
    assert CountingPage.last.closed
    assert out.startswith(f"{CountingPage.last.shown} frames shown, ")
    assert "dropped (" in out
    assert " 0 stale), " in out


def test_nothing_too_old_is_shown(
    live: Callable[..., int], clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert live(clip, "--max-age", "0.000001") == 0
    assert CountingPage.last.shown == 0
    assert capsys.readouterr().out.startswith("0 frames shown, 10 dropped (")


def test_a_viewer_who_leaves_ends_the_stream(
    live: Callable[..., int], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CountingPage, "leaves_after", 2)
    assert live(clip) == 0
    assert CountingPage.last.shown <= 2
