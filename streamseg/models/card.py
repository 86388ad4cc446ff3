"""`ModelCard`: all that must be known of a network besides its weights to run it on a frame.

Stored as JSON: inside a `.safetensors` file (metadata key "streamseg"), or beside an `.onnx` or OpenVINO
`.xml` file as `<name>.json`. Read as untrusted text: unknown keys are refused, every value is checked.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from streamseg.errors import ModelError
from streamseg.labels import LABEL_SETS, LabelSet, generic_labels

CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)
"""ImageNet's mean in BGR, 0..255: what ICNet's, PSPNet's and VGG's released weights subtract."""

SAME_ASPECT = 0.02
"""Sources within 2 % of the card's aspect ratio run at the card's very size."""

MAX_SIDE = 8192
"""Greatest network input side accepted, in pixels."""


Kind = Literal["safetensors", "caffemodel", "onnx", "openvino"]
"""Our own weights, ICNet's published ones, or a whole graph in a stranger's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What the network takes: pixels in 0..255, minus mean, divided by std, channels in `color` order.

    Attributes:
        size: (height, width) the card's numbers were measured at; `--size auto` keeps its area.
        color: order of the channels, and of `mean` and `std`.
        align_corners: whether corner pixels of image, network input and logits coincide (Caffe's
            `Interp`), or their outer edges do (half-pixel centres, everything since).
        multiple, offset: good sizes are `multiple * k + offset`.
        fixed: the network runs at `size` and no other.
    """

    size: tuple[int, int]
    color: Literal["bgr", "rgb"] = "bgr"
    mean: tuple[float, float, float] = CAFFE_BGR_MEAN
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    align_corners: bool = True
    multiple: int = 32
    offset: int = 1
    fixed: bool = False

    def __post_init__(self) -> None:
        if self.color not in ("bgr", "rgb"):
            raise ModelError(f'expected color "bgr" or "rgb" in the model card, got {self.color!r}')
        if len(self.size) != 2 or not all(1 <= side <= MAX_SIDE for side in self.size):
            raise ModelError(
                f"expected size [height, width] from 1 to {MAX_SIDE} in the model card, got {self.size}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ModelError(f"expected three finite numbers as {name}, got {values}")
        if min(self.std) <= 0:
            raise ModelError(f"expected positive std in the model card, got {self.std}")
        if self.multiple < 1 or not 0 <= self.offset < max(self.multiple, 2):
            raise ModelError(
                f"expected multiple >= 1 and offset below it, got {self.multiple}, {self.offset}"
            )

    def good_size(self, height: float, width: float) -> tuple[int, int]:
        """The nearest size of the form `multiple * k + offset` with k >= 1, within `MAX_SIDE`."""

        def snap(side: float) -> int:
            steps = max(1, round((side - self.offset) / self.multiple))
            return (
                min(steps, (MAX_SIDE - self.offset) // self.multiple) * self.multiple + self.offset
            )

        return snap(height), snap(width)

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """`--size auto`: the card's number of pixels in the aspect ratio of a height x width source."""
        if self.fixed:
            return self.size
        if abs(self.size[0] * width / (self.size[1] * height) - 1) < SAME_ASPECT:
            return self.size
        scale = math.sqrt(self.size[0] * self.size[1] / (height * width))
        return self.good_size(height * scale, width * scale)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelCard:
    """A network's name, classes and input; who made it and how good it is.

    Attributes:
        name: what reports call it.
        architecture: name in the registry ("icnet"), or "onnx" / "openvino" for a stranger's file.
        labels: classes in the order of the logits' channels.
        input: see `InputSpec`.
        width: width factor of the architecture, where it has one.
        notes: recipe, data, licence, scores: free JSON, shown by `streamseg models`.
    """

    name: str
    architecture: str
    labels: LabelSet
    input: InputSpec
    width: float | None = None
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.width is not None and not 0 < self.width <= 4:
            raise ModelError(f"expected a width factor above 0 and up to 4, got {self.width}")

    def to_json(self) -> str:
        return json.dumps(
            {
                "name": self.name,
                "architecture": self.architecture,
                "classes": list(self.labels.class_names),
                "palette": [list(color) for color in self.labels.colors],
                "input": dataclasses.asdict(self.input),
                "width": self.width,
                "notes": self.notes,
            },
            indent=1,
        )

    @classmethod
    def from_json(
        cls, text: str, *, origin: str, defaults: dict[str, Any] | None = None
    ) -> "ModelCard":
        """Parse and check a card.

        Args:
            text: JSON object with the keys of `to_json`. "classes" may be the name of a known label set;
                "palette", "width", "notes" and single "input" keys may be left out.
            origin: file the text came from, for messages.
            defaults: values for keys that the text leaves out.

        Raises:
            ModelError: not JSON, unknown or missing keys, or impossible values.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"expected JSON in the model card of {origin}: {error}") from error
        if not isinstance(values, dict):
            raise ModelError(f"expected a JSON object as model card of {origin}")
        values = {**(defaults or {}), **values}
        known = {"name", "architecture", "classes", "palette", "input", "width", "notes"}
        _refuse_unknown(values, known, origin)
        for key in ("name", "architecture", "classes", "input"):
            if key not in values:
                raise ModelError(f"expected {key!r} in the model card of {origin}; it is missing")
        try:
            spec = dict(values["input"])
            _refuse_unknown(spec, {field.name for field in dataclasses.fields(InputSpec)}, origin)
            for key in ("size", "mean", "std"):
                if key in spec:
                    spec[key] = _numbers(spec[key], key, int if key == "size" else float)
            for key, kind in (
                ("multiple", int),
                ("offset", int),
                ("align_corners", bool),
                ("fixed", bool),
            ):
                if key in spec and type(spec[key]) is not kind:
                    raise ValueError(f"expected {key} of type {kind.__name__}, got {spec[key]!r}")
            width = values.get("width")
            return cls(
                name=str(values["name"]),
                architecture=str(values["architecture"]),
                labels=_labels(values["classes"], values.get("palette")),
                input=InputSpec(**spec),
                width=None if width is None else _numbers([width], "width", float)[0],
                notes=dict(values.get("notes", {})),
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"the model card of {origin} is unusable: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelFile:
    """A network on disk and what it takes to run it. Nothing heavy is loaded yet."""

    path: Path
    kind: Kind
    card: ModelCard

    @property
    def is_torch(self) -> bool:
        """Weights of an architecture in the registry, rather than a stranger's whole graph."""
        return self.kind in ("safetensors", "caffemodel")


