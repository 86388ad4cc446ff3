import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from streamseg.errors import ModelError
from streamseg.training.checkpoint import (
    STATE_KEY,
    Progress,
    averaged_weights,
    load_checkpoint,
    save_checkpoint,
)

RECIPE = "Recipe(name='a', stages=(Stage(epochs=3, batch=2),), seed=0)"
IMAGES = "camvid train, 367 images"


def make(seed: int, *, channels: int = 4) -> dict[str, Any]:
    """A network, its average and its optimizer, in channels-last layout as the trainer has them."""
    torch.manual_seed(seed)
    networks = [
        nn.Sequential(nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels)) for _ in range(2)
    ]
    for network in networks:
        network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(networks[0].parameters(), lr=0.01)
    return {"model": networks[0], "average": networks[1], "optimizer": optimizer}


def learn(state: dict[str, Any], seed: int) -> None:
    x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    state["optimizer"].zero_grad()
    state["model"](x).square().mean().backward()
    state["optimizer"].step()


@pytest.fixture
def saved(tmp_path: Path, one_thread: None) -> Path:
    state = make(1)
    learn(state, 0)
    path = tmp_path / "checkpoint.safetensors"
    progress = Progress(epochs_done=2, seconds=1.5, history=[{"epoch": 0, "miou": None}])
    save_checkpoint(path, recipe=RECIPE, images=IMAGES, progress=progress, **state)
    return path


def rewrite(path: Path, change: dict[str, torch.Tensor | None]) -> None:
    """Replace tensors of a checkpoint, or take them out."""
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(str(path)) | change
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, str(path), metadata=metadata)


def test_the_average_can_be_had_alone(saved: Path) -> None:
    original = make(1)["average"].state_dict()
    found = averaged_weights(saved)
    assert found.keys() == original.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in original.items())


def test_files_without_an_average_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, str(path))
    with pytest.raises(ModelError, match=r"expected a training checkpoint at .* without averages"):
        averaged_weights(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="expected a training checkpoint at"):
        averaged_weights(path)


def test_everything_comes_back(saved: Path) -> None:
    original, fresh = make(1), make(2)
    learn(original, 0)
    progress = load_checkpoint(saved, recipe=RECIPE, images=IMAGES, **fresh)
    assert (progress.epochs_done, progress.seconds) == (2, 1.5)
    assert progress.history == [{"epoch": 0, "miou": None}]
    learn(original, 1)
    learn(fresh, 1)
    for name in ("model", "average"):
        expected = original[name].state_dict()
        for key, tensor in fresh[name].state_dict().items():
            assert torch.equal(tensor, expected[key]), (name, key)
    for moments, expected in zip(
        fresh["optimizer"].state.values(), original["optimizer"].state.values(), strict=True
    ):
        for key, tensor in moments.items():
            assert torch.equal(tensor, expected[key]), key
            assert tensor.stride() == expected[key].stride(), key


def test_an_interrupted_save_leaves_the_last_one_whole(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def interrupted(tensors: object, filename: str, metadata: object) -> None:
        Path(filename).write_bytes(b"half")
        raise KeyboardInterrupt("stop")

    monkeypatch.setattr("streamseg.training.checkpoint.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt, match="stop"):
        save_checkpoint(saved, recipe=RECIPE, images=IMAGES, progress=Progress(), **make(3))
    assert saved.read_bytes() == before


def test_another_recipe_is_refused_and_the_difference_named(saved: Path) -> None:
    other = RECIPE.replace("batch=2", "batch=16")
    with pytest.raises(
        ModelError,
        match=r"is of another recipe; expected 'batch=16\).*, got 'batch=2\).*delete it$",
    ) as info:
        load_checkpoint(saved, recipe=other, images=IMAGES, **make(1))
    assert "\n" not in str(info.value)


def test_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a training checkpoint at"):
        load_checkpoint(tmp_path / "none.safetensors", recipe=RECIPE, images=IMAGES, **make(1))


@pytest.mark.parametrize("keep", [0, 7, 200, -1], ids=["empty", "no header", "header", "one byte"])
def test_truncated_checkpoint_is_refused(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"expected a training checkpoint at .* to start over"):
        load_checkpoint(saved, recipe=RECIPE, images=IMAGES, **make(1))


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {STATE_KEY: "no JSON"},
        {STATE_KEY: "[]"},
        {STATE_KEY: "{}"},
        {STATE_KEY: '{"recipe": "x", "epochs_done": "many", "seconds": 0, "history": []}'},
        {STATE_KEY: '{"recipe": "x", "epochs_done": 1, "seconds": 0, "history": null}'},
    ],
    ids=["none", "text", "list", "empty", "epochs", "history"],
)
def test_damaged_state_is_refused(saved: Path, metadata: dict[str, str] | None) -> None:
    save_file({"model.x": torch.zeros(1)}, str(saved), metadata=metadata)
    with pytest.raises(ModelError, match="expected a training checkpoint at"):
        load_checkpoint(saved, recipe=RECIPE, images=IMAGES, **make(1))


def test_other_networks_tensors_are_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"the tensors of .* are not this network's: .*0\.weight"):
        load_checkpoint(saved, recipe=RECIPE, images=IMAGES, **make(1, channels=8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.0.weight": None}, r"Missing key.*0\.weight"),
        ({"stranger.x": torch.zeros(1)}, "'stranger'"),
        ({"optimizer.9.exp_avg": torch.zeros(1)}, "out of range"),
        ({"optimizer.x.exp_avg": torch.zeros(1)}, "invalid literal"),
        ({"optimizer.0.exp_avg": torch.zeros(1)}, r"of shape \(4, 3, 3, 3\), got \(1,\)"),
        (
            {f"optimizer.3.{name}": None for name in ("step", "exp_avg", "exp_avg_sq")},
            "moments of 4 parameters, got 3",
        ),
    ],
    ids=["missing", "unknown", "index", "no index", "shape", "moments"],
)
def test_wrong_tensors_are_refused(
    saved: Path, change: dict[str, torch.Tensor | None], message: str
) -> None:
    rewrite(saved, change)
    with pytest.raises(ModelError, match=rf"are not this network's: .*{message}"):
        load_checkpoint(saved, recipe=RECIPE, images=IMAGES, **make(1))


def test_other_images_are_refused_and_named(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"of other images: expected camvid train, 9 images, got"):
        load_checkpoint(saved, recipe=RECIPE, images="camvid train, 9 images", **make(1))


def test_a_checkpoint_from_before_images_were_named_is_taken(saved: Path) -> None:
    with safe_open(str(saved), framework="pt") as file:
        state = json.loads(file.metadata()[STATE_KEY])
    del state["images"], state["processor_seconds"]
    save_file(load_file(str(saved)), str(saved), metadata={STATE_KEY: json.dumps(state)})
    progress = load_checkpoint(saved, recipe=RECIPE, images="any", **make(1))
    assert (progress.epochs_done, progress.processor_seconds) == (2, 0.0)
