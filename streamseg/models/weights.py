"""Weights on disk: safetensors with the model card inside. Nothing here unpickles anything.

The file is untrusted. Its header is bounded before it is read, and names, types and shapes of its tensors are
compared with the architecture's before room is made for either: what is allocated is the architecture (whose size
the card cannot raise beyond the published one) and the bytes that came, never what they claim.
"""

import json
import struct
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.errors import ModelError
from streamseg.models.caffemodel import load_caffemodel
from streamseg.models.card import ModelCard, ModelFile
from streamseg.models.memory import (
    allocation_failures,
    memory_needed,
    require_memory,
    weightless,
)
from streamseg.models.registry import Branch, build
from streamseg.models.state import AUXILIARY, check, fill, is_auxiliary

if TYPE_CHECKING:
    import torch
    from torch import nn


CARD_KEY = "streamseg"
MAX_HEADER_BYTES = 4 << 20
"""The header of a network of 2,000 tensors has 0.3 MB."""
FLOATS = ("F16", "BF16", "F32", "F64")
"""Types of weights; counters of batch norm are integers."""


def save_weights(
    path: str | Path,
    state: "dict[str, torch.Tensor]",
    card: ModelCard,
    *,
    auxiliary: bool = False,
) -> None:
    """Write `state` and `card` to one safetensors file; floating-point tensors are stored as fp16.

    Batch norm's variances that fp16 cannot hold stay what they are: a first layer sees pixels of 0..255.

    Args:
        auxiliary: keep auxiliary heads. ICNet's are 8 KB, and let it stop after a branch.

    Raises:
        ModelError: a weight is not finite, or the file cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    stored = {
        name: (tensor.half() if _as_fp16(name, tensor) else tensor).contiguous()
        for name, tensor in state.items()
        if (auxiliary or not is_auxiliary(name)) and not name.endswith("num_batches_tracked")
    }
    for name, tensor in stored.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"expected finite weights, got inf or nan in {name} (fp16)")
    try:
        save_file(stored, str(path), metadata={CARD_KEY: card.to_json()})
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot write the weights {path}: {error}") from error


def _as_fp16(name: str, tensor: "torch.Tensor") -> bool:
    import torch

    if name.endswith(".running_var"):
        return bool((tensor <= torch.finfo(torch.float16).max).all())
    return tensor.is_floating_point()


def read_card(path: str | Path) -> ModelCard:
    """The card of a safetensors file; only its header is read.

    Raises:
        ModelError: missing, not safetensors, or without a card.
    """
    header = _read_header(Path(path))
    metadata = header.get("__metadata__")
    text = metadata.get(CARD_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ModelError(
            f"expected streamseg's model card in {path}; these weights carry none. "
            f"Weights made by `streamseg train` do"
        )
    return ModelCard.from_json(text, origin=str(path))


def require_head(branch: Branch, path: Path, names: Collection[str] | None = None) -> None:
    """Refuse weights that lack the head by which a branch of ICNet answers.

    Args:
        names: of the file's tensors; by default read from the header of a safetensors file.

    Raises:
        ModelError: they lack it, or the file cannot be read.
    """
    if f"{AUXILIARY}{branch}.weight" not in (_read_header(path) if names is None else names):
        raise ModelError(
            f"expected the auxiliary head {AUXILIARY}{branch} in {path}, which the cascade answers by when it stops "
            f"at {branch}; these weights hold none. `streamseg train` keeps it; or drop --branch"
        )


def stored_names(path: str | Path) -> frozenset[str]:
    """Names of a safetensors file's tensors; only its header is read. None of a file of another kind.

    Raises:
        ModelError: missing, or not safetensors.
    """
    if Path(path).suffix.lower() != ".safetensors":
        return frozenset()
    return frozenset(_read_header(Path(path))) - {"__metadata__"}


def load_weights(path: str | Path, model: "nn.Module") -> frozenset[str]:
    """Fill `model` from a safetensors file, or from ICNet's published `.caffemodel`, as fp32.

    Auxiliary heads may be missing from it.

    Returns:
        Names of the tensors that were filled.

    Raises:
        ModelError: unreadable, or the tensors are not this architecture's.
    """
    path = Path(path)
    if path.suffix.lower() == ".caffemodel":
        return load_caffemodel(path, model)  # type: ignore[arg-type]
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_tensors(path, model)
    try:
        stored = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights {path}: {error}") from error
    for name, tensor in stored.items():
        if not bool(tensor.isfinite().all()):
            raise ModelError(f"expected finite weights in {path}, got inf or nan in {name} (fp16)")
    fill(model, stored, origin=str(path))
    return frozenset(stored)


def load_model(file: ModelFile) -> "nn.Module":
    """Build the architecture that a safetensors file's card names and fill it; in eval mode. Of a file that is to
    stop after a branch, that branch.

    Nothing is allocated before the file's tensors are known to be the architecture's and the memory to be there.

    Raises:
        ModelError: unknown architecture, weights that are not its own, no head for the branch, or too little memory.
    """
    with allocation_failures(f"load {file.path.name}"):
        return _load_model(file)


def _load_model(file: ModelFile) -> "nn.Module":
    card = file.card
    overrides: dict[str, Any] = {"align_corners": card.input.align_corners}
    if card.width is not None:
        overrides["width"] = card.width
    if card.scales is not None:
        overrides["scales"] = card.scales

    def make() -> "nn.Module":
        return build(card.architecture, len(card.labels), **overrides)

    try:
        weightless_model = weightless(make)
    except (TypeError, ValueError) as error:
        raise ModelError(f"the model card of {file.path} is unusable: {error}") from error
    if file.kind == "safetensors":
        _check_tensors(file.path, weightless_model)
    require_memory(
        memory_needed(weightless_model).loading,
        f"load {file.path.name} ({_described(card, weightless_model)})",
    )
    model: Any = make()
    filled = load_weights(file.path, model)
    if file.branch is not None:
        from streamseg.models.branches import ICNetBranch

        require_head(file.branch, file.path, filled)
        model = ICNetBranch(model, file.branch)
    network: nn.Module = model.eval()
    return network


def _described(card: ModelCard, model: "nn.Module") -> str:
    """A network and its size, for an error's one line."""
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    width = "" if card.width is None else f" of width {card.width:g}"
    return f"{card.architecture}{width}, {millions:.1f} M parameters"


