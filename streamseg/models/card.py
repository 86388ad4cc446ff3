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
from streamseg.models.registry import Branch, multi_scale
from streamseg.models.scales import Scales

CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)
"""ImageNet's mean in BGR, 0..255: what ICNet's, PSPNet's and VGG's released weights subtract."""

SAME_ASPECT = 0.02
"""Sources within 2 % of the card's aspect ratio run at the card's very size."""

MAX_SIDE = 8192
"""Greatest network input side accepted, in pixels."""

MAX_AREA = 2048 * 4096
"""Greatest network input that a card may name, in pixels: four times Cityscapes' frames. The network's memory goes
with it. Users may ask for more (`--size`), strangers may not."""

MAX_NUMBER = 1e9
"""Of mean and std, and of the inverse of std."""

MAX_CARD_BYTES = 1 << 20
MAX_DEPTH = 32
"""Lists and objects within each other in a card; what reads and writes JSON has a limit of its own."""
MAX_TEXT = 200
"""Characters of a name."""

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
            raise ModelError(
                f'expected color "bgr" or "rgb" in the model card, got {_short(self.color)}'
            )
        if len(self.size) != 2 or not all(1 <= side <= MAX_SIDE for side in self.size):
            raise ModelError(
                f"expected size [height, width] from 1 to {MAX_SIDE} in the model card, "
                f"got {_short(self.size)}"
            )
        if self.size[0] * self.size[1] > MAX_AREA:
            raise ModelError(
                f"expected size of at most {MAX_AREA} pixels in the model card, got "
                f"{self.size[0]}x{self.size[1]}; give a larger one by --size"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ModelError(f"expected three finite numbers as {name}, got {_short(values)}")
        if min(self.std) <= 0:
            raise ModelError(f"expected positive std in the model card, got {self.std}")
        # Pixels are 0..255; beyond this, numbers of 32 bits overflow.
        if min(self.std) < 1 / MAX_NUMBER or max(map(abs, (*self.mean, *self.std))) > MAX_NUMBER:
            raise ModelError(
                f"expected mean and std up to {MAX_NUMBER:g}, std from {1 / MAX_NUMBER:g} on, got "
                f"{self.mean}, {self.std}"
            )
        if self.multiple < 1 or not 0 <= self.offset < max(self.multiple, 2):
            raise ModelError(
                f"expected multiple >= 1 and offset below it, got {self.multiple}, {self.offset}"
            )
        if self.multiple + self.offset > MAX_SIDE:
            raise ModelError(
                f"expected multiple + offset up to {MAX_SIDE}, got {self.multiple} + {self.offset}"
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
        scales: of a network that looks at several; None for its own default, and for all others.
        notes: recipe, data, licence, scores: free JSON, shown by `streamseg models`.
    """

    name: str
    architecture: str
    labels: LabelSet
    input: InputSpec
    width: float | None = None
    scales: Scales | None = None
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        # ICNet at width 1 has 107 MB of weights, which are allocated before a file's own are seen.
        if self.width is not None and not 0 < self.width <= 1:
            raise ModelError(f"expected a width factor above 0 and up to 1, got {self.width}")
        if self.scales is not None and not multi_scale(self.architecture):
            raise ModelError(
                f"scales are of networks that look at several, such as hrnet-ocr-ms, and {self.name} is "
                f"{self.architecture}; drop them"
            )

    def to_json(self) -> str:
        return json.dumps(
            {
                "name": self.name,
                "architecture": self.architecture,
                "classes": list(self.labels.class_names),
                "palette": [list(color) for color in self.labels.colors],
                "input": dataclasses.asdict(self.input),
                "width": self.width,
                **({} if self.scales is None else {"scales": str(self.scales)}),
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
                "palette", "width", "scales", "notes" and single "input" keys may be left out.
            origin: file the text came from, for messages.
            defaults: values for keys that the text leaves out.

        Raises:
            ModelError: not JSON, unknown or missing keys, or impossible values.
        """
        if len(text) > MAX_CARD_BYTES:
            raise ModelError(f"expected a model card below 1 MB in {origin}, got {len(text)} bytes")
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"expected JSON in the model card of {origin}: {error}") from error
        if not isinstance(values, dict):
            raise ModelError(f"expected a JSON object as model card of {origin}")
        return cls.from_values({**(defaults or {}), **values}, origin=origin)

    @classmethod
    def from_values(cls, values: dict[str, Any], *, origin: str) -> "ModelCard":
        """Check a card that was parsed already.

        Raises:
            ModelError: as `from_json`.
        """
        if _deeper_than(values, MAX_DEPTH):
            raise ModelError(f"the model card of {origin} is nested deeper than {MAX_DEPTH}")
        known = {"name", "architecture", "classes", "palette", "input", "width", "scales", "notes"}
        _refuse_unknown(values, known, origin)
        for key in ("name", "architecture", "classes", "input"):
            if key not in values:
                raise ModelError(f"expected {key!r} in the model card of {origin}; it is missing")
        try:
            width, notes = values.get("width"), values.get("notes", {})
            if not isinstance(notes, dict):
                raise ValueError(f"expected notes as an object, got {_short(notes)}")
            card = cls(
                name=_text(values["name"], "name"),
                architecture=_text(values["architecture"], "architecture"),
                labels=_labels(values["classes"], values.get("palette")),
                input=_input(values["input"], origin),
                width=None if width is None else _numbers([width], "width", float)[0],
                scales=_scales(values.get("scales")),
                notes=notes,
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"the model card of {origin} is unusable: {error}") from error
        return card._checked_area(origin)

    def _checked_area(self, origin: str) -> "ModelCard":
        """A stranger's scales enlarge the picture; users' own may."""
        if self.scales is not None:
            height, width = self.input.size
            if height * width * max(self.scales.values) ** 2 > MAX_AREA:
                raise ModelError(
                    f"expected at most {MAX_AREA} pixels at the greatest scale in the model card of {origin}, got "
                    f"{height}x{width} and {self.scales}; give a greater one by --scales"
                )
        return self


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelFile:
    """A network on disk and what it takes to run it. Nothing heavy is loaded yet.

    Attributes:
        branch: where to stop it; None to run it whole.
    """

    path: Path
    kind: Kind
    card: ModelCard
    branch: Branch | None = None

    @property
    def is_torch(self) -> bool:
        """Weights of an architecture in the registry, rather than a stranger's whole graph."""
        return self.kind in ("safetensors", "caffemodel")


def _input(values: Any, origin: str) -> InputSpec:
    spec = dict(values)
    _refuse_unknown(spec, {field.name for field in dataclasses.fields(InputSpec)}, origin)
    for key in ("size", "mean", "std"):
        if key in spec:
            spec[key] = _numbers(spec[key], key, int if key == "size" else float)
    kinds = {"multiple": int, "offset": int, "align_corners": bool, "fixed": bool}
    for key, kind in kinds.items():
        if key in spec and type(spec[key]) is not kind:
            raise ValueError(f"expected {key} of type {kind.__name__}, got {_short(spec[key])}")
    return InputSpec(**spec)


def _refuse_unknown(values: dict[str, Any], known: set[str], origin: str) -> None:
    if unknown := sorted(set(values) - known):
        raise ModelError(
            f"unknown keys {_short(', '.join(unknown))[1:-1]} in the model card of {origin}; "
            f"known: {', '.join(sorted(known))}"
        )


def _short(value: Any) -> str:
    """A stranger's value in an error's one line: its beginning and end, if it is long."""
    text = repr(value)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT // 2]}...{text[-MAX_TEXT // 2 :]}"


def _deeper_than(value: Any, depth: int) -> bool:
    """Whether lists and objects are nested deeper. Level by level, as a recursion could be too deep itself."""
    level = [value]
    for _ in range(depth + 1):
        inner = [part for part in level if isinstance(part, (dict, list))]
        level = []
        for part in inner:
            level.extend(part.values() if isinstance(part, dict) else part)
        if not level:
            return False
    return any(isinstance(part, (dict, list)) for part in level)


def _scales(value: Any) -> Scales | None:
    return None if value is None else Scales.parse(_text(value, "scales"))


def _text(value: Any, name: str) -> str:
    """A name that can be shown in one line."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        raise ValueError(
            f"expected {name} as 1 to {MAX_TEXT} printable characters, got {_short(value)}"
        )
    return value


def _numbers(values: Any, name: str, kind: type) -> Any:
    """A tuple of numbers of `kind`; whole ones pass as float."""
    if not isinstance(values, list) or not all(type(value) in (int, kind) for value in values):
        raise ValueError(f"expected a list of {kind.__name__} as {name}, got {_short(values)}")
    return tuple(kind(value) for value in values)


def _labels(classes: Any, palette: Any) -> LabelSet:
    if isinstance(classes, str):
        if classes not in LABEL_SETS:
            raise ValueError(f"unknown label set {_short(classes)}; known: {', '.join(LABEL_SETS)}")
        return LABEL_SETS[classes]
    if not isinstance(classes, list):
        raise ValueError(f"expected a list of class names, got {_short(classes)}")
    names = tuple(_text(name, "a class") for name in classes)
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
        raise ValueError(f"expected palette colors in 0..255, got {_short(values)}")
    return red, green, blue
