import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "openvino", "numba", "cv2", "matplotlib", "onnx", "safetensors")


def loaded_by(statement: str) -> list[str]:
    """Heavy packages in memory after `statement`."""
    code = f"import sys\n{statement}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


def test_the_check_sees_what_is_loaded() -> None:
    assert loaded_by("import cv2") == ["cv2"]


@pytest.mark.parametrize(
    "statement",
    ["import streamseg", "from streamseg import read_labels, SourceError, LabelSet"],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    assert loaded_by(statement) == []
