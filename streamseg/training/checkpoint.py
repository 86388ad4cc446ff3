"""A training run's state in one safetensors file: weights, averages, moments, position, history."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from streamseg.errors import ModelError

STATE_KEY = "streamseg_training"


@dataclass(slots=True, eq=False)
class Progress:
    """Where a run stands: epochs finished, seconds spent, one record per epoch.

    Attributes:
        seconds: by the clock, in which a run that was stopped for a while stood still.
        processor_seconds: of all threads.
    """

    epochs_done: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def save_checkpoint(
    path: Path,
    *,
    recipe: str,
    images: str,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write a neighbour of `path`, then rename: an interrupted save leaves the last one whole.

    Args:
        recipe: text that only runs of the same recipe and start have.
    """
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("model", model), ("average", average)):
        for name, tensor in module.state_dict().items():
            tensors[f"{prefix}.{name}"] = tensor.contiguous()
    for index, moments in optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).contiguous()
    state = {
        "recipe": recipe,
        "images": images,
        "epochs_done": progress.epochs_done,
        "seconds": progress.seconds,
        "processor_seconds": progress.processor_seconds,
        "history": progress.history,
    }
    part = path.with_suffix(".part")
    save_file(tensors, str(part), metadata={STATE_KEY: json.dumps(state)})
    os.replace(part, path)


def load_checkpoint(
    path: Path,
    *,
    recipe: str,
    images: str,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Put a saved run back, exactly. After an error the state of all three is undefined.

    Args:
        recipe, images: what it must be a run of.

    Raises:
        ModelError: unreadable, of another recipe or other images, or its tensors are not this
            network's.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            state = json.loads((file.metadata() or {})[STATE_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        saved_recipe = str(state["recipe"])
        saved_images = str(state.get("images", images))  # older ones do not say
        progress = Progress(
            epochs_done=int(state["epochs_done"]),
            seconds=float(state["seconds"]),
            processor_seconds=float(state.get("processor_seconds", 0.0)),
            history=list(state["history"]),
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"expected a training checkpoint at {path}: {error}. Delete it to start over"
        ) from error
    if saved_recipe != recipe:
        raise ModelError(
            f"the checkpoint {path} is of another recipe; {difference(recipe, saved_recipe)}. "
            f"Choose another --out or delete it"
        )
    if saved_images != images:
        raise ModelError(
            f"the checkpoint {path} is of other images: expected {images}, got {saved_images}. "
            f"Choose another --out or delete it"
        )
    try:
        _restore(tensors, model, average, optimizer)
    except (LookupError, ValueError, RuntimeError) as error:
        cause = " ".join(str(error).split())[:200]
        raise ModelError(
            f"the tensors of the checkpoint {path} are not this network's: {cause}. "
            f"Choose another --out or delete it"
        ) from error
    return progress


def averaged_weights(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a saved run as it has them: fp32, auxiliary heads included.

    Raises:
        ModelError: unreadable, or no checkpoint.
    """
    prefix = "average."
    try:
        with safe_open(str(path), framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            found = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"expected a training checkpoint at {path}: {error}") from error
    if not found:
        raise ModelError(f"expected a training checkpoint at {path}, got a file without averages")
    return found


def _restore(
    tensors: dict[str, Tensor],
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition(".")
        parts[prefix][rest] = tensor
    model.load_state_dict(parts["model"])
    average.load_state_dict(parts["average"])

    groups = optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if tensor.ndim:
            if tensor.shape != parameter.shape:
                raise ValueError(
                    f"expected {name} of shape {tuple(parameter.shape)}, got {tuple(tensor.shape)}"
                )
            # In the parameter's memory format, which safetensors does not keep: another order of
            # the same numbers is slower, and its vectorised tail may round differently.
            tensor = torch.empty_like(parameter, device="cpu").copy_(tensor)
        moments.setdefault(int(index), {})[key] = tensor
    if len(moments) != len(parameters):
        raise ValueError(
            f"expected optimizer moments of {len(parameters)} parameters, got {len(moments)}"
        )
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def difference(expected: str, got: str) -> str:
    """The first place where two recipes differ, with the name that leads to it."""
    same = next((i for i, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b), 0)
    start = max(expected.rfind(mark, 0, same) for mark in (", ", "(")) + 1
    return f"expected {expected[start:][:60].strip()!r}, got {got[start:][:60].strip()!r}"
