"""Hierarchical multi-scale attention against the recursion written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.models.attention import (
    AttentionHead,
    MultiScale,
    MultiScaleLogits,
    scaled_size,
)
from streamseg.models.operations import gflop
from streamseg.models.registry import ARCHITECTURES, build
from streamseg.models.scales import Scales

TRUNKS = {"hrnet-ocr": 1 / 48, "icnet": 1 / 16, "pspnet50": 1 / 16}
"""Name and a width for tests."""

SETS = [(0.5, 1.0), (0.5, 1.0, 2.0), (0.25, 0.5, 1.0, 2.0)]


def image(height: int = 64, width: int = 96, batch: int = 1) -> Tensor:
    return torch.randn(
        batch, 3, height, width, generator=torch.Generator().manual_seed(height * width)
    )


def network(trunk: str = "hrnet-ocr", **arguments: object) -> MultiScale:
    """Random weights, an attention that is neither 0 nor 1."""
    torch.manual_seed(0)
    made = MultiScale(4, trunk=trunk, width=TRUNKS[trunk], **arguments)  # type: ignore[arg-type]
    nn.init.normal_(made.attention[2].weight, 0, 0.5)
    return made.eval()


def close(answer: Tensor, expected: Tensor) -> None:
    """To rounding of sums as great as the greatest logit."""
    greatest = float(expected.abs().max())
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5 * greatest)


def up(x: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def seen_at(model: MultiScale, x: Tensor, scale: float) -> tuple[Tensor, list[Tensor]]:
    """Attention and logits of one scale, at the size of its own image: facts 4.1."""
    x = up(x, (round(x.shape[2] * scale), round(x.shape[3] * scale)))
    features, logits = model.trunk.with_features(x)
    attention = torch.sigmoid(model.attention(features))
    return up(attention, x.shape[2:]), [up(one, x.shape[2:]) for one in logits]


def by_the_recursion(
    model: MultiScale, x: Tensor, scales: tuple[float, ...], branch: int = 0
) -> Tensor:
    """Facts 4.2, word for word."""
    size = x.shape[2:]
    order = sorted(scales, reverse=True)
    _, logits = seen_at(model, x, order[0])
    pred = logits[branch]
    for s in order[1:]:
        a_s, logits = seen_at(model, x, s)
        p_s = logits[branch]
        if s >= 1:
            pred = a_s * p_s + (1 - a_s) * up(pred, p_s.shape[2:])
        else:
            pred = up(a_s * p_s, size) + (1 - up(a_s, size)) * pred
    return pred


@torch.inference_mode()
@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("scales", SETS, ids=str)
def test_inference_is_the_recursion(trunk: str, scales: tuple[float, ...]) -> None:
    model = network(trunk, scales=Scales(values=scales))
    answer = model(image())
    assert answer.shape == (1, 4, 64, 96)
    close(answer, by_the_recursion(model, image(), scales))
    alone = seen_at(model, image(), 1.0)[1][0]
    assert (answer - alone).abs().mean() > 0.01 * alone.abs().mean()


@torch.inference_mode()
def test_a_scale_is_added_without_new_weights() -> None:
    """What two scales learnt holds for four: the same tensors, of the same shapes."""
    two = network(scales=Scales(values=SETS[0]))
    four = network(scales=Scales(values=SETS[2]))
    four.load_state_dict(two.state_dict())
    expected = by_the_recursion(two, image(), SETS[2])
    close(four(image()), expected)


@torch.inference_mode()
def test_the_topmost_attention_is_not_computed() -> None:
    model = network(scales=Scales(values=(1.0,)))
    model.attention = nn.Identity()  # would give as many channels as there are features
    answer = model(image())
    close(answer, seen_at(model, image(), 1.0)[1][0])


@pytest.mark.parametrize("trunk", TRUNKS)
def test_training_fuses_answer_and_auxiliary_logits_alike(trunk: str) -> None:
    """Facts 4.2: P = up(a_lo p_lo) + (1 - up(a_lo)) p_1, and the auxiliary logits the same way."""
    model = network(trunk).train()
    for part in model.modules():
        if isinstance(part, nn.Dropout2d):
            part.p = 0.0
    x = image(batch=2)
    logits = model(x)
    assert isinstance(logits, MultiScaleLogits)
    num_branches = {"hrnet-ocr": 2, "icnet": 3, "pspnet50": 2}[trunk]
    assert len(logits.fused) == num_branches
    with torch.no_grad():
        a_lo, p_lo = seen_at(model, x, 0.5)
        _, p_1 = seen_at(model, x, 1.0)
    for branch in range(num_branches):
        a_up = up(a_lo, x.shape[2:])
        expected = up(a_lo * p_lo[branch], x.shape[2:]) + (1 - a_up) * p_1[branch]
        torch.testing.assert_close(logits.fused[branch], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits.scales[0], p_1[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits.scales[1], p_lo[0], rtol=1e-4, atol=1e-4)


def test_gradients_reach_trunk_and_attention() -> None:
    model = network().train()
    sum(one.square().mean() for one in model(image(batch=2)).fused).backward()  # type: ignore[union-attr]
    for part in (model.trunk.trunk.stem, model.attention):
        for parameter in part.parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0


def test_the_published_head() -> None:
    """3x3 256, 3x3 256, 1x1 without bias, on 512 features."""
    with torch.device("meta"):
        head = MultiScale(19, width=18 / 48).attention
    assert [tuple(parameter.shape) for parameter in head.parameters() if parameter.ndim == 4] == [
        (256, 512, 3, 3), (256, 256, 3, 3), (1, 256, 1, 1),
    ]  # fmt: skip
    assert isinstance(head, AttentionHead) and head[2].bias is None


def test_the_second_scale_costs_a_third_more() -> None:
    """The paper's 1.25 is a quarter of the trunk; the rest is attention, which looks at the lower scale alone."""
    with torch.device("meta"):
        two = build("hrnet-ocr-ms", 19).eval()
    alone = 648.95  # see test_hrnet.py
    assert gflop(two, (512, 1024)) == pytest.approx(840.2, abs=0.1)
    assert 840.2 / alone == pytest.approx(1.29, abs=0.01)
    assert sum(parameter.numel() for parameter in two.parameters()) == 72_142_198


