"""The bar over the parts of one picture."""

from typing import Any

import pytest
import tqdm

from streamseg.cli.progress import SHOWN_AFTER_SECONDS, PictureBar


class Bar:
    """tqdm, remembering what it showed."""

    made: list["Bar"]

    def __init__(self, **options: Any) -> None:
        self.options, self.n, self.closed = options, 0, 0
        Bar.made.append(self)

    def update(self, step: int) -> None:
        assert not self.closed
        self.n += step

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _bars(monkeypatch: pytest.MonkeyPatch) -> None:
    Bar.made = []
    monkeypatch.setattr(tqdm, "tqdm", Bar)


def test_every_picture_has_a_bar_of_its_own_below_that_of_frames() -> None:
    with PictureBar(quiet=False) as told:
        for total in (20, 1):
            for done in range(0, total + 1, min(8, total)):
                told(done, total)
            told(total, total)
    first, second, *rest = (bar for bar in Bar.made if bar.n)
    assert not rest or all(bar.closed for bar in rest)
    assert (first.n, first.options["total"], first.closed) == (20, 20, 1)
    assert (second.n, second.options["total"]) == (1, 1)
    assert first.options["position"] == 1
    assert first.options["delay"] == SHOWN_AFTER_SECONDS
    assert first.options["disable"] is None  # tqdm's own: where standard error is no terminal


def test_a_picture_that_was_not_finished_leaves_no_bar() -> None:
    with PictureBar(quiet=False) as told:
        told(0, 20)
        told(8, 20)
    assert [(bar.n, bar.closed) for bar in Bar.made] == [(8, 1)]


def test_quiet_is_quiet_and_no_proposal_no_bar() -> None:
    with PictureBar(quiet=True) as told:
        told(0, 5)
    assert Bar.made[0].options["disable"] is True
    with PictureBar(quiet=False):
        pass
    assert len(Bar.made) == 1
