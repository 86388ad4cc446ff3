"""What the command-line tests share: a small street clip, and `main` called as a user would."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Outcome

from streamseg.cli import main
from streamseg.sample import write_sample


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`call("run", path, "-o", out)`: the command line in this process."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered clip: 12 frames, 96x128, 25 frames a second."""
    path = tmp_path_factory.mktemp("clips") / "street.mp4"
    write_sample(path, seconds=0.48, size=(96, 128), fps=25, seed=3)
    return path
