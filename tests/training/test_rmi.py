"""Region mutual information against a slow reference: pixel by pixel, in float64."""

from math import exp, log

import numpy as np
import pytest
import torch
from torch import Tensor

from streamseg.labels import IGNORE
from streamseg.training.rmi import (
    RegionMutualInformation,
    region_bound,
    rmi_loss,
    sigmoid_cross_entropy,
)

PUBLISHED = RegionMutualInformation()


def sample(batch: int = 2, classes: int = 3, side: int = 20) -> tuple[Tensor, Tensor]:
    """float64 logits and label maps with a strip unlabelled."""
    generator = torch.Generator().manual_seed(classes)
    logits = 2 * torch.randn(batch, classes, side, side + 4, generator=generator).double()
    label = torch.randint(0, classes, (batch, side // 4, side // 4 + 1), generator=generator)
    label = label.repeat_interleave(4, 1).repeat_interleave(4, 2)
    label[:, :3] = IGNORE
    return logits, label


def averaged(maps: Tensor, how: RegionMutualInformation) -> list[list[Tensor]]:
    """Rows and columns of means over squares, zeros around the picture."""
    height, width = maps.shape
    rows = []
    for top in range(-how.padding, height + how.padding - how.pool + 1, how.pool):
        row = []
        for left in range(-how.padding, width + how.padding - how.pool + 1, how.pool):
            total = maps.new_zeros(())
            for y in range(max(top, 0), min(top + how.pool, height)):
                for x in range(max(left, 0), min(left + how.pool, width)):
                    total = total + maps[y, x]
            row.append(total / how.pool**2)
        rows.append(row)
    return rows


def covariance(one: list[Tensor], other: list[Tensor]) -> Tensor:
    """A sum over neighbourhoods of 9 x 9 products."""
    first, second = sum(one) / len(one), sum(other) / len(other)
    return sum(torch.outer(x - first, y - second) for x, y in zip(one, other, strict=True))  # type: ignore[return-value]


def vectors(rows: list[list[Tensor]], side: int) -> list[Tensor]:
    found = []
    for y in range(len(rows) - side + 1):
        for x in range(len(rows[0]) - side + 1):
            window = [rows[y + down][x + right] for down in range(side) for right in range(side)]
            found.append(torch.stack(window))
    return found


def slow_bound(logits: Tensor, label: Tensor, how: RegionMutualInformation) -> Tensor:
    """Facts 4.3, one class of one picture at a time."""
    batch, classes = logits.shape[:2]
    total = logits.new_zeros(())
    eye = torch.eye(how.side**2, dtype=torch.float64)
    for one in range(batch):
        known = (label[one] < classes).double()
        for k in range(classes):
            y = vectors(averaged((label[one] == k).double(), how), how.side)
            p = vectors(averaged(1 / (1 + (-logits[one, k]).exp()) * known + 1e-6, how), how.side)
            yp = covariance(y, p)
            conditional = (
                covariance(y, y) - yp @ torch.inverse(covariance(p, p) + 5e-4 * eye) @ yp.T
            )
            total = total + 0.5 * torch.logdet(conditional + 5e-4 * eye) / how.side**2
    return total / batch


def slow_pixels(logits: np.ndarray, label: np.ndarray) -> float:
    total, labelled = 0.0, 0
    for one, row, column in np.ndindex(label.shape):
        truth = label[one, row, column]
        if truth == IGNORE:
            continue
        labelled += 1
        for k, value in enumerate(logits[one, :, row, column]):
            probability = 1 / (1 + exp(-value))
            total -= log(probability if k == truth else 1 - probability)
    return total / (labelled + 1)


@pytest.mark.parametrize(
    "how",
    [
        PUBLISHED,
        RegionMutualInformation(padding=0),
        RegionMutualInformation(pool=2, padding=1, side=2),
    ],
    ids=["published", "no padding", "small"],
)
def test_value_and_gradient_are_those_of_the_slow_reference(how: RegionMutualInformation) -> None:
    logits, label = sample()
    fast, slow = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    value = rmi_loss(fast, label, how)
    pixels = slow_pixels(logits.numpy(), label.numpy())
    bound = slow_bound(slow, label, how)
    assert float(value.detach()) == pytest.approx(
        0.5 * pixels + 0.5 * float(bound.detach()), rel=1e-9
    )
    value.backward()  # type: ignore[no-untyped-call]
    bound.backward()  # type: ignore[no-untyped-call]
    known = (label < 3).unsqueeze(1)
    one_hot = torch.nn.functional.one_hot(label.clamp(max=2), 3).permute(0, 3, 1, 2)
    of_pixels = (logits.sigmoid() - one_hot) * known / (known.sum() + 1)
    assert fast.grad is not None and slow.grad is not None
    torch.testing.assert_close(fast.grad, 0.5 * of_pixels + 0.5 * slow.grad, rtol=1e-7, atol=1e-10)


def test_float32_logits_agree_with_float64_to_rounding() -> None:
    logits, label = sample()
    exact = rmi_loss(logits, label, PUBLISHED)
    rounded = rmi_loss(logits.float(), label, PUBLISHED)
    assert rounded.dtype == torch.float32
    assert float(rounded) == pytest.approx(float(exact), rel=1e-4)


def test_the_published_values() -> None:
    """Facts 4.3; the auxiliary loss is the paper's, where the released code takes the pixels' part."""
    assert (
        RegionMutualInformation(pixel_share=0.5, pool=4, padding=2, side=3, auxiliary="softmax")
        == PUBLISHED
    )


def test_the_share_mixes_both_parts() -> None:
    logits, label = sample()
    pixels, regions = (
        rmi_loss(logits, label, RegionMutualInformation(pixel_share=share)) for share in (1.0, 0.0)
    )
    torch.testing.assert_close(pixels, sigmoid_cross_entropy(logits, label))
    torch.testing.assert_close(regions, region_bound(logits, label, PUBLISHED))
    torch.testing.assert_close(rmi_loss(logits, label, PUBLISHED), (pixels + regions) / 2)


def test_what_is_right_leaves_less_unknown() -> None:
    _, label = sample()
    truth = torch.nn.functional.one_hot(label.clamp(max=2), 3).permute(0, 3, 1, 2).double()
    right, wrong = (8 * (truth - 0.5), 8 * (truth.roll(1, 1).roll(3, 2) - 0.5))
    assert region_bound(right, label, PUBLISHED) < region_bound(wrong, label, PUBLISHED) - 1


@pytest.mark.parametrize("case", ["constant", "absent", "ignored", "certain", "one pixel"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_finite_where_little_is_to_be_known(case: str, dtype: torch.dtype) -> None:
    logits, label = sample()
    if case == "constant":
        logits = torch.zeros_like(logits)
    elif case == "absent":
        label[label == 1] = 0
    elif case == "ignored":
        label[:] = IGNORE
    elif case == "certain":
        logits = 1e4 * logits.sign()
    else:
        label[:] = IGNORE
        label[0, 10, 10] = 1
    logits = logits.to(dtype).requires_grad_()
    loss = rmi_loss(logits, label, PUBLISHED)
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert logits.grad is not None and torch.isfinite(logits.grad).all()
    if case == "ignored":
        assert not logits.grad.any()
        assert float(sigmoid_cross_entropy(logits.detach(), label)) == 0


def test_logits_that_are_not_finite_make_it_nan_and_raise_nothing() -> None:
    logits, label = sample()
    assert torch.isnan(rmi_loss(logits * torch.nan, label, PUBLISHED))


def test_too_small_a_picture_is_refused() -> None:
    with pytest.raises(
        ValueError, match="at least 8 px a side for region mutual information, got 7x"
    ):
        rmi_loss(torch.zeros(1, 2, 7, 20), torch.zeros(1, 7, 20, dtype=torch.long), PUBLISHED)


@pytest.mark.parametrize("wrong", [{"pixel_share": 2.0}, {"pool": 0}, {"padding": 3}, {"side": 0}])
def test_impossible_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected p"):
        RegionMutualInformation(**wrong)  # type: ignore[arg-type]
