"""From what a user names (`icnet-camvid`, `weights.safetensors`, `some.onnx`) to a file and its card."""

import json
from dataclasses import replace
from pathlib import Path

from streamseg.errors import ModelError
from streamseg.labels import CITYSCAPES
from streamseg.models.card import MAX_CARD_BYTES, InputSpec, Kind, ModelCard, ModelFile
from streamseg.models.registry import ARCHITECTURES, SHIPPED, WHOLE, branches
from streamseg.models.scales import Scales
from streamseg.models.weights import read_card, require_head

WEIGHTS_FOLDER = Path(__file__).parent.parent / "weights"
MAX_WEIGHTS_BYTES = 1 << 30
"""Of a file of bare weights: more than three times what the largest network here has in fp32."""

SIDECAR_EXAMPLE = (
    '{"classes": ["road", "car", ...], "input": {"size": [512, 1024], "color": "rgb", '
    '"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4], "align_corners": false, '
    '"multiple": 32, "offset": 0}}'
)


KINDS: dict[str, Kind] = {
    ".safetensors": "safetensors",
    ".caffemodel": "caffemodel",
    ".onnx": "onnx",
    ".xml": "openvino",
}
"""What a file's suffix says of it."""


def find_model(
    name: str | Path, *, branch: str | None = None, scales: str | None = None
) -> ModelFile:
    """Find a shipped model by name, or a model file by path.

    Args:
        name: a name of `SHIPPED`; a `.safetensors` file written by `streamseg train`; ICNet's published
            Cityscapes `.caffemodel`; an `.onnx` or OpenVINO `.xml` file with its card beside it as `.json`.
        branch: where to stop ICNet's cascade: "sub4", "sub24", or "sub124", which is all of it. One that stops is
            called so in the card ("mine-sub4"), and hence in reports.
        scales: at which a network of several scales looks, in place of its card's: "0.5,1,2", with ",flip" for mirror
            images, too, and "average:" or "max:" before it for another way to combine them. The card's name, and hence
            reports, tell of them ("mine at attention:0.5,1,2").

    Raises:
        ModelError: unknown name, missing or unreadable file, unusable card; or a network that cannot stop there, or
            that looks at one scale.
    """
    file = _find(name)
    if scales is not None:
        file = _at_scales(file, scales)
    return file if branch is None else _stopped(file, branch)


def _at_scales(file: ModelFile, text: str) -> ModelFile:
    own = file.card.scales or Scales()
    scales = Scales.parse(text, combine=own.combine)
    card = replace(file.card, name=f"{file.card.name} at {scales}", scales=scales)
    return replace(file, card=card)


def _stopped(file: ModelFile, branch: str) -> ModelFile:
    known = branches(file.card.architecture) if file.is_torch else ()
    if not known:
        raise ModelError(
            f"branches are of ICNet's cascade, and {file.card.name} is {file.card.architecture}; drop --branch {branch}"
        )
    if branch == WHOLE:
        return file
    stop = next((one for one in known if one == branch), None)
    if stop is None:
        raise ModelError(f"unknown branch {branch!r}; known: {', '.join((*known, WHOLE))}")
    if file.kind == "safetensors":  # others are looked into when they are loaded
        require_head(stop, file.path)
    return replace(file, card=replace(file.card, name=f"{file.card.name}-{stop}"), branch=stop)


def _find(name: str | Path) -> ModelFile:
    text = str(name)
    if text in SHIPPED:
        path = WEIGHTS_FOLDER / SHIPPED[text]
        return ModelFile(path=path, kind="safetensors", card=read_card(path))
    path = Path(text)
    if text in ARCHITECTURES and not path.exists():
        raise ModelError(
            f"{text} is an architecture without weights of its own; use {', '.join(sorted(SHIPPED))}, "
            f"or train one and pass its .safetensors file"
        )
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise ModelError(
            f"unknown model {text!r}; known: {', '.join(sorted(SHIPPED))}, or a path to a "
            f".safetensors, .caffemodel, .onnx or OpenVINO .xml file"
        )
    if not path.is_file():
        raise ModelError(f"expected a model file at {path}; there is none")
    if kind in ("safetensors", "caffemodel") and path.stat().st_size > MAX_WEIGHTS_BYTES:
        raise ModelError(f"expected weights of at most {MAX_WEIGHTS_BYTES >> 20} MB at {path}")
    if kind == "safetensors":
        card = read_card(path)
    elif kind == "caffemodel":
        card = _published_icnet(path)
    else:
        card = _read_sidecar(path, kind)
    return ModelFile(path=path, kind=kind, card=card)


def _published_icnet(path: Path) -> ModelCard:
    """The authors' Cityscapes network: width 1/2, 1024x2048 frames resized to 1025x2049."""
    spec = InputSpec(size=(1025, 2049))
    return ModelCard(
        name=path.stem, architecture="icnet-caffe", labels=CITYSCAPES, input=spec, width=0.5
    )


def _read_sidecar(path: Path, kind: str) -> ModelCard:
    """The card beside a stranger's file. Name and architecture may be left out, and so may what every exporter
    of today agrees on: half-pixel centres and sizes that 32 divides. Colors may not: guessed wrong, they
    would cost accuracy without a word."""
    sidecar = path.with_suffix(".json")
    try:
        if not sidecar.is_file():
            raise FileNotFoundError(sidecar)
        with sidecar.open("rb") as file:
            data = file.read(MAX_CARD_BYTES + 1)
        text = data.decode("utf-8") if len(data) <= MAX_CARD_BYTES else None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"expected a model card at {sidecar} beside {path.name}, for example {SIDECAR_EXAMPLE}"
        ) from error
    if text is None:
        raise ModelError(f"expected a model card below 1 MB at {sidecar}")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not isinstance(values.get("input"), dict):
        raise ModelError(
            f'expected a JSON object with "classes" and "input" in {sidecar}, for example {SIDECAR_EXAMPLE}'
        )
    if missing := [key for key in ("size", "color", "mean", "std") if key not in values["input"]]:
        raise ModelError(
            f'expected {", ".join(missing)} in "input" of {sidecar}, for example {SIDECAR_EXAMPLE}'
        )
    values["input"] = {"align_corners": False, "multiple": 32, "offset": 0, **values["input"]}
    return ModelCard.from_values(
        {"name": path.stem, "architecture": kind, **values}, origin=str(sidecar)
    )
