"""What every test may ask for: a fixed source of randomness, one thread, the data at hand."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

THREADED = ("tests/stream/", "tests/reading/", "tests/writing/", "tests/video/")
"""Tests that may start the pipeline: none leaves a thread behind, or needs more than half a minute."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        threaded = any(folder in item.path.as_posix() for folder in THREADED)
        if threaded and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(30))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`needs_cuda`, `needs_ffmpeg`: skipped where that is missing, unless STREAMSEG_REQUIRE_CUDA=1 or
    STREAMSEG_REQUIRE_FFMPEG=1 makes it a failure.
    """
    if item.get_closest_marker("needs_cuda") is not None:
        import torch

        if not torch.cuda.is_available():
            _lacks("needs a CUDA device; there is none", "STREAMSEG_REQUIRE_CUDA")
    if item.get_closest_marker("needs_ffmpeg") is not None:
        missing = [name for name in ("ffmpeg", "ffprobe") if shutil.which(name) is None]
        if missing:
            _lacks(f"needs the command {' and '.join(missing)}", "STREAMSEG_REQUIRE_FFMPEG")


def _lacks(reason: str, variable: str) -> None:
    if os.environ.get(variable) == "1":
        pytest.fail(f"{reason}, and {variable}=1", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def no_thread_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Of the library's own threads, in the tests of `THREADED`."""
    if not any(folder in request.path.as_posix() for folder in THREADED):
        yield
        return
    from fakes import streamseg_threads

    before = streamseg_threads()  # of a test that failed; it should not drag others along
    yield
    assert streamseg_threads() == before


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Converted graphs are kept in the run's own folder, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in every run."""
    return np.random.default_rng(20260821)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch and OpenCV on one thread with a fixed seed: sums then always add up in one order."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data: STREAMSEG_DATA, else `../shared/data` from the project's root."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STREAMSEG_DATA") or default)
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; STREAMSEG_DATA may name another folder")
    return folder


@pytest.fixture(scope="session")
def camvid_dir(data_dir: Path) -> Path:
    """CamVid as the SegNet tutorial lays it out."""
    folder = data_dir / "camvid"
    if not folder.is_dir():
        pytest.skip(f"no CamVid at {folder}; STREAMSEG_DATA may name another folder")
    return folder
