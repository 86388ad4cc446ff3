"""Pruning on ICNet and on a network that concatenates, with numbers that can be followed by hand."""

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.compression.channels import Channels, follow_channels
from streamseg.compression.prune import cut, kept_counts, prune, rank, strongest
from streamseg.errors import ModelError
from streamseg.models.blocks import ConvBN
from streamseg.models.icnet import ICNet


class Pyramid(nn.Module):
    """As PSPNet: what is pooled goes through a convolution each and is concatenated with the input."""

    def __init__(self, width: float, num_classes: int = 3) -> None:
        super().__init__()
        base = int(8 * width)
        self.stem = ConvBN(3, 2 * base, 3)
        self.branches = nn.ModuleList(ConvBN(2 * base, base, 1) for _ in range(2))
        self.merge = ConvBN(4 * base, base, 3)
        self.scale = nn.Conv2d(base, 1, 1)
        self.up = nn.ConvTranspose2d(base, 2 * base, 2, 2)
        self.classify = nn.Conv2d(2 * base, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        pooled = [
            F.interpolate(branch(F.adaptive_avg_pool2d(x, bins)), x.shape[-2:], mode="nearest")
            for bins, branch in zip((1, 2), self.branches, strict=True)
        ]
        x = self.merge(torch.cat([x, *pooled], 1))
        logits: Tensor = self.classify(self.up(x * torch.sigmoid(self.scale(x))))
        return logits


NETWORKS = {
    "icnet": lambda width: ICNet(5, width=width),
    "icnet-deconv5": lambda width: ICNet(5, width=width, fusion="deconv5"),
    "pyramid": lambda width: Pyramid(width),
}


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def randomise(network: nn.Module) -> None:
    """Batch norm statistics as after training, and biases that are not zero."""
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_var", "1.weight")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.2)


def silence(network: nn.Module, channels: Channels, dropped: Mapping[int, Tensor]) -> None:
    """Make the filters of `dropped` zero, with their batch norms and biases."""
    state = network.state_dict()
    for axis in channels.axes:
        reads = state[axis.tensor].ndim > 1 and not axis.writes
        if not reads and axis.groups[0] in dropped:
            state[axis.tensor].index_fill_(axis.axis, dropped[axis.groups[0]], 0.0)


@pytest.mark.parametrize(
    ("name", "width"), [("icnet", 0.125), ("icnet-deconv5", 0.125), ("pyramid", 1.0)]
)
def test_dropping_filters_that_are_zero_changes_no_logit(name: str, width: float) -> None:
    torch.manual_seed(1)
    network, smaller = NETWORKS[name](width), NETWORKS[name](width / 2)
    randomise(network)
    channels = follow_channels(network)
    counts = kept_counts(channels, shapes_of(smaller))
    dropped = {
        group: torch.randperm(size)[: size - counts[group]]
        for group, size in channels.sizes.items()
        if size > counts[group]
    }
    silence(network, channels, dropped)
    pruned = prune(network.state_dict(), channels, shapes_of(smaller))
    smaller.load_state_dict(pruned)  # strict
    image = torch.randn(2, 3, 97, 65) * 20
    with torch.inference_mode():
        expected, got = network.eval()(image), smaller.eval()(image)
    assert expected.std() > 0.01
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.75, 0.5, 0.25])
def test_the_uncompressed_network_becomes_the_published_sizes(width: float) -> None:
    """Auxiliary heads included, as the strict loading says."""
    network, smaller = ICNet(11, width=1), ICNet(11, width=width)
    pruned = prune(network.state_dict(), follow_channels(network), shapes_of(smaller))
    smaller.load_state_dict(pruned)
    assert {name: tuple(tensor.shape) for name, tensor in pruned.items()} == shapes_of(smaller)


def test_pruning_in_steps_keeps_a_subset_of_the_filters() -> None:
    torch.manual_seed(2)
    network = ICNet(5, width=0.25)
    stem = network.state_dict()["high.0.0.weight"]
    for width in (0.1875, 0.125):
        state = prune(
            network.state_dict(), follow_channels(network), shapes_of(ICNet(5, width=width))
        )
        network = ICNet(5, width=width)
        network.load_state_dict(state)
    largest = stem.abs().sum((1, 2, 3)).sort(descending=True).indices[:8].sort().values
    assert torch.equal(network.state_dict()["high.0.0.weight"], stem[largest])


def test_what_is_summed_shares_its_channels() -> None:
    channels = follow_channels(ICNet(5, width=0.125))
    shared = [
        {axis.tensor.removesuffix(".0.weight") for axis in channels.writers(group)}
        for group in channels.sizes
    ]
    several = [names for names in shared if len(names) > 1]
    assert several == [
        {"conv2.0.proj", *(f"conv2.{block}.increase" for block in range(3))},
        {"conv3_1.proj", "conv3_1.increase", *(f"conv3_rest.{block}.increase" for block in (1, 2, 3))},
        {"conv4.0.proj", *(f"conv4.{block}.increase" for block in range(6))},
        {"conv5.0.proj", *(f"conv5.{block}.increase" for block in range(3))},
        {"fuse_sub24.conv", "fuse_sub24.proj"},
        {"fuse_sub12.conv", "fuse_sub12.proj"},
    ]  # fmt: skip


