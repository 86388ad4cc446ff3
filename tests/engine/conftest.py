"""A tiny ICNet with weights of its own, pictures, and a graph cache that goes with the run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from model_files import write_model
from pictures import packed, planar

from streamseg.engine.choose import open_engine
from streamseg.engine.engine import Engine
from streamseg.models.card import ModelFile
from streamseg.models.find import find_model
from streamseg.picture.pixels import Pixels


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(autouse=True)
def _cache_of_this_run(monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> None:
    """Nothing of the user's is read or written; a network that several tests run is converted once."""
    monkeypatch.delenv("STREAMSEG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_cache))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """ICNet of width 1/16, random weights, batch norms that have seen data."""
    return find_model(write_model(tmp_path_factory.mktemp("tiny") / "tiny.safetensors"))


@pytest.fixture
def opened() -> Callable[..., Engine]:
    """`open_engine` on the CPU in fp32, unless told otherwise."""

    def open_on_cpu(
        model: ModelFile, backend: str = "openvino", precision: str = "fp32", **options: object
    ) -> Engine:
        options.setdefault("device", "cpu")
        return open_engine(model, backend=backend, precision=precision, **options)  # type: ignore[arg-type]

    return open_on_cpu


@pytest.fixture(params=["packed", "planar"])
def pixels(request: pytest.FixtureRequest) -> Pixels:
    return packed(90, 122) if request.param == "packed" else planar(90, 122)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty graph cache, for this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "streamseg"
