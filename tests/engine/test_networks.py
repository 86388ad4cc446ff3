"""Engines with a cascade that stops early or fuses by deconvolution, and with other networks, against plain ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from model_files import write_model
from pictures import packed, planar

from streamseg.engine import openvino_engine
from streamseg.frames import CELL, Displacement, Moved
from streamseg.models.calibration import Calibration, calibration_path
from streamseg.models.find import find_model
from streamseg.models.int8 import activations, measure_maxima
from streamseg.models.weights import load_for_inference, load_model
from streamseg.stream.paint import label_map

WHOLE = ["pspnet50", "pspnet50-s32", "icnet-deconv3", "icnet-deconv7", "hrnet-ocr", "icnet-ms"]
WAYS = ["sub4", "sub24", *WHOLE]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    icnet = write_model(folder / "icnet.safetensors", auxiliary=True)
    found = {branch: find_model(icnet, branch=branch) for branch in ("sub4", "sub24", "sub124")}
    for name in WHOLE:
        path = write_model(folder / f"{name}.safetensors", name, auxiliary=True)
        found[name] = find_model(path)
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_logits_are_those_of_the_network(opened, files, backend, way):
    picture = packed(97, 129)
    engine = opened(files[way], backend)
    logits = engine.infer(engine.prepare(picture))
    mean = torch.tensor(files[way].card.input.mean)
    x = (torch.from_numpy(picture.pixels).float() - mean).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = load_for_inference(files[way])(x)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(logits.scores, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert len(np.unique(label_map(logits, (97, 129)))) > 1
    assert engine.splits == way.startswith("icnet-deconv")


@pytest.mark.parametrize("way", WAYS)
def test_backends_agree_on_labels(opened, files, way):
    picture = planar(90, 122)
    one, other = (
        label_map(engine.infer(engine.prepare(picture)), (90, 122))
        for engine in (opened(files[way], backend) for backend in ("openvino", "torch"))
    )
    assert (one == other).mean() >= 0.999


def test_what_only_training_runs_is_not_carried_along(files):
    network = load_for_inference(files["pspnet50"])
    assert not [name for name in network.state_dict() if name.startswith("aux_")]
    assert [name for name in load_model(files["pspnet50"]).state_dict() if name.startswith("aux_")]
    assert not [name for name in activations(network) if name.startswith("aux_")]


def test_branches_of_one_file_do_not_share_a_graph(opened, files, cache):
    sizes = set()
    for branch in ("sub4", "sub24", "sub124"):
        for _ in range(2):  # made, and read from the cache
            engine = opened(files[branch])
            sizes.add((branch, engine.infer(engine.prepare(packed(97, 129))).scores.shape[:2]))
    assert sizes == {("sub4", (4, 5)), ("sub24", (7, 9)), ("sub124", (13, 17))}
    assert len(list(cache.glob("*.graph"))) == 3


def test_features_of_a_deconvolution_are_passed_on_and_moved(opened, files):
    field = np.random.default_rng(0).normal(0, 6, (-(-97 // CELL), -(-129 // CELL), 2))
    displacement = Displacement(field=field.astype(np.float32), size=(97, 129))
    moved = []
    for backend in ("openvino", "torch"):
        engine = opened(files["icnet-deconv7"], backend)
        network_input = engine.prepare(packed(97, 129))
        features = engine.context(network_input)
        found = engine.refine(network_input, [Moved(features=features)]).scores
        expected = engine.infer(network_input).scores
        largest = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * largest)
        one = Moved(features=features, displacement=displacement)
        moved.append(engine.refine(network_input, [one]).scores)
    np.testing.assert_allclose(*moved, rtol=0, atol=1e-3 * largest)
    assert np.abs(moved[0] - expected).max() > 1e-2 * largest


def test_int8_leaves_deconvolutions_alone(opened, files, tmp_path):
    path = tmp_path / "calibrated.safetensors"
    path.write_bytes(files["icnet-deconv3"].path.read_bytes())
    model, picture = replace(files["icnet-deconv3"], path=path), packed(97, 129)
    x = (torch.from_numpy(picture.pixels).float() - 110).permute(2, 0, 1)[None]
    calibration = Calibration(
        maxima=measure_maxima(load_for_inference(model), [x]),
        weights=openvino_engine.file_digest(path),
        data="noise",
    )
    calibration.write(calibration_path(path))
    engine = opened(model, precision="int8")
    found = engine.infer(engine.prepare(picture)).scores
    exact = opened(model).infer(opened(model).prepare(picture)).scores
    assert engine.info.precision == "int8"
    assert 0 < np.abs(found - exact).mean() / exact.std() < 0.3


@pytest.mark.parametrize("branch", ["sub4", "sub24"])
def test_int8_of_a_branch_takes_the_whole_network_s_calibration(opened, files, tmp_path, branch):
    path = tmp_path / "calibrated.safetensors"
    path.write_bytes(files["sub124"].path.read_bytes())
    picture = packed(97, 129)
    x = (torch.from_numpy(picture.pixels).float() - 110).permute(2, 0, 1)[None]
    maxima = measure_maxima(load_for_inference(files["sub124"]), [x])
    calibration = Calibration(
        maxima=maxima, weights=openvino_engine.file_digest(path), data="noise"
    )
    calibration.write(calibration_path(path))
    model = replace(files[branch], path=path)
    engine = opened(model, precision="int8")
    found = engine.infer(engine.prepare(picture)).scores
    exact = opened(model).infer(opened(model).prepare(picture)).scores
    assert engine.info.precision == "int8"
    assert 0 < np.abs(found - exact).mean() / exact.std() < 0.3


def test_scales_of_one_file_do_not_share_a_graph(opened, files, cache):
    answers = {}
    for scales in ("0.5,1", "average:0.5,1"):
        file = find_model(files["icnet-ms"].path, scales=scales)
        for _ in range(2):  # made, and read from the cache
            engine = opened(file)
            answers[scales] = engine.infer(engine.prepare(packed(65, 97))).scores
    assert {one.shape for one in answers.values()} == {(97, 129, 11)}  # at the input's own size
    assert len({one.tobytes() for one in answers.values()}) == 2
    assert len(list(cache.glob("*.graph"))) == 2
