"""A torch network, whole and in the two parts of keyframe reuse, as engines call it. On whatever device it is."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from streamseg.engine.torch_warp import at_fine_size
from streamseg.frames import Moved
from streamseg.models.rearranged import Context, Refine, fine_size

_MAKERS: dict[str, Any] = {"whole": lambda network: network, "context": Context, "refine": Refine}


class TorchParts:
    """Each part is made when it is first asked for.

    Args:
        network: a folded one, in eval mode.
        compile: let torch.compile fuse a part's operations, at the first picture of a size.
        align_corners: the card's rule.
    """

    def __init__(self, network: Any, *, compile: bool, align_corners: bool) -> None:
        self._network = network
        self._compile = compile
        self._align_corners = align_corners
        self._parts: dict[str, Any] = {}

    @property
    def closed(self) -> bool:
        return self._network is None

    def whole(self, image_BCHW: Tensor) -> Tensor:
        """Logits.

        Raises:
            ValueError: it is closed.
        """
        logits: Tensor = self._part("whole")(image_BCHW)
        return logits

    def context(self, image_BCHW: Tensor) -> Tensor:
        """Deep features."""
        features: Tensor = self._part("context")(image_BCHW)
        return features

    def refine(self, image_BCHW: Tensor, moved: Sequence[Moved]) -> Tensor:
        """Logits by features of other pictures, see `Engine.refine`."""
        features: Tensor = moved[0].features
        if len(moved) > 1 or moved[0].displacement is not None:
            features = at_fine_size(moved, fine_size(image_BCHW), self._align_corners)
        logits: Tensor = self._part("refine")(image_BCHW, features)
        return logits

    def close(self) -> None:
        """Let go of the network. Idempotent."""
        self._parts.clear()
        self._network = None

    def _part(self, name: str) -> Any:
        if self._network is None:
            raise ValueError("expected an open engine; this one is closed, load the model again")
        if name not in self._parts:
            part = _MAKERS[name](self._network)
            self._parts[name] = torch.compile(part, dynamic=False) if self._compile else part
        return self._parts[name]
