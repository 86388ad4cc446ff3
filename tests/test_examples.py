"""Every example runs as its first line says."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamseg.sample import write_sample

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.parametrize(
    ("name", "needs_out", "expected"),
    [
        ("segment_video.py", False, "seconds,sky,building"),
        ("write_and_read_labels.py", True, "3 label maps"),
        ("own_network.py", True, "3 frames"),
    ],
)
def test_example_runs(name: str, needs_out: bool, expected: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_sample(clip, seconds=0.3, size=(64, 96), fps=10, seed=0)
    out = [str(tmp_path / "out.mp4")] if needs_out else []
    child = subprocess.run(
        [sys.executable, str(EXAMPLES / name), str(clip), *out],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert expected in child.stdout
    assert len(list(EXAMPLES.glob("*.py"))) == 3, "an example without a row above"
