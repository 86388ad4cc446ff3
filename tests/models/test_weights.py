"""Weights on disk: round trip in fp16 with the card inside, and refusal of everything else."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from streamseg.errors import ModelError
from streamseg.labels import CAMVID
from streamseg.models.card import InputSpec, ModelCard
from streamseg.models.icnet import ICNet
from streamseg.models.weights import (
    CARD_KEY,
    fill,
    load_weights,
    read_card,
    save_weights,
    stored_names,
)

WIDTH = 1 / 16
CARD = ModelCard(
    name="tiny", architecture="icnet", labels=CAMVID, input=InputSpec(size=(65, 97)), width=WIDTH
)


def network(seed: int, classes: int = 11, width: float = WIDTH) -> ICNet:
    torch.manual_seed(seed)
    model = ICNet(classes, width=width)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_weights(path, network(0).state_dict(), CARD)
    return path


def raw(path: Path, header: Any, body: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def test_round_trip_is_fp16_exact(saved: Path) -> None:
    model = network(1)
    load_weights(saved, model)
    for name, tensor in network(0).state_dict().items():
        if not name.startswith("aux_") and not name.endswith("num_batches_tracked"):
            loaded = model.state_dict()[name]
            assert loaded.dtype == torch.float32
            assert torch.equal(loaded, tensor.half().float()), name


def test_loaded_network_answers_like_the_saved_one(saved: Path) -> None:
    model = network(1)
    load_weights(saved, model)
    image = torch.randn(1, 3, 65, 97, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = network(0)(image)
        torch.testing.assert_close(model(image), wanted, rtol=0, atol=0.01 * wanted.abs().max())


def test_names_are_known_without_reading_tensors(saved: Path, tmp_path: Path) -> None:
    names = set(network(0).state_dict())
    assert stored_names(saved) == {
        name
        for name in names
        if not name.startswith("aux_") and not name.endswith("num_batches_tracked")
    }
    assert stored_names(tmp_path / "published.caffemodel") == frozenset()
    with pytest.raises(ModelError, match="cannot read the weights"):
        stored_names(tmp_path / "missing.safetensors")


def test_file_is_small_and_without_auxiliary_heads(saved: Path) -> None:
    from safetensors import safe_open

    with safe_open(saved, framework="pt") as file:
        names = set(file.keys())
        assert {file.get_tensor(name).dtype for name in names} == {torch.float16}
    assert not [name for name in names if name.startswith("aux_") or "num_batches" in name]
    assert names == {
        name
        for name in network(0).state_dict()
        if not name.startswith("aux_") and not name.endswith("num_batches_tracked")
    }


def test_auxiliary_heads_keep_their_weights(saved: Path) -> None:
    model = network(1)
    before = model.aux_sub4.weight.clone()
    load_weights(saved, model)
    assert torch.equal(model.aux_sub4.weight, before)


def test_auxiliary_heads_are_kept_if_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "heads.safetensors"
    save_weights(path, network(0).state_dict(), CARD, auxiliary=True)
    model = network(1)
    assert {"aux_sub4.weight", "aux_sub24.bias"} <= load_weights(path, model)
    assert torch.equal(model.aux_sub4.weight, network(0).aux_sub4.weight.half().float())


def test_card_comes_back_from_the_header(saved: Path) -> None:
    card = read_card(saved)
    assert card.to_json() == CARD.to_json()
    assert card.labels.class_names == CAMVID.class_names


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 70_000.0])
def test_weights_that_fp16_cannot_hold_are_not_saved(tmp_path: Path, value: float) -> None:
    state = network(0).state_dict()
    state["classify.bias"][0] = value
    path = tmp_path / "bad.safetensors"
    with pytest.raises(ModelError, match=r"expected finite weights, .* in classify.bias"):
        save_weights(path, state, CARD)
    assert not path.exists()


def test_variances_that_fp16_cannot_hold_are_kept_whole(tmp_path: Path) -> None:
    model = network(1)
    model.stem[0][1].running_var[0] = 1e5
    path = tmp_path / "tiny.safetensors"
    save_weights(path, model.state_dict(), CARD)
    loaded = network(2)
    load_weights(path, loaded)
    assert loaded.stem[0][1].running_var[0] == 1e5
    model.stem[0][1].running_var[0] = float("nan")
    with pytest.raises(ModelError, match="got inf or nan in stem"):
        save_weights(path, model.state_dict(), CARD)


def test_another_width_is_refused_and_changes_nothing(saved: Path) -> None:
    model = network(1, width=0.125)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(
        ModelError, match=r"not of this architecture: expected .* of shape \(.*, got \("
    ):
        load_weights(saved, model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_another_number_of_classes_is_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"expected classify.* of shape \(19.*, got \(11"):
        load_weights(saved, network(1, classes=19))


def test_missing_and_unknown_tensors_are_counted() -> None:
    model = network(0)
    state = dict(model.state_dict())
    del state["classify.bias"], state["stem.0.0.weight"]
    with pytest.raises(
        ModelError, match=r"here\.bin are not .*2 tensors missing, 0 unknown \(classify.bias is"
    ):
        fill(model, state, origin="here.bin")
    state = {**model.state_dict(), "backbone.0": torch.zeros(1)}
    with pytest.raises(ModelError, match=r"0 tensors missing, 1 unknown \(backbone.0 is unknown"):
        fill(model, state, origin="here.bin")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "absent.safetensors"
    with pytest.raises(ModelError, match=r"cannot read the weights .*absent.safetensors"):
        load_weights(path, network(0))
    with pytest.raises(ModelError, match=r"cannot read the weights .*absent.* No such file"):
        read_card(path)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the weights"):
        load_weights(tmp_path, network(0))
    with pytest.raises(ModelError, match="cannot read the weights"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02}q\x00" * 10,  # a pickle, which is what .pth files are
        b"PK\x03\x04" + bytes(60),
        bytes(64),
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 17 << 20) + b"{}",
        struct.pack("<Q", 4) + b"nope",
        struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
    ],
    ids=["empty", "2 bytes", "pickle", "zip", "zeros", "huge", "17 MB", "no JSON", "no text"],
)
def test_something_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "some.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"expected a safetensors file at .*some.safetensors"):
        read_card(path)
    with pytest.raises(ModelError, match=r"expected a safetensors file at .*some.safetensors"):
        load_weights(path, network(0))


def test_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot read the weights"):
        load_weights(saved, network(0))
    read_card(saved)  # the header is whole
    saved.write_bytes(saved.read_bytes()[:200])
    with pytest.raises(ModelError, match="expected a safetensors file"):
        read_card(saved)


def test_weights_without_a_card_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"expected streamseg's model card in .*carry none.*train"):
        read_card(path)
    save_file({"x": torch.zeros(1)}, path, metadata={CARD_KEY: "{"})
    with pytest.raises(ModelError, match=r"expected JSON in the model card of .*foreign"):
        read_card(path)
    raw(path, [1, 2])
    with pytest.raises(ModelError, match="expected a safetensors file at"):
        read_card(path)


@pytest.mark.parametrize(
    "header",
    [
        {"__metadata__": None},
        {"__metadata__": [CARD_KEY]},
        {"__metadata__": CARD_KEY},
        {"__metadata__": {CARD_KEY: 5}},
        b"[" * 100_000,
    ],
    ids=["null", "list", "text", "number", "deep"],
)
def test_hostile_headers_are_refused(tmp_path: Path, header: Any) -> None:
    with pytest.raises(ModelError):
        read_card(raw(tmp_path / "hostile.safetensors", header))


def test_saving_into_a_missing_folder_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="absent"):
        save_weights(tmp_path / "absent" / "w.safetensors", network(0).state_dict(), CARD)


def test_mutated_files_raise_nothing_but_model_errors(saved: Path) -> None:
    whole = saved.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    model = network(0)
    generator = torch.Generator().manual_seed(4)

    def below(limit: int) -> int:
        return int(torch.randint(limit, (1,), generator=generator))

    for _ in range(100):
        data = bytearray(whole)
        data[below(header)] ^= 1 << below(8)
        if below(4) == 0:
            del data[below(len(data)) :]
        saved.write_bytes(data)
        for read in (lambda: read_card(saved), lambda: load_weights(saved, model)):
            try:
                read()
            except ModelError as error:
                assert "\n" not in str(error)
