"""Which tensors share channels, found by running a network and following every channel through it.

Comes in: a network. Goes out: `Channels`, all that pruning must know of it. Nothing is computed: the network runs
without numbers, on torch's meta device, and no table of layers is needed.

What is added together shares its channels (every convolution of a residual stage writes into one group), what is
concatenated keeps its groups side by side, and all else takes the channels of what it reads.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from streamseg.errors import ModelError

SIDE = 129
"""Of the image that is followed, in pixels: large enough for a pyramid at 1/32."""

CONVOLUTIONS = {"conv2d": (0, 1), "conv_transpose2d": (1, 0)}
"""Axes of their kernels that write and read channels."""

CHANNELWISE = {
    "add", "add_", "adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "batch_norm", "clone", "contiguous",
    "detach", "div", "dropout", "dropout2d", "float", "interpolate", "leaky_relu", "max_pool2d",
    "max_pool2d_with_indices", "max_unpool2d", "mul", "mul_", "relu", "relu_", "sigmoid", "sub", "to",
}  # fmt: skip
"""Functions whose every channel depends on the same channel of what they read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis of a tensor that runs over channels.

    Attributes:
        tensor: its name in the network's state.
        axis: 0 or 1.
        groups: whose channels these are, side by side in this order; more than one after a concatenation.
        writes: whether it is the output of a convolution, whose kernels rank the channels.
    """

    tensor: str
    axis: int
    groups: tuple[int, ...]
    writes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Produced by `follow_channels`, consumed by `prune`.

    Attributes:
        axes: every axis of the network's state that runs over channels.
        sizes: channels of each group.
        fixed: groups that cannot be pruned: the image's colours and the classes.
    """

    axes: tuple[Axis, ...]
    sizes: dict[int, int]
    fixed: frozenset[int]

    def writers(self, group: int) -> tuple[Axis, ...]:
        """The convolutions whose outputs are summed into `group`, or are it."""
        return tuple(axis for axis in self.axes if axis.writes and axis.groups == (group,))


def follow_channels(network: nn.Module) -> Channels:
    """Run `network` in training mode, so that auxiliary heads take part, and note who shares channels.

    Raises:
        ModelError: it does something that channels cannot be followed through.
    """
    # Two images: batch norm refuses to train on the single value that a pyramid's one bin gives of one image.
    image = torch.empty(2, 3, SIDE, SIDE, device="meta")
    weightless: Any = copy.deepcopy(network).to("meta").train()
    names = {id(tensor): name for name, tensor in weightless.state_dict(keep_vars=True).items()}
    follower = _Follower(names)
    follower.fix(follower.begin(image))
    with torch.no_grad(), follower:
        logits = weightless(image)
    for tensor in _tensors(logits):
        follower.fix(follower.groups_of(tensor))
    return follower.found()


@dataclass(slots=True, eq=False)
class _Group:
    """A set of channels. Once it turned out to be another one, `same_as` leads there."""

    size: int
    fixed: bool = False
    same_as: "_Group | None" = None

    def root(self) -> "_Group":
        return self if self.same_as is None else self.same_as.root()


_Groups = tuple[_Group, ...]
"""Side by side."""


@dataclass(slots=True, eq=False)
class _Noted:
    """An `Axis` while groups may still turn out to be the same."""

    groups: _Groups
    writes: bool


