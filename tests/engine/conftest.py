"""A tiny ICNet with weights of its own, pictures, and a graph cache that goes with the run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import packed, planar

from streamseg.engine.choose import open_engine
from streamseg.engine.engine import Engine
from streamseg.labels import CAMVID
from streamseg.models.card import InputSpec, ModelCard, ModelFile
from streamseg.models.find import find_model
from streamseg.picture.pixels import Pixels

SPEC = InputSpec(size=(97, 129))


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
    import torch

    from streamseg.models.icnet import ICNet
    from streamseg.models.weights import save_weights

    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ICNet(len(CAMVID), width=1 / 16)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean of what passes
            torch.nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            torch.nn.init.normal_(module.bias, 0, 0.2, generator=generator)
    with torch.no_grad():
        network.train()(128 * torch.rand(4, 3, 97, 129, generator=generator) - 64)
    card = ModelCard(name="tiny", architecture="icnet", labels=CAMVID, input=SPEC, width=1 / 16)
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_weights(path, network.state_dict(), card)
    return find_model(path)


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
