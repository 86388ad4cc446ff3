"""Tensors into a network, name by name and shape by shape."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from streamseg.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

AUXILIARY = "aux_"
"""How names of heads begin that only training runs, and ICNet stopped after a branch (`models.branches`)."""

MAX_NAME = 100
"""Characters of a tensor's name that are shown."""


def is_auxiliary(name: str) -> bool:
    """Whether the tensor or module named so is of such a head, of this network or of one within it."""
    return any(part.startswith(AUXILIARY) for part in name.split("."))


def check(model: "nn.Module", stored: Mapping[str, tuple[int, ...]], *, origin: str) -> None:
    """Compare the names and shapes of `stored` with the model's.

    Raises:
        ModelError: a tensor is missing, unknown, or of another shape.
    """
    wanted = model.state_dict()
    optional = {
        name for name in wanted if is_auxiliary(name) or name.endswith("num_batches_tracked")
    }
    missing = sorted(set(wanted) - set(stored) - optional)
    unknown = sorted(set(stored) - set(wanted))
    if missing or unknown:
        first = f"{missing[0]} is missing" if missing else f"{_name(unknown[0])} is unknown"
        raise ModelError(
            f"the weights {origin} are not of this architecture: {len(missing)} tensors missing, "
            f"{len(unknown)} unknown ({first})"
        )
    for name, shape in stored.items():
        if shape != tuple(wanted[name].shape):
            raise ModelError(
                f"the weights {origin} are not of this architecture: expected {name} of shape "
                f"{tuple(wanted[name].shape)}, got {str(shape)[:MAX_NAME]}"
            )


def fill(model: "nn.Module", stored: "dict[str, torch.Tensor]", *, origin: str) -> None:
    """Copy `stored` into `model` after `check`.

    Raises:
        ModelError: as `check`.
    """
    check(model, {name: tuple(tensor.shape) for name, tensor in stored.items()}, origin=origin)
    # Tensor by tensor, into the model's own types.
    model.load_state_dict(stored, strict=False)


def _name(name: str) -> str:
    """A stranger's name in an error's one line."""
    return name if name.isprintable() and len(name) <= MAX_NAME else repr(name[:MAX_NAME])
