"""The one table of networks: name -> constructor. No side effects at import; torch loads with `build`."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamseg.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Where a network's class lives and how it is called.

    Attributes:
        module, constructor: what to import; called as `constructor(num_classes, **arguments)`.
        arguments: fixed keyword arguments of this entry.
        splits: what `rearranged` gives has `context` and `refine`, as keyframe reuse needs.
        summary: one line for `streamseg models`.
    """

    module: str
    constructor: str
    arguments: dict[str, Any]
    summary: str
    splits: bool = False


ARCHITECTURES = {
    "icnet": Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 0.5},
        summary="ICNet, the released network (compression 1/2): 6.7 M parameters",
        splits=True,
    ),
    "icnet-caffe": Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 0.5, "caffe_windows": True},
        summary="ICNet with the released file's pooling windows, for its published .caffemodel",
        splits=True,
    ),
    "icnet-full": Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 1.0},
        summary="ICNet before compression: every layer twice as wide, 26.7 M parameters",
        splits=True,
    ),
}

SHIPPED = {"icnet-camvid": "icnet-camvid.safetensors"}
"""Trained weights inside the package, in `streamseg/weights/`."""


def splits(name: str) -> bool:
    """Whether the network named so can be run in two parts; False for names that are not in the table."""
    return name in ARCHITECTURES and ARCHITECTURES[name].splits


def build(name: str, num_classes: int, **overrides: Any) -> "nn.Module":
    """A network with fresh weights.

    Raises:
        ModelError: no such architecture.
    """
    if name not in ARCHITECTURES:
        raise ModelError(
            f"unknown architecture {name!r}; known: {', '.join(sorted(ARCHITECTURES))}"
        )
    entry = ARCHITECTURES[name]
    constructor: Callable[..., nn.Module] = getattr(import_module(entry.module), entry.constructor)
    return constructor(num_classes, **{**entry.arguments, **overrides})
