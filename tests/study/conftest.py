"""What the tests of studies share: a session whose networks have a few channels and learn from four tiny streets."""

from dataclasses import replace
from pathlib import Path

import pytest
from camvid_writer import street, write_camvid

from streamseg.datasets import open_dataset
from streamseg.study import session as session_module
from streamseg.study.records import Memory
from streamseg.study.schedule import Reduced, Schedule
from streamseg.study.session import StudySession
from streamseg.training.recipes import RECIPES

WIDTH = 1 / 16

TINY = Schedule(
    reduced=Reduced(epochs=1, batch=2, crop=(49, 65), size=(65, 97)),
    speed_sizes=(),
    rounds=1,
    timing_seconds=0.0,
    frames=2,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four images to train on, three to score."""
    for split, count in (("train", 4), ("val", 3)):
        write_camvid(tmp_path / "data", split, [street(seed) for seed in range(count)])
    return tmp_path / "data"


@pytest.fixture
def session(
    data: Path, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> StudySession:
    """Everything real but the memory's process, which takes seconds to start."""
    for name in ("icnet-camvid", "icnet-camvid-tuning", "icnet-ms-camvid"):
        recipe = replace(RECIPES[name](), width=WIDTH)
        monkeypatch.setitem(RECIPES, name, lambda recipe=recipe: recipe)

    def remember(path: Path, size: tuple[int, int], *, branch: str | None, **how: str) -> Memory:
        smaller = {None: 4, "sub24": 2, "sub4": 1}[branch]
        return Memory(size=size, network_mb=float(smaller), process_mb=100.0)

    monkeypatch.setattr(session_module, "measure_memory", remember)
    return make_session(data, tmp_path / "out")


def make_session(data: Path, out: Path) -> StudySession:
    return StudySession(
        dataset=open_dataset(data, "train"),
        validation=open_dataset(data, "val"),
        out=out,
        schedule=TINY,
        width=WIDTH,
    )