def _refuse_unknown(values: dict[str, Any], known: set[str], origin: str) -> None:
    if unknown := sorted(set(values) - known):
        raise ModelError(
            f"unknown keys {', '.join(unknown)} in the model card of {origin}; "
            f"known: {', '.join(sorted(known))}"
        )


def _numbers(values: Any, name: str, kind: type) -> Any:
    """A tuple of numbers of `kind`; whole ones pass as float."""
    if not isinstance(values, list) or not all(type(value) in (int, kind) for value in values):
        raise ValueError(f"expected a list of {kind.__name__} as {name}, got {values!r}"[:200])
    return tuple(kind(value) for value in values)


def _labels(classes: Any, palette: Any) -> LabelSet:
    if isinstance(classes, str):
        if classes not in LABEL_SETS:
            raise ValueError(f"unknown label set {classes!r}; known: {', '.join(LABEL_SETS)}")
        return LABEL_SETS[classes]
    names = tuple(str(name) for name in classes)
    colors = None if palette is None else tuple(_color(color) for color in palette)
    for labels in LABEL_SETS.values():
        if labels.class_names == names and colors in (None, labels.colors):
            return labels
    if colors is None:
        colors = generic_labels(len(names)).colors
    return LabelSet(name=f"{len(names)} classes", class_names=names, colors=colors)


def _color(values: Any) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in values)
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(f"expected palette colors in 0..255, got {values}")
    return red, green, blue
