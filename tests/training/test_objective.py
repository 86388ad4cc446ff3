"""What a recipe minimises, term by term."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from streamseg.datasets.augment import View
from streamseg.labels import IGNORE
from streamseg.models.attention import MultiScaleLogits
from streamseg.models.card import InputSpec
from streamseg.training.losses import cascade_label_guidance, soft_jaccard
from streamseg.training.objective import Objective
from streamseg.training.recipe import Recipe
from streamseg.training.rmi import RegionMutualInformation, rmi_loss, sigmoid_cross_entropy
from streamseg.training.stage import Stage

IMAGE = torch.zeros(2, 3, 32, 48, dtype=torch.uint8)


def recipe(**changes: Any) -> Recipe:
    stage = Stage(epochs=1, batch=2, view=View(crop=(32, 48)), learning_rate=0.1)
    values: dict[str, Any] = {
        "name": "tiny", "architecture": "hrnet-ocr", "stages": (stage,),
        "input": InputSpec(size=(32, 48), align_corners=False, offset=0),
        "branch_weights": (1.0, 0.4),
    }  # fmt: skip
    return Recipe(**{**values, **changes})


def logits(height: int = 8, width: int = 12, seed: int = 0) -> Tensor:
    return torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(seed))


def label() -> Tensor:
    drawn = torch.randint(0, 4, (2, 32, 48), generator=torch.Generator().manual_seed(9))
    drawn[:, :3] = IGNORE
    return drawn


def loss(of: Recipe, given: Any, *, label_stride: int | None = None) -> Tensor:
    return Objective(of, None).loss(
        given, IMAGE, label(), class_weights_C=None, label_stride=label_stride
    )


def full(x: Tensor) -> Tensor:
    return F.interpolate(x, (32, 48), mode="bilinear", align_corners=False)


def test_without_anything_new_it_is_cascade_label_guidance() -> None:
    branches = (logits(), logits(seed=1))
    expected = cascade_label_guidance(branches, label(), (1.0, 0.4))
    assert torch.equal(loss(recipe(), branches), expected)
    jaccard = expected + 0.5 * soft_jaccard(branches[0], label())
    torch.testing.assert_close(loss(recipe(jaccard_weight=0.5), branches), jaccard)
    assert torch.equal(
        loss(recipe(), branches[0]), cascade_label_guidance(branches[:1], label(), (1.0,))
    )


def test_regions_take_the_place_of_the_answers_cross_entropy() -> None:
    """Facts 4.2: main loss by regions, 0.4 of the auxiliary one without; softmax cross entropy as the paper says."""
    how = RegionMutualInformation()
    answer, auxiliary = logits(), logits(seed=1)
    main = rmi_loss(full(answer), label(), how)
    paper = main + 0.4 * cascade_label_guidance([full(auxiliary)], label(), (1.0,))
    torch.testing.assert_close(loss(recipe(region=how), (answer, auxiliary)), paper)
    as_released = RegionMutualInformation(auxiliary="sigmoid")
    released = main + 0.4 * sigmoid_cross_entropy(full(auxiliary), label())
    torch.testing.assert_close(loss(recipe(region=as_released), (answer, auxiliary)), released)
    assert not torch.allclose(paper, released)


def test_scales_alone_are_not_supervised_unless_asked_for() -> None:
    """The paper has no such term; the later recipes have 0.05 of each scale's answer, without regions."""
    how = RegionMutualInformation()
    fused, alone = (logits(32, 48), logits(32, 48, 1)), (logits(32, 48, 2), logits(16, 24, 3))
    given = MultiScaleLogits(fused, alone)
    plain = loss(recipe(region=how), given)
    assert recipe().scale_weight == 0
    torch.testing.assert_close(plain, loss(recipe(region=how), fused))
    terms = [cascade_label_guidance([full(one)], label(), (1.0,)) for one in alone]
    supervised = loss(recipe(region=how, scale_weight=0.05), given)
    torch.testing.assert_close(supervised, plain + 0.05 * (terms[0] + terms[1]))


def test_a_label_stride_interpolates_the_answer_by_the_recipes_corners() -> None:
    answer = logits()
    finer = F.interpolate(answer, (16, 24), mode="bilinear", align_corners=False)
    expected = cascade_label_guidance([finer], label(), (1.0,))
    torch.testing.assert_close(loss(recipe(), answer, label_stride=2), expected)


@pytest.mark.parametrize("region", [None, RegionMutualInformation()])
def test_an_unlabelled_batch_has_a_finite_loss(region: RegionMutualInformation | None) -> None:
    answer = logits().requires_grad_()
    nothing = torch.full((2, 32, 48), IGNORE)
    objective = Objective(recipe(region=region, scale_weight=0.05), None)
    given = MultiScaleLogits((answer, answer), (answer,))
    total = objective.loss(given, IMAGE, nothing, class_weights_C=None, label_stride=None)
    total.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(total) and answer.grad is not None
    assert not answer.grad.any()


def test_a_weight_for_every_branch() -> None:
    given = (logits(), logits(seed=1), logits(seed=2))
    with pytest.raises(ValueError, match=r"expected one weight per branch \(3\), got 2 weights"):
        loss(recipe(region=RegionMutualInformation()), given)
