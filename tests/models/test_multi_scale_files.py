"""Networks of several scales on disk: what the card says of scales, and heads that only training runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from model_files import SPEC, WIDTH, write_model

from streamseg.errors import ModelError
from streamseg.labels import CAMVID
from streamseg.models.attention import MultiScale
from streamseg.models.card import MAX_AREA, InputSpec, ModelCard
from streamseg.models.find import find_model
from streamseg.models.scales import Scales
from streamseg.models.weights import load_for_inference, load_model, save_weights, stored_names


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "tiny.safetensors"
    return write_model(path, "icnet-ms", auxiliary=True)


def card(scales: Scales | None, architecture: str = "icnet-ms", **changes: Any) -> ModelCard:
    values: dict[str, Any] = {"name": "tiny", "labels": CAMVID, "input": SPEC, "width": WIDTH}
    return ModelCard(architecture=architecture, scales=scales, **{**values, **changes})


def read(text: str) -> ModelCard:
    return ModelCard.from_json(text, origin="a.safetensors")


@pytest.mark.parametrize("scales", [None, Scales(), Scales(values=(0.25, 1.0, 2.0), flip=True)])
def test_scales_come_back_from_the_card(scales: Scales | None) -> None:
    assert read(card(scales).to_json()).scales == scales


def test_cards_of_other_networks_say_nothing_of_scales() -> None:
    assert "scales" not in json.loads(card(None, "icnet").to_json())
    with pytest.raises(ModelError, match=r"scales are of networks that look at several"):
        card(Scales(), "icnet")


@pytest.mark.parametrize("scales", [1, [0.5, 1], "", "0.5", "1,x", "sum:1", "1," * 90])
def test_hostile_scales_are_refused(scales: Any) -> None:
    document = {**json.loads(card(None).to_json()), "scales": scales}
    with pytest.raises(ModelError, match=r"expected|unknown"):
        read(json.dumps(document))


def test_a_strangers_scales_may_not_enlarge_the_picture_beyond_the_limit() -> None:
    """A network's memory goes with its input, which a card may name up to `MAX_AREA`."""
    within = card(Scales(values=(1.0, 2.0)), input=InputSpec(size=(1024, 2048)))
    assert MAX_AREA == 4 * 1024 * 2048
    read(within.to_json())
    beyond = replace(within, input=InputSpec(size=(1025, 2049)))
    with pytest.raises(ModelError, match=r"expected at most .* pixels at the greatest scale"):
        read(beyond.to_json())


def test_users_scales_take_the_place_of_the_cards(file: Path) -> None:
    assert find_model(file).card.scales is None
    found = find_model(file, scales="0.5,1,2,flip")
    assert found.card.scales == Scales(values=(0.5, 1.0, 2.0), flip=True)
    assert found.card.name == "tiny at attention:0.5,1,2,flip"
    model = load_model(found)
    assert isinstance(model, MultiScale) and model.scales == found.card.scales


def test_scales_of_a_network_that_looks_at_one_are_refused(tmp_path: Path) -> None:
    single = write_model(tmp_path / "icnet.safetensors")
    with pytest.raises(
        ModelError, match=r"such as hrnet-ocr-ms, and tiny at .* is icnet; drop them"
    ):
        find_model(single, scales="0.5,1")


def test_weights_of_attention_do_not_fit_explicit_attention(file: Path) -> None:
    with pytest.raises(
        ModelError, match=r"not of this architecture: expected attention.0.0.weight"
    ):
        load_model(find_model(file, scales="explicit:0.5,1"))


def test_the_trunks_auxiliary_heads_are_kept_if_asked_for(file: Path, tmp_path: Path) -> None:
    assert "trunk.aux_sub4.weight" in stored_names(file)
    model = load_model(find_model(file))
    save_weights(tmp_path / "less.safetensors", model.state_dict(), card(None))
    less = stored_names(tmp_path / "less.safetensors")
    assert less == {name for name in stored_names(file) if "aux_" not in name}
    load_model(find_model(tmp_path / "less.safetensors"))


def test_what_only_training_runs_is_not_carried_along(file: Path) -> None:
    network = load_for_inference(find_model(file))
    assert not [name for name in network.state_dict() if "aux_" in name]
    x = 64 * torch.randn(1, 3, 65, 97, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = load_model(find_model(file))(x)
        torch.testing.assert_close(network(x), expected, rtol=1e-3, atol=1e-3)
