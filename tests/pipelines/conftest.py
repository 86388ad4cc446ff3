"""What the programs' tests share: a clip, and the check for left-over threads."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import streamseg_threads
from media import write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames, 48x64, 25 a second."""
    return write_clip(tmp_path / "clip.mp4", num_frames=10)


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = streamseg_threads()
    yield
    assert streamseg_threads() == before