@dataclass(eq=False)
class _Follower(TorchFunctionMode):
    """Sees every function that the network calls.

    Attributes:
        names: of the network's tensors, by id.
        axes: by tensor's name and axis.
    """

    names: Mapping[int, str]
    axes: dict[tuple[str, int], _Noted] = field(default_factory=dict)
    _known: dict[int, tuple[Tensor, _Groups]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        read = list(_tensors((args, kwargs or {})))
        activations = [tensor for tensor in read if id(tensor) in self._known]
        if activations and list(_tensors(result)):
            self._call(func, args, kwargs or {}, result, activations, read)
        return result

    def begin(self, tensor: Tensor) -> _Groups:
        """A group of its own for the channels of `tensor`."""
        return self._remember(tensor, (_Group(tensor.shape[1]),))

    def fix(self, groups: _Groups) -> None:
        """Forbid to prune `groups`."""
        for group in groups:
            group.root().fixed = True

    def groups_of(self, tensor: Tensor) -> _Groups:
        """Whose channels an activation has."""
        return self._known[id(tensor)][1]

    def found(self) -> Channels:
        """What was seen, with groups numbered in the order of the network's calls."""
        numbers: dict[int, int] = {}
        roots: list[_Group] = []
        axes = []
        for (tensor, axis), noted in self.axes.items():
            for group in (group.root() for group in noted.groups):
                if id(group) not in numbers:
                    numbers[id(group)] = len(roots)
                    roots.append(group)
            groups = tuple(numbers[id(group.root())] for group in noted.groups)
            axes.append(Axis(tensor=tensor, axis=axis, groups=groups, writes=noted.writes))
        return Channels(
            axes=tuple(axes),
            sizes={number: group.size for number, group in enumerate(roots)},
            fixed=frozenset(number for number, group in enumerate(roots) if group.fixed),
        )

    def _call(
        self,
        func: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: Any,
        activations: list[Tensor],
        read: list[Tensor],
    ) -> None:
        name = getattr(func, "__name__", str(func))
        if name in CONVOLUTIONS:
            self._convolution(name, args, kwargs, result)
        elif name == "cat" and _argument(args, kwargs, 1, "dim") == 1:
            parts = [self.groups_of(tensor) for tensor in activations]
            self._remember(result, tuple(group for groups in parts for group in groups))
        elif name in CHANNELWISE or (name == "__getitem__" and _is_spatial(args[1])):
            self._channelwise(result, activations, read)
        else:
            raise ModelError(
                f"cannot prune this network: expected convolutions and what works on each channel alone, "
                f"got {name}, which channels cannot be followed through"
            )

    def _convolution(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], result: Tensor
    ) -> None:
        """`conv2d(input, weight, bias, ...)`: the kernel reads the input's groups and writes a new one."""
        image, weight = args[0], args[1]
        bias = _argument(args, kwargs, 2, "bias")
        groups = _argument(args, kwargs, 6, "groups", 1)
        if groups != 1:
            raise ModelError(
                f"cannot prune this network: expected plain convolutions, got {groups = }"
            )
        writes, reads = CONVOLUTIONS[name]
        self._note(self.names[id(weight)], reads, self.groups_of(image))
        written = self._note(
            self.names[id(weight)], writes, (_Group(result.shape[1]),), writes=True
        )
        if bias is not None:
            self._note(self.names[id(bias)], 0, written)
        self._remember(result, written)

    def _channelwise(self, result: Any, activations: list[Tensor], read: list[Tensor]) -> None:
        """Sums and products make channels the same; numbers per channel, as of batch norm, belong to them."""
        width = max(tensor.shape[1] for tensor in activations)
        # A map of one channel is spread over those of the other.
        wide = [self.groups_of(tensor) for tensor in activations if tensor.shape[1] == width]
        for groups in wide[1:]:
            self._unify(wide[0], groups)
        for tensor in read:
            if id(tensor) in self.names:
                self._note(self.names[id(tensor)], 0, wide[0])
        for tensor in _tensors(result):
            self._remember(tensor, wide[0])

    def _note(self, tensor: str, axis: int, groups: _Groups, *, writes: bool = False) -> _Groups:
        """A tensor that is used again has the same channels again."""
        noted = self.axes.setdefault((tensor, axis), _Noted(groups, writes))
        self._unify(noted.groups, groups)
        return noted.groups

    def _remember(self, tensor: Tensor, groups: _Groups) -> _Groups:
        self._known[id(tensor)] = (tensor, groups)  # held, so that its id is not given away again
        return groups

    def _unify(self, first: _Groups, second: _Groups) -> None:
        if [group.size for group in first] != [group.size for group in second]:
            raise ModelError(
                f"cannot prune this network: expected what it adds to be concatenated alike, got groups of "
                f"{[group.size for group in first]} and {[group.size for group in second]} channels"
            )
        for one, other in zip(first, second, strict=True):
            kept, gone = one.root(), other.root()
            if kept is not gone:
                kept.fixed |= gone.fixed
                gone.same_as = kept


def _argument(
    args: Sequence[Any], kwargs: dict[str, Any], position: int, name: str, default: Any = None
) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


def _is_spatial(index: Any) -> bool:
    """Whether an index leaves batch and channels as they are: `[..., ::2, ::2]`, `[:, :, 1:]`."""
    parts = index if isinstance(index, tuple) else (index,)
    if parts and parts[0] is Ellipsis:
        return len(parts) <= 3 and all(isinstance(part, slice) for part in parts[1:])
    slices = [part for part in parts if isinstance(part, slice)]
    return len(slices) == len(parts) and all(part == slice(None) for part in slices[:2])


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
