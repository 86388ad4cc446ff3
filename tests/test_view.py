"""A real window on a virtual screen, where there is one; and the order of imports that would hang it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamseg.sample import write_sample


@pytest.fixture
def screen() -> Iterator[str]:
    """A virtual X screen's DISPLAY."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb for a virtual screen; apt-get install xvfb")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            yield f":{pipe.readline().strip()}"
    finally:
        server.terminate()
        server.wait(10)


def python(code: str, display: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DISPLAY": display}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment
    )


def test_live_shows_a_window_to_the_end(screen: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_sample(clip, seconds=1, size=(64, 96), fps=10, seed=0)
    code = (
        "import sys; from streamseg.cli import main;"
        f"sys.exit(main(['live', {str(clip)!r}, '--size', '97x129', '--precision', 'fp32']))"
    )
    child = python(code, screen)
    assert child.returncode == 0, child.stderr
    assert "frames shown" in child.stdout


@pytest.mark.parametrize("order", ["import av", "import av, cv2"])
def test_window_refuses_to_hang_where_pyav_came_first(order: str) -> None:
    child = python(f"{order}\nfrom streamseg import Window\nWindow('x')", ":99")
    assert "SinkError: OpenCV's windows hang where PyAV was imported first" in child.stderr


def test_window_without_a_display_says_so() -> None:
    child = python("from streamseg import Window\nWindow('x')", "")
    assert "SinkError: there is no display" in child.stderr
