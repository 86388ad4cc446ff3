"""Weights on disk: safetensors with the model card inside. Nothing here unpickles anything."""

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.errors import ModelError
from streamseg.models.caffemodel import load_caffemodel
from streamseg.models.card import ModelCard, ModelFile
from streamseg.models.registry import build
from streamseg.models.state import fill

if TYPE_CHECKING:
    import torch
    from torch import nn


CARD_KEY = "streamseg"
MAX_HEADER_BYTES = 16 << 20


def save_weights(path: str | Path, state: "dict[str, torch.Tensor]", card: ModelCard) -> None:
    """Write `state` and `card` to one safetensors file; floating-point tensors are stored as fp16."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    stored = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in state.items()
        if not name.startswith("aux_") and not name.endswith("num_batches_tracked")
    }
    for name, tensor in stored.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"expected finite weights, got inf or nan in {name} (fp16)")
    try:
        save_file(stored, str(path), metadata={CARD_KEY: card.to_json()})
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot write the weights {path}: {error}") from error


def read_card(path: str | Path) -> ModelCard:
    """The card of a safetensors file; only its header is read.

    Raises:
        ModelError: missing, not safetensors, or without a card.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(8)
            (length,) = struct.unpack("<Q", head) if len(head) == 8 else (0,)
            if not 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size):
                raise ModelError(f"expected a safetensors file at {path}, got something else")
            header = json.loads(file.read(length))
    except OSError as error:
        raise ModelError(f"cannot read the weights {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"expected a safetensors file at {path}, got something else") from error
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    text = metadata.get(CARD_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ModelError(
            f"expected streamseg's model card in {path}; these weights carry none. "
            f"Weights made by `streamseg train` do"
        )
    return ModelCard.from_json(text, origin=str(path))


def load_weights(path: str | Path, model: "nn.Module") -> None:
    """Fill `model` from a safetensors file, or from ICNet's published `.caffemodel`, as fp32.

    Auxiliary heads may be missing from it.

    Raises:
        ModelError: unreadable, or the tensors are not this architecture's.
    """
    if Path(path).suffix == ".caffemodel":
        load_caffemodel(path, model)  # type: ignore[arg-type]
        return
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights {path}: {error}") from error
    fill(model, stored, origin=str(path))


def load_model(file: ModelFile) -> "nn.Module":
    """Build the architecture that a safetensors file's card names and fill it; in eval mode.

    Raises:
        ModelError: unknown architecture, or weights that are not its own.
    """
    card = file.card
    overrides: dict[str, Any] = {"align_corners": card.input.align_corners}
    if card.width is not None:
        overrides["width"] = card.width
    model = build(card.architecture, len(card.labels), **overrides)
    load_weights(file.path, model)
    return model.eval()
