"""What a training run begins with: a network with random weights, and `Start`, weights to put into it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from streamseg.errors import ModelError
from streamseg.labels import LabelSet
from streamseg.models.card import ModelFile
from streamseg.models.registry import build, trunk
from streamseg.models.weights import load_weights
from streamseg.training.recipe import Recipe

TRUNK = "trunk."
"""How names of a network's tensors begin within one of several scales (`models.attention`)."""

VGG_FAMILY = frozenset({"deconvnet", "fcn8s", "fcn16s", "fcn32s"})
VGG_PARTS = ("vgg.", "fc6.", "fc7.")
"""What these networks have alike, and how its tensors' names begin: VGG16, fully connected layers as convolutions."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """Weights to begin with, instead of random ones.

    Attributes:
        weights: of the network's state; what they leave out begins at random.
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


def new_network(recipe: Recipe, num_classes: int) -> nn.Module:
    """The recipe's network with random weights.

    Raises:
        ModelError: no such architecture, or it has no such width.
    """
    overrides: dict[str, Any] = {"align_corners": recipe.input.align_corners}
    if recipe.width is not None:
        overrides["width"] = recipe.width
    if recipe.scales is not None:
        overrides["scales"] = recipe.scales
    try:
        return build(recipe.architecture, num_classes, **overrides)
    except (TypeError, ValueError) as error:
        raise ModelError(f"cannot build {recipe.architecture} as asked: {error}") from error


def start_from(file: ModelFile, recipe: Recipe, labels: LabelSet) -> Start:
    """A trained network's weights, to go on with or to learn other classes from.

    What depends on the classes (the classifiers) is left out unless `labels` are the file's own, and so are auxiliary
    heads that the file does not hold. A network of several scales begins with its own weights, or with its trunk's; one
    of `VGG_FAMILY` with its own, or with `VGG_PARTS` of another one's.

    Raises:
        ModelError: weights of none of these networks, or unreadable.
    """
    card = file.card
    if (
        card.architecture != recipe.architecture
        and {card.architecture, recipe.architecture} <= VGG_FAMILY
    ):
        return _vgg_from(file, recipe)
    architectures = {recipe.architecture: "", trunk(recipe.architecture): TRUNK}
    if not file.is_torch or card.architecture not in architectures:
        raise ModelError(
            f"expected weights of {recipe.architecture} to begin {recipe.name} with, {file.path.name} is "
            f"{card.architecture}; choose a recipe of that network"
        )
    prefix = architectures[card.architecture]
    network = new_network(recipe, len(card.labels))
    filled = load_weights(file.path, network.get_submodule(prefix.rstrip(".")))
    same = card.labels.class_names == labels.class_names
    left_out = frozenset() if same else _of_the_classes(recipe, len(card.labels))
    state = network.state_dict()
    return Start(
        weights={
            name: state[name] for name in sorted({prefix + name for name in filled} - left_out)
        },
        origin=f"from {card.name}" + ("" if same else f" without its {len(card.labels)} classes"),
    )


def _vgg_from(file: ModelFile, recipe: Recipe) -> Start:
    """As DeconvNet and FCN begin with one VGG16 in their papers."""
    card = file.card
    theirs = replace(recipe, architecture=card.architecture, input=card.input)
    network = new_network(theirs, len(card.labels))
    filled = load_weights(file.path, network)
    state = network.state_dict()
    return Start(
        weights={name: state[name] for name in sorted(filled) if name.startswith(VGG_PARTS)},
        origin=f"from VGG16, fc6 and fc7 of {card.name}",
    )


def _of_the_classes(recipe: Recipe, num_classes: int) -> frozenset[str]:
    """Tensors of another shape where there is one class more."""
    with torch.device("meta"):  # no room is made for them
        one, other = (new_network(recipe, num_classes + more).state_dict() for more in (0, 1))
    return frozenset(name for name in one if one[name].shape != other[name].shape)
