"""FCN on both backends. DeconvNet runs over proposals, on torch: `test_proposal_engine`."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from model_files import write_model
from pictures import packed, planar
from torch import Tensor

from streamseg.engine import graph_cache
from streamseg.errors import ModelError
from streamseg.models.find import find_model
from streamseg.models.weights import load_for_inference
from streamseg.stream.paint import label_map

SIZES = {"fcn8s": (96, 128), "fcn16s": (96, 128), "fcn32s": (96, 128)}
STRIDES = {"fcn8s": 8, "fcn16s": 16, "fcn32s": 32}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vgg")
    return {
        name: find_model(write_model(folder / f"{name}.safetensors", name, auxiliary=True))
        for name in SIZES
    }


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_logits_are_those_of_the_network(opened, files, backend, name):
    picture = packed(*SIZES[name])
    engine = opened(files[name], backend)
    logits = engine.infer(engine.prepare(picture))
    mean = torch.tensor(files[name].card.input.mean)
    x = (torch.from_numpy(picture.pixels).float() - mean).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = load_for_inference(files[name])(x)[0].permute(1, 2, 0).numpy()
    assert expected.shape[:2] == tuple(side // STRIDES[name] for side in SIZES[name])
    np.testing.assert_allclose(logits.scores, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert len(np.unique(label_map(logits, SIZES[name]))) > 1
    assert (engine.info.backend, engine.info.fallbacks) == (backend, ())


def test_backends_agree_on_labels(opened, files):
    picture = planar(90, 122)
    one, other = (
        label_map(engine.infer(engine.prepare(picture)), (90, 122))
        for engine in (opened(files["fcn8s"], backend) for backend in ("openvino", "torch"))
    )
    assert (one == other).mean() >= 0.999


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_a_size_that_cannot_be_is_said_so(opened, files, backend):
    engine = opened(files["fcn8s"], backend, size=(96, 100))
    with pytest.raises(ValueError, match="sides are multiples of 32, got 96x100"):
        engine.infer(engine.prepare(packed(96, 100)))


def test_graphs_too_great_for_the_cache_push_nothing_out(opened, files, cache, monkeypatch):
    for name in ("fcn32s", "fcn8s"):
        engine = opened(files[name])
        engine.infer(engine.prepare(packed(96, 128)))
        monkeypatch.setattr(graph_cache, "KEEP_BYTES", 1 << 20)
    assert len(list(cache.glob("*.graph"))) == 1


def test_memory_that_runs_out_while_it_runs_is_one_line(opened, files, monkeypatch):
    engine = opened(files["fcn8s"], "torch")
    network_input = engine.prepare(packed(96, 128))

    def fail(*_: object) -> Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(F, "max_pool2d", fail)
    with pytest.raises(ModelError, match="not enough memory to run the network; take a smaller"):
        engine.infer(network_input)