def load_for_inference(file: ModelFile) -> "nn.Module":
    """`load_model` in the form that engines run: batch norms folded, rearranged where the network can be, and
    without what only training runs.

    Raises:
        ModelError: see `load_model`.
    """
    from streamseg.models.blocks import fold_batch_norms

    network: Any = load_model(file)
    with allocation_failures(f"fold the batch norms of {file.path.name}"):
        if hasattr(network, "rearranged"):
            rearranged: nn.Module = network.rearranged()
            return rearranged
        heads = [
            name for name, _ in network.named_modules() if name.split(".")[-1].startswith(AUXILIARY)
        ]
        for name in heads:
            within, _, head = name.rpartition(".")
            delattr(network.get_submodule(within), head)
        return fold_batch_norms(network)


def _check_tensors(path: Path, model: "nn.Module") -> None:
    """Compare a safetensors header with a network."""
    wanted = model.state_dict()
    shapes: dict[str, tuple[int, ...]] = {}
    for name, entry in _read_header(path).items():
        if name == "__metadata__":
            continue
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(shape, list) or not all(type(side) is int for side in shape):
            raise ModelError(f"expected a safetensors file at {path}, got something else")
        if name in wanted and wanted[name].is_floating_point() and entry.get("dtype") not in FLOATS:
            raise ModelError(f"expected {name} of {path} as one of {', '.join(FLOATS)}")
        shapes[name] = tuple(shape)
    check(model, shapes, origin=str(path))


def _read_header(path: Path) -> dict[str, Any]:
    """What a safetensors file says of itself, with the bytes of its tensors unread."""
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
    if not isinstance(header, dict):
        raise ModelError(f"expected a safetensors file at {path}, got something else")
    return header
