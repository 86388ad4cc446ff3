"""`Start`: weights that a training run begins with."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """Weights to begin with, instead of random ones.

    Attributes:
        weights: the network's whole state, auxiliary heads included.
        origin: where they are from, as the card will say it: "from tiny.safetensors".
        notes: what else the card shall say of them.
    """

    weights: Mapping[str, Tensor]
    origin: str
    notes: Mapping[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        """16 hexadecimal digits that other weights do not have."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.weights.items()):
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()[:16]
