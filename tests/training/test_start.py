"""What a run begins with: weights of a file, with or without what depends on its classes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from streamseg.datasets.augment import View
from streamseg.errors import ModelError
from streamseg.labels import CAMVID, CITYSCAPES
from streamseg.models.card import InputSpec, ModelCard
from streamseg.models.find import find_model
from streamseg.models.weights import save_weights
from streamseg.training.recipe import Recipe
from streamseg.training.stage import Stage
from streamseg.training.start import new_network, start_from

STAGE = Stage(epochs=1, batch=2, view=View(crop=(33, 33)), learning_rate=0.01)
RECIPE = Recipe(
    name="fine", architecture="icnet", input=InputSpec(size=(33, 65)), stages=(STAGE,), width=0.125
)
FCN = replace(RECIPE, width=1 / 64, input=InputSpec(size=(224, 224), align_corners=False, offset=0))
CLASSIFIERS = {"classify", "aux_sub4", "aux_sub24"}


def written(path: Path, *, auxiliary: bool = True, width: float = 0.125) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    network = new_network(replace(RECIPE, width=width), len(CAMVID))
    card = ModelCard(
        name="mine", architecture="icnet", labels=CAMVID, input=RECIPE.input, width=width
    )
    save_weights(path, network.state_dict(), card, auxiliary=auxiliary)
    return network.state_dict()


def layers(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_the_same_classes_keep_every_weight(tmp_path: Path) -> None:
    state = written(tmp_path / "mine.safetensors")
    start = start_from(find_model(tmp_path / "mine.safetensors"), RECIPE, CAMVID)
    assert start.origin == "from mine"
    assert set(state) - set(start.weights) <= {
        name for name in state if name.endswith("num_batches_tracked")
    }
    for name, tensor in start.weights.items():
        assert torch.allclose(tensor.float(), state[name].float(), rtol=1e-3, atol=1e-6), name


def test_other_classes_leave_the_classifiers_out(tmp_path: Path) -> None:
    state = written(tmp_path / "mine.safetensors")
    start = start_from(find_model(tmp_path / "mine.safetensors"), RECIPE, CITYSCAPES)
    assert start.origin == "from mine without its 11 classes"
    left_out = {name for name in state if not name.endswith("num_batches_tracked")}
    assert layers(left_out - set(start.weights)) == CLASSIFIERS
    assert layers(set(start.weights)).isdisjoint(CLASSIFIERS)


def test_as_many_classes_of_other_names_are_other_classes(tmp_path: Path) -> None:
    written(tmp_path / "mine.safetensors")
    renamed = replace(CAMVID, class_names=tuple(f"{name}s" for name in CAMVID.class_names))
    start = start_from(find_model(tmp_path / "mine.safetensors"), RECIPE, renamed)
    assert "classify.weight" not in start.weights


def test_heads_that_a_file_lacks_are_left_out(tmp_path: Path) -> None:
    written(tmp_path / "mine.safetensors", auxiliary=False)
    start = start_from(find_model(tmp_path / "mine.safetensors"), RECIPE, CAMVID)
    assert "classify.weight" in start.weights
    assert layers(set(start.weights)).isdisjoint({"aux_sub4", "aux_sub24"})


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "mine.safetensors")
    recipe = replace(RECIPE, architecture="pspnet50")
    with pytest.raises(
        ModelError, match=r"expected weights of pspnet50 .*mine\.safetensors is icnet"
    ):
        start_from(find_model(tmp_path / "mine.safetensors"), recipe, CAMVID)


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "mine.safetensors", width=0.25)
    with pytest.raises(ModelError, match=r"expected .* of shape"):
        start_from(find_model(tmp_path / "mine.safetensors"), RECIPE, CAMVID)


def test_a_network_of_several_scales_begins_with_its_trunk(tmp_path: Path) -> None:
    state = written(tmp_path / "mine.safetensors")
    several = replace(RECIPE, architecture="icnet-ms")
    start = start_from(find_model(tmp_path / "mine.safetensors"), several, CAMVID)
    assert layers(set(start.weights)) == {"trunk"}
    found = start.weights["trunk.classify.weight"]
    assert torch.allclose(found.float(), state["classify.weight"].float(), rtol=1e-3, atol=1e-6)
    other = start_from(find_model(tmp_path / "mine.safetensors"), several, CITYSCAPES)
    assert "trunk.classify.weight" not in other.weights
    assert len(other.weights) == len(start.weights) - 6


def vgg_network(path: Path, architecture: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    recipe = replace(FCN, architecture=architecture)
    state = new_network(recipe, len(CAMVID)).state_dict()
    card = ModelCard(
        name="mine", architecture=architecture, labels=CAMVID, input=FCN.input, width=1 / 64
    )
    save_weights(path, state, card, auxiliary=True)
    return state


@pytest.mark.parametrize(
    ("file", "wanted"), [("fcn8s", "deconvnet"), ("fcn32s", "fcn8s"), ("deconvnet", "fcn16s")]
)
def test_networks_of_one_vgg16_begin_with_each_others(
    tmp_path: Path, file: str, wanted: str
) -> None:
    state = vgg_network(tmp_path / "mine.safetensors", file)
    recipe = replace(FCN, architecture=wanted)
    start = start_from(find_model(tmp_path / "mine.safetensors"), recipe, CITYSCAPES)
    assert start.origin == "from VGG16, fc6 and fc7 of mine"
    assert layers(set(start.weights)) == {"vgg", "fc6", "fc7"}
    network = new_network(recipe, len(CITYSCAPES)).state_dict()
    shared = {name for name in network if name.startswith(("vgg.", "fc6.", "fc7."))}
    assert {name for name in shared if "num_batches" not in name} == set(start.weights)
    for name, tensor in start.weights.items():
        assert tensor.shape == network[name].shape
        assert torch.allclose(tensor.float(), state[name].float(), rtol=1e-3, atol=1e-6), name


def test_a_vgg16_of_another_width_is_refused(tmp_path: Path) -> None:
    vgg_network(tmp_path / "mine.safetensors", "fcn8s")
    recipe = replace(FCN, architecture="deconvnet", width=1 / 32)
    with pytest.raises(ModelError, match=r"expected .* of shape"):
        start_from(find_model(tmp_path / "mine.safetensors"), recipe, CAMVID)
