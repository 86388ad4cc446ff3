"""What the tests of the benchmark share: a session that measures a tiny clip with stand-ins for networks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeEngine
from numpy.typing import NDArray

from streamseg.benchmark.plan import Convolutions, Plan
from streamseg.benchmark.session import Session
from streamseg.engine.engine import Finished, Running
from streamseg.frames import Logits
from streamseg.models.find import find_model
from streamseg.sample import write_sample

TINY = Plan(
    sizes=((48, 64), (64, 96)),
    network_sizes=("native", (33, 65)),
    rounds=2,
    frames=5,
    stage_frames=4,
    baseline_frames=3,
    timing_seconds=0.0,
    compile=False,
    ceiling=Convolutions(channels=8, size=(8, 8), layers=2),
    latest_size=(48, 64),
    latest_results=4,
    max_age_ms=2000.0,
)


class SizedEngine(FakeEngine):
    """A `FakeEngine` that says it took the network size it was asked for, and whose deep part does nothing."""

    splits = True

    def __init__(self, size: Any) -> None:
        super().__init__()
        self._size = size

    def context(self, network_input: Any) -> None:
        return None

    def submit_context(self, network_input: Any) -> Finished[None]:
        return Finished(None)

    def refine(self, network_input: Any, moved: Any) -> Logits:
        return self.infer(network_input)

    def submit_refine(self, network_input: Any, moved: Any) -> Running[Logits]:
        return self.submit(network_input)

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return self._size if isinstance(self._size, tuple) else size


def sky(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """A network as published that sees class 0 everywhere."""
    logits = np.zeros((11, 4, 6), np.float32)
    logits[0] = 1
    return logits


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered clip: 4 frames, 64x96."""
    path = tmp_path_factory.mktemp("benchmark") / "street.mp4"
    write_sample(path, seconds=0.16, size=(64, 96), fps=25, seed=1)
    return path


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real network anywhere: every engine is a `FakeEngine` (fp32 alone), every published one sees sky."""

    def open_fake(model: object, *, size: Any, **asked: Any) -> FakeEngine:
        return SizedEngine(size)

    monkeypatch.setattr("streamseg.benchmark.session.open_engine", open_fake)
    monkeypatch.setattr("streamseg.benchmark.session.plain_network", lambda *asked: sky)


@pytest.fixture
def session(stand_ins: None, clip: Path, tmp_path: Path) -> Session:
    """See `TINY`."""
    return make_session(clip, tmp_path)


def make_session(
    clip: Path, folder: Path, plan: Plan = TINY, progress: Callable[[str], None] = lambda text: None
) -> Session:
    return Session(
        model=find_model("icnet-camvid"),
        plan=plan,
        video=clip,
        folder=folder,
        data=None,
        progress=progress,
    )
