"""The one table of networks: name -> constructor. No side effects at import; torch loads with `build`."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from streamseg.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

Branch = Literal["sub4", "sub24"]
"""Where ICNet's cascade may stop: after the 1/32 branch, or after the first fusion."""

WHOLE = "sub124"
"""What the paper calls the cascade that does not stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Where a network's class lives and how it is called.

    Attributes:
        module, constructor: what to import; called as `constructor(num_classes, **arguments)`.
        arguments: fixed keyword arguments of this entry.
        splits: what `rearranged` gives has `context` and `refine`, as keyframe reuse needs.
        branches: where it may stop, if its weights hold that branch's auxiliary head (`models.branches`).
        multi_scale: it looks at several scales, which a card and users may choose (`models.attention`).
        by_proposals: it looks at one object at a time: pictures are cut into proposals, and its answers put together.
        summary: one line for `streamseg models`.
    """

    module: str
    constructor: str
    arguments: dict[str, Any]
    summary: str
    splits: bool = False
    branches: tuple[Branch, ...] = ()
    multi_scale: bool = False
    by_proposals: bool = False


ARCHITECTURES = {
    "icnet": Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 0.5},
        summary="ICNet, the released network (compression 1/2): 6.7 M parameters",
        splits=True,
        branches=("sub4", "sub24"),
    ),
    "icnet-caffe": Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 0.5, "caffe_windows": True},
        summary="ICNet with the released file's pooling windows, for its published .caffemodel",
        splits=True,
        branches=("sub4", "sub24"),
    ),
    "icnet-full": Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 1.0},
        summary="ICNet before compression: every layer twice as wide, 26.7 M parameters",
        splits=True,
        branches=("sub4", "sub24"),
    ),
    "icnet-deconv3": Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 0.5, "fusion": "deconv3"},
        summary="ICNet with 3x3 deconvolutions in place of cascade feature fusion, of the paper's ablation",
        splits=True,
        branches=("sub4", "sub24"),
    ),
    "icnet-deconv5": Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 0.5, "fusion": "deconv5"},
        summary="ICNet with 5x5 deconvolutions in place of cascade feature fusion, of the paper's ablation",
        splits=True,
        branches=("sub4", "sub24"),
    ),
    "icnet-deconv7": Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 0.5, "fusion": "deconv7"},
        summary="ICNet with 7x7 deconvolutions in place of cascade feature fusion, of the paper's ablation",
        splits=True,
        branches=("sub4", "sub24"),
    ),
    "pspnet50": Architecture(
        module="streamseg.models.pspnet",
        constructor="PSPNet50",
        arguments={"width": 1.0},
        summary="PSPNet50, what ICNet is compared with: 46.7 M parameters, 50 times ICNet's operations",
    ),
    "pspnet50-s16": Architecture(
        module="streamseg.models.pspnet",
        constructor="PSPNet50",
        arguments={"width": 1.0, "feature_stride": 16},
        summary="PSPNet50 with features at 1/16, of the ICNet paper's speed study; the same weights",
    ),
    "pspnet50-s32": Architecture(
        module="streamseg.models.pspnet",
        constructor="PSPNet50",
        arguments={"width": 1.0, "feature_stride": 32},
        summary="PSPNet50 with features at 1/32",
    ),
    "hrnet-ocr": Architecture(
        module="streamseg.models.ocr",
        constructor="HRNetOCR",
        arguments={"width": 1.0},
        summary="HRNetV2-W48 with object context: 70.4 M parameters; width 18/48 is W18, 12.1 M",
    ),
    "hrnet-ocr-ms": Architecture(
        module="streamseg.models.attention",
        constructor="MultiScale",
        arguments={"trunk": "hrnet-ocr", "width": 1.0},
        summary="the same at several scales, fused by hierarchical attention: the teacher",
        multi_scale=True,
    ),
    "pspnet50-ms": Architecture(
        module="streamseg.models.attention",
        constructor="MultiScale",
        arguments={"trunk": "pspnet50", "width": 1.0},
        summary="PSPNet50 at several scales",
        multi_scale=True,
    ),
    "icnet-ms": Architecture(
        module="streamseg.models.attention",
        constructor="MultiScale",
        arguments={"trunk": "icnet", "width": 0.5},
        summary="ICNet at several scales",
        multi_scale=True,
    ),
    "deconvnet": Architecture(
        module="streamseg.models.deconvnet",
        constructor="DeconvNet",
        arguments={"width": 1.0},
        summary="DeconvNet, proposal by proposal: 251.8 M parameters; width 1/4 has 15.7 M",
        by_proposals=True,
    ),
    "fcn8s": Architecture(
        module="streamseg.models.fcn",
        constructor="FCN",
        arguments={"width": 1.0, "stride": 8},
        summary="FCN-8s on VGG16 with batch norm: 134.4 M parameters; width 1/4 has 8.4 M",
    ),
    "fcn16s": Architecture(
        module="streamseg.models.fcn",
        constructor="FCN",
        arguments={"width": 1.0, "stride": 16},
        summary="FCN-16s: without FCN-8s' finest skip",
    ),
    "fcn32s": Architecture(
        module="streamseg.models.fcn",
        constructor="FCN",
        arguments={"width": 1.0, "stride": 32},
        summary="FCN-32s: without skips",
    ),
}

SHIPPED = {"icnet-camvid": "icnet-camvid.safetensors"}
"""Trained weights inside the package, in `streamseg/weights/`."""


def splits(name: str) -> bool:
    """Whether the network named so can be run in two parts; False for names that are not in the table."""
    return name in ARCHITECTURES and ARCHITECTURES[name].splits


def branches(name: str) -> tuple[Branch, ...]:
    """Where the network named so may stop; nowhere for names that are not in the table."""
    return ARCHITECTURES[name].branches if name in ARCHITECTURES else ()


def multi_scale(name: str) -> bool:
    """Whether the network named so looks at several scales; False for names that are not in the table."""
    return name in ARCHITECTURES and ARCHITECTURES[name].multi_scale


def by_proposals(name: str) -> bool:
    """Whether the network named so runs over proposals; False for names that are not in the table."""
    return name in ARCHITECTURES and ARCHITECTURES[name].by_proposals


def trunk(name: str) -> str | None:
    """What the network named so looks at several scales with; None for those that do not."""
    return ARCHITECTURES[name].arguments["trunk"] if multi_scale(name) else None


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
