"""What the tests of real files share: clips, and what the pipeline makes of them, each made once."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fakes import fake_segmenter
from video.clips import Clips


class Ran(NamedTuple):
    """A run's output and its report."""

    out: Path
    report: dict[str, Any]


Run = Callable[..., Ran]
"""`run("25.mp4", ".mkv", **options)`: a clip through the whole pipeline with the fake network."""


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """`clips("25.mp4")`: the file of that name, made by ffmpeg."""
    return Clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def run(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """See `Run`. Outputs are kept, for the next test that asks for the same."""
    folder, known = tmp_path_factory.mktemp("outputs"), dict[tuple[Any, ...], Ran]()

    def through(name: str, suffix: str, **options: Any) -> Ran:
        key = (name, suffix, *sorted(options.items()))
        if key not in known:
            out = Path(tempfile.mkdtemp(dir=folder)) / f"out{suffix}"
            known[key] = Ran(out, fake_segmenter().run(clips(name), out, **options).finish())
        return known[key]

    return through