@torch.inference_mode()
def test_flipping_answers_with_the_mean() -> None:
    plain, flipped = network(), network(scales=Scales(flip=True))
    x = image()
    expected = (plain(x) + plain(x.flip(3)).flip(3)) / 2
    close(flipped(x), expected)
    assert not torch.allclose(expected, plain(x), atol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("combine", ["average", "max"])
def test_baselines_pool_the_logits_of_all_scales(combine: str) -> None:
    scales = (0.5, 1.0, 2.0)
    model = network(scales=Scales(values=scales, combine=combine))  # type: ignore[arg-type]
    x = image()
    stacked = torch.stack([up(seen_at(model, x, scale)[1][0], x.shape[2:]) for scale in scales])
    expected = stacked.mean(0) if combine == "average" else stacked.amax(0)
    close(model(x), expected)
    # The weights are those of attention, which is not asked.
    model.load_state_dict(network(scales=Scales(values=scales)).state_dict())


@torch.inference_mode()
def test_explicit_attention_shares_every_pixel_out_among_its_scales() -> None:
    scales = (0.5, 1.0, 2.0)
    model = network(scales=Scales(values=scales, combine="explicit"))
    x = image()
    scaled = [up(x, scaled_size((64, 96), scale, False)) for scale in (2.0, 1.0, 0.5)]
    answers = [model.trunk.with_features(one) for one in scaled]
    features = torch.cat([up(one.features_BCHW, (16, 24)) for one in answers], 1)
    shares = up(model.attention(features).softmax(1), (64, 96))
    torch.testing.assert_close(shares.sum(1), torch.ones(1, 64, 96))
    expected = sum(
        shares[:, [index]] * up(up(one.logits[0], image.shape[2:]), (64, 96))
        for index, (one, image) in enumerate(zip(answers, scaled, strict=True))
    )
    close(model(x), expected)


def test_explicit_attention_learns_at_all_its_scales() -> None:
    scales = Scales(values=(0.5, 1.0, 2.0), combine="explicit")
    logits = network(scales=scales).train()(image(batch=2))
    assert isinstance(logits, MultiScaleLogits)
    assert [one.shape[2] for one in logits.scales] == [128, 64, 32]
    assert [one.shape for one in logits.fused] == [(2, 4, 64, 96)] * 2


class Local(nn.Module):
    """A trunk that sees 31 pixels around each: three 3x3, the first two of stride 2."""

    feature_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.third = nn.Conv2d(4, 4, 3, padding=1)

    def with_features(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        from streamseg.models.trunk import TrunkAnswer

        features = self.third(self.second(self.first(x)).relu()).relu()
        self.largest = max(getattr(self, "largest", 0), x.shape[2] * x.shape[3])
        return TrunkAnswer(features, (features,))


@torch.inference_mode()
@pytest.mark.parametrize(("align_corners", "size"), [(False, (128, 192)), (True, (129, 193))])
def test_tiles_answer_as_the_whole_does(align_corners: bool, size: tuple[int, int]) -> None:
    """Exactly, where a trunk's reach ends within what tiles share."""
    scales = Scales(values=(0.5, 1.0, 2.0))
    torch.manual_seed(0)
    whole = network("icnet", scales=scales, align_corners=align_corners)
    whole.trunk, whole.attention = Local(), AttentionHead(4, 4)
    whole.eval()
    x = image(*size)
    expected = whole(x)
    largest = whole.trunk.largest
    whole.trunk.largest, whole.tile, whole.overlap = 0, (160, 192), 64
    close(whole(x), expected)
    assert whole.trunk.largest <= (160 + align_corners) * (192 + align_corners) < largest


@torch.inference_mode()
def test_only_scales_above_1_are_tiled() -> None:
    model = network(scales=Scales(), tile=(96, 96), overlap=32)
    assert torch.equal(model(image(128, 128)), network(scales=Scales())(image(128, 128)))


@pytest.mark.parametrize(
    ("size", "scale", "align_corners", "expected"),
    [
        ((64, 96), 0.5, False, (32, 48)),
        ((65, 97), 0.5, True, (33, 49)),
        ((65, 97), 2, True, (129, 193)),
        ((3, 1), 0.25, False, (1, 1)),
    ],
)
def test_scaled_sizes(
    size: tuple[int, int], scale: float, align_corners: bool, expected: tuple[int, int]
) -> None:
    assert scaled_size(size, scale, align_corners) == expected


@pytest.mark.parametrize(
    "name", [name for name, entry in ARCHITECTURES.items() if entry.multi_scale]
)
def test_entries_of_the_registry_differ_in_their_trunk(name: str) -> None:
    trunk = name.removesuffix("-ms")
    model = build(name, 3, width=TRUNKS[trunk], scales=Scales(values=(0.5, 1.0, 2.0)))
    assert type(model.trunk).__name__ == ARCHITECTURES[trunk].constructor
    with torch.inference_mode():
        assert model.eval()(image(65, 97)).shape == (1, 3, 65, 97)


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a trunk that looks at one scale, got icnet-ms"):
        MultiScale(4, trunk="icnet-ms")
    with pytest.raises(ValueError, match="expected tiles of at least overlap"):
        MultiScale(4, trunk="icnet", tile=(64, 64))


@torch.inference_mode()
def test_scales_are_fused_in_float32_under_autocast() -> None:
    model = network()
    with torch.autocast("cpu", torch.bfloat16):
        answer = model(image())
    assert answer.dtype == torch.float32
    assert (answer.argmax(1) == model(image()).argmax(1)).float().mean() > 0.9


@torch.inference_mode()
def test_shares_of_two_scales_are_the_lower_ones_attention() -> None:
    model = network(scales=Scales(values=(0.5, 1.0)))
    shares = model.shares(image())
    trusted, _ = seen_at(model, image(), 0.5)
    close(shares[:, :1], up(trusted, (64, 96)))
    close(shares[:, 1:], 1 - up(trusted, (64, 96)))


@torch.inference_mode()
def test_shares_of_four_scales_are_what_the_recursion_makes_of_them() -> None:
    model = network(scales=Scales(values=SETS[2]))
    shares = model.shares(image())
    assert shares.shape == (1, 4, 64, 96)
    close(shares.sum(1), torch.ones(1, 64, 96))
    assert float(shares.min()) >= 0
    quarter, half, whole = (seen_at(model, image(), scale)[0] for scale in (0.25, 0.5, 1.0))
    quarter, half = up(quarter, (64, 96)), up(half, (64, 96))
    close(shares[:, :1], quarter)
    close(shares[:, 1:2], (1 - quarter) * half)
    close(shares[:, 2:3], (1 - quarter) * (1 - half) * whole)


@torch.inference_mode()
def test_shares_of_explicit_attention_are_in_the_order_of_the_scales() -> None:
    model = network(scales=Scales(values=(0.5, 1.0), combine="explicit"))
    x = image()
    features = [
        model.trunk.with_features(up(x, size)).features_BCHW for size in ((64, 96), (32, 48))
    ]
    at_one = features[0].shape[2:]
    weights = model.attention(torch.cat([up(one, at_one) for one in features], 1)).softmax(1)
    close(model.shares(x), up(weights, (64, 96)).flip(1))


def test_a_mean_has_no_shares() -> None:
    model = network(scales=Scales(values=(0.5, 1.0), combine="average"))
    with pytest.raises(ValueError, match=r"combined by attention, got average:0\.5,1"):
        model.shares(image())