def test_colours_and_classes_are_fixed_on_every_head() -> None:
    channels = follow_channels(ICNet(5, width=0.125))
    fixed = [axis for axis in channels.axes if set(axis.groups) <= channels.fixed]
    assert {(axis.tensor, axis.axis) for axis in fixed} == {
        ("stem.0.0.weight", 1),
        ("high.0.0.weight", 1),
        *(
            (f"{head}.{kind}", 0)
            for head in ("classify", "aux_sub4", "aux_sub24")
            for kind in ("weight", "bias")
        ),
    }


def test_every_tensor_is_followed() -> None:
    network = ICNet(5, width=0.125)
    followed = {axis.tensor for axis in follow_channels(network).axes}
    counters = {name for name in network.state_dict() if name.endswith("num_batches_tracked")}
    assert followed == set(network.state_dict()) - counters


class Sum(nn.Module):
    """Two convolutions of two channels, summed."""

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Conv2d(3, 2, 3, bias=False)
        self.small = nn.Conv2d(3, 2, 1, bias=False)
        self.classify = nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.large(x)[..., 1:, 1:] + self.small(x)[..., :126, :126])
        return logits


def test_every_summed_convolution_has_one_vote() -> None:
    network = Sum()
    state = network.state_dict()
    state["large.weight"][:] = 0
    state["large.weight"][:, 0, 0, 0] = torch.tensor([-200.0, 600.0])  # mean 400
    state["small.weight"][:] = 0
    state["small.weight"][:, 2, 0, 0] = torch.tensor([7.0, -1.0])  # mean 4
    channels = follow_channels(network)
    (group,) = (group for group in channels.sizes if len(channels.writers(group)) == 2)
    assert rank(state, channels, group).tolist() == pytest.approx([0.5 + 1.75, 1.5 + 0.25])


def test_a_convolution_of_zeros_has_no_vote() -> None:
    network = Sum()
    state = network.state_dict()
    state["small.weight"][:] = 0
    channels = follow_channels(network)
    (group,) = (group for group in channels.sizes if len(channels.writers(group)) == 2)
    norms = state["large.weight"].abs().sum((1, 2, 3))
    assert torch.allclose(rank(state, channels, group), norms / norms.mean())


def test_of_equal_filters_the_first_stay() -> None:
    scores = torch.tensor([1.0, 3.0, 1.0, 1.0])
    assert strongest(scores, 3).tolist() == [0, 1, 2]


def test_concatenated_channels_are_found_behind_those_before_them() -> None:
    network = Pyramid(1)
    channels = follow_channels(network)
    (merge,) = (
        axis for axis in channels.axes if axis.tensor == "merge.0.weight" and not axis.writes
    )
    assert [channels.sizes[group] for group in merge.groups] == [16, 8, 8]
    everything = {group: torch.arange(size) for group, size in channels.sizes.items()}
    kept = dict(zip(merge.groups, map(torch.tensor, ([3, 4], [0, 7], [1])), strict=True))
    state = cut(network.state_dict(), channels, everything | kept)
    whole = network.state_dict()
    assert torch.equal(state["merge.0.weight"], whole["merge.0.weight"][:, [3, 4, 16, 23, 25]])
    assert torch.equal(state["branches.1.1.bias"], whole["branches.1.1.bias"][[1]])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (ICNet(6, width=0.125), "expected 5 channels in axis 0 of classify.weight .* got 6"),
        (ICNet(5, width=0.5), "expected 1 to .* channels to keep, got"),
        (Sum(), "is missing"),
    ],
    ids=["other classes", "wider", "another architecture"],
)
def test_a_network_that_is_no_part_of_the_first_is_refused(target: nn.Module, message: str) -> None:
    network = ICNet(5, width=0.25)
    with pytest.raises(ModelError, match=message):
        prune(network.state_dict(), follow_channels(network), shapes_of(target))


def test_layers_that_disagree_are_refused() -> None:
    network = ICNet(5, width=0.25)
    shapes = shapes_of(ICNet(5, width=0.125))
    shapes["conv2.1.increase.0.weight"] = (12, 8, 1, 1)
    with pytest.raises(ModelError, match=r"expected 32 channels in axis 0 of conv2\.1\.increase"):
        prune(network.state_dict(), follow_channels(network), shapes)


class Mixed(nn.Module):
    """Does `mix` between two convolutions of four channels."""

    def __init__(self, mix: object, **options: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.second = nn.Conv2d(4, 4, 1, **options)
        self.mix = mix

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.second(self.mix(self.first(x)))  # type: ignore[operator]
        return logits


@pytest.mark.parametrize(
    ("mix", "options", "message"),
    [
        (lambda x: x.flip(1), {}, "got flip, which channels cannot be followed through"),
        (lambda x: x.softmax(1), {}, "got softmax"),
        (lambda x: x[:, [1, 0, 3, 2]], {}, "got __getitem__"),
        (lambda x: torch.cat([x[..., :9], x[..., 9:]], 3), {}, "got cat"),
        (lambda x: x, {"groups": 2}, "expected plain convolutions, got groups = 2"),
    ],
    ids=["flip", "softmax", "index", "cat", "groups"],
)
def test_what_mixes_channels_is_refused(mix: object, options: dict[str, int], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        follow_channels(Mixed(mix, **options))


class CrossedSum(nn.Module):
    """Adds two concatenations whose parts are of other sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.few, self.many = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        few, many = self.few(x), self.many(x)
        return torch.cat([few, many], 1) + torch.cat([many, few], 1)


def test_sums_of_other_concatenations_are_refused() -> None:
    with pytest.raises(ModelError, match=r"got groups of \[4, 6\] and \[6, 4\] channels"):
        follow_channels(CrossedSum())
