"""Tensors into a network, name by name and shape by shape."""

from typing import TYPE_CHECKING

from streamseg.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn


def fill(model: "nn.Module", stored: "dict[str, torch.Tensor]", *, origin: str) -> None:
    """Copy `stored` into `model` after comparing every name and shape.

    Raises:
        ModelError: a tensor is missing, unknown, or of another shape.
    """
    wanted = model.state_dict()
    optional = {
        name for name in wanted if name.startswith("aux_") or name.endswith("num_batches_tracked")
    }
    missing = sorted(set(wanted) - set(stored) - optional)
    unknown = sorted(set(stored) - set(wanted))
    if missing or unknown:
        first = f"{missing[0]} is missing" if missing else f"{unknown[0]} is unknown"
        raise ModelError(
            f"the weights {origin} are not of this architecture: {len(missing)} tensors missing, "
            f"{len(unknown)} unknown ({first})"
        )
    for name, tensor in stored.items():
        if tensor.shape != wanted[name].shape:
            raise ModelError(
                f"the weights {origin} are not of this architecture: expected {name} of shape "
                f"{tuple(wanted[name].shape)}, got {tuple(tensor.shape)}"
            )
    model.load_state_dict(
        {name: tensor.to(wanted[name].dtype) for name, tensor in stored.items()}, strict=False
    )
