"""ICNet stopped early: what its training heads say, alone and at the cost of what it runs."""

import copy
import json
from pathlib import Path

import pytest
import torch
from model_files import write_model
from torch import Tensor, nn

from streamseg.errors import ModelError
from streamseg.models.branches import ICNetBranch
from streamseg.models.find import find_model
from streamseg.models.icnet import CascadeLogits, ICNet
from streamseg.models.operations import gflop
from streamseg.models.registry import ARCHITECTURES, Branch, branches
from streamseg.models.weights import load_for_inference, load_model

BRANCHES: tuple[Branch, ...] = ("sub4", "sub24")
SIZES = [(97, 129), (96, 128), (120, 161), (17, 40)]


def trained_looking(*, align_corners: bool = True) -> ICNet:
    """A narrow network whose batch norms are not the identity."""
    torch.manual_seed(0)
    network = ICNet(5, width=1 / 16, align_corners=align_corners)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


def stopped(network: ICNet, branch: Branch) -> ICNetBranch:
    return ICNetBranch(copy.deepcopy(network), branch)


def image(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randn(1, 3, height, width, generator=generator)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that holds its auxiliary heads."""
    return write_model(tmp_path_factory.mktemp("heads") / "mine.safetensors", auxiliary=True)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=str)
@torch.inference_mode()
def test_a_branch_answers_what_it_answered_in_training(
    size: tuple[int, int], align_corners: bool
) -> None:
    network = trained_looking(align_corners=align_corners)
    network.training = True  # of the cascade alone: its batch norms keep their averages
    logits = network(image(*size))
    assert isinstance(logits, CascadeLogits)
    assert torch.equal(stopped(network, "sub4")(image(*size)), logits.sub4)
    assert torch.equal(stopped(network, "sub24")(image(*size)), logits.sub24)


@torch.inference_mode()
def test_rearranged_sub4_is_sub4_before_its_interpolation() -> None:
    branch = stopped(trained_looking(), "sub4")
    logits, expected = branch.rearranged()(image(97, 129)), branch(image(97, 129))
    assert logits.shape[-2:] == (4, 5)
    torch.testing.assert_close(logits, expected[..., ::2, ::2], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_rearranged_sub24_differs_in_the_ring_of_its_fusion_alone() -> None:
    branch = stopped(trained_looking(), "sub24")
    logits, expected = branch.rearranged()(image(193, 257)), branch(image(193, 257))
    assert logits.shape[-2:] == (13, 17)
    error = (logits - expected[..., ::2, ::2]).abs() / expected.abs().max()
    equal = (error < 1e-5).all(1)[0]
    ring = torch.zeros(13, 17, dtype=torch.bool)
    ring[[1, -2]] = True
    ring[:, [1, -2]] = True
    assert equal[~ring].all()
    assert not equal[ring].all()


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize(("size", "align_corners"), [((97, 129), False), ((57, 89), True)], ids=str)
@torch.inference_mode()
def test_rearranged_at_other_sizes_is_the_same(
    branch: Branch, size: tuple[int, int], align_corners: bool
) -> None:
    """Where neither fusion nor head can do without the interpolation, nothing differs but rounding."""
    plain = stopped(trained_looking(align_corners=align_corners), branch)
    logits, expected = plain.rearranged()(image(*size)), plain(image(*size))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_branch_costs_what_it_runs() -> None:
    """1e9 operations of the released width at 1025x2049: the parts of facts, and the heads."""
    with torch.device("meta"):
        network = ICNet(19, width=0.5).eval()
    low = 2 * (6.48 + 12.82)
    fusion = 2 * (2.47 + 0.275)  # the 3x3 on the interpolated map, the 1x1 of conv3_1
    costs = {branch: gflop(stopped(network, branch), (1025, 2049)) for branch in BRANCHES}
    assert costs["sub4"] == pytest.approx(low + 2e-9 * 65 * 129 * 256 * 19, abs=0.02)
    assert costs["sub24"] == pytest.approx(low + fusion + 2e-9 * 129 * 257 * 128 * 19, abs=0.02)
    assert costs["sub24"] < gflop(network, (1025, 2049)) * 0.75
    for branch in BRANCHES:
        cheap = stopped(network.to_empty(device="cpu"), branch).rearranged()
        assert gflop(cheap, (1025, 2049)) < costs[branch]


def test_what_stands_behind_the_stop_is_not_there() -> None:
    parts = {
        branch: {name for name, _ in stopped(trained_looking(), branch).network.named_children()}
        for branch in BRANCHES
    }
    low = {"stem", "conv2", "conv3_1", "conv3_rest", "conv4", "conv5", "pyramid", "conv5_4"}
    assert parts == {"sub4": low | {"aux_sub4"}, "sub24": low | {"fuse_sub24", "aux_sub24"}}
    rearranged = {
        name for name, _ in stopped(trained_looking(), "sub4").rearranged().named_children()
    }
    assert not rearranged & {"high", "fuse_sub24", "fuse_sub12"}


def test_one_file_is_all_three(whole: Path) -> None:
    files = {branch: find_model(whole, branch=branch) for branch in (*BRANCHES, "sub124")}
    assert [file.card.name for file in files.values()] == ["tiny-sub4", "tiny-sub24", "tiny"]
    assert [file.branch for file in files.values()] == ["sub4", "sub24", None]
    network = load_model(find_model(whole))
    network.training = True
    with torch.inference_mode():
        logits = network(image(97, 129))
        for branch in BRANCHES:
            model = load_model(files[branch])
            assert not model.training
            assert torch.equal(model(image(97, 129)), getattr(logits, branch))
            cheap = load_for_inference(files[branch])
            assert cheap(image(97, 129)).shape[1] == 11
        assert torch.equal(load_model(files["sub124"])(image(97, 129)), logits.sub124)


@pytest.mark.parametrize("branch", BRANCHES)
def test_weights_without_heads_are_one_clear_error(tmp_path: Path, branch: Branch) -> None:
    bare = write_model(tmp_path / "bare.safetensors")
    with pytest.raises(
        ModelError, match=rf"expected the auxiliary head aux_{branch} in .*hold none.*--branch"
    ):
        find_model(bare, branch=branch)
    assert find_model(bare, branch="sub124").branch is None


@pytest.mark.parametrize("branch", BRANCHES)
def test_the_shipped_weights_can_be_stopped(branch: Branch) -> None:
    assert find_model("icnet-camvid", branch=branch).card.name == f"icnet-camvid-{branch}"


def test_heads_that_went_away_after_a_file_was_found_are_missed(
    whole: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(whole.read_bytes())
    file = find_model(path, branch="sub4")
    write_model(path)
    with pytest.raises(ModelError, match="expected the auxiliary head aux_sub4"):
        load_model(file)


def test_unknown_branches_and_other_networks_are_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="unknown branch 'sub2'; known: sub4, sub24, sub124"):
        find_model(whole, branch="sub2")
    other = write_model(tmp_path / "psp.safetensors", "pspnet50", auxiliary=True)
    with pytest.raises(
        ModelError, match="of ICNet's cascade, and tiny is pspnet50; drop --branch sub4"
    ):
        find_model(other, branch="sub4")
    stranger = tmp_path / "net.onnx"
    stranger.write_bytes(b"not looked into here")
    card = {
        "architecture": "icnet", "classes": ["a", "b"],
        "input": {"size": [64, 64], "color": "rgb", "mean": [0, 0, 0], "std": [1, 1, 1]},
    }  # fmt: skip
    stranger.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="of ICNet's cascade"):
        find_model(stranger, branch="sub24")


def test_every_icnet_of_the_registry_has_branches() -> None:
    for name, entry in ARCHITECTURES.items():
        assert branches(name) == (BRANCHES if entry.constructor == "ICNet" else ())
    assert branches("onnx") == ()
