"""A batch in parts gives the gradient of the whole."""

import threading
from contextlib import closing

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.training.shards import Shards

IMAGE = torch.linspace(-1, 1, 5 * 3 * 4 * 4).reshape(5, 3, 4, 4)
LABEL = (torch.arange(5 * 4 * 4) % 2).reshape(5, 4, 4)


def loss_of(model: nn.Module, image: Tensor, label: Tensor) -> Tensor:
    return F.cross_entropy(model(image), label)


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(3, 2, 1)


def normed() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_parts_give_the_gradient_of_the_whole(count: int) -> None:
    whole, parts = plain(), plain()
    expected = loss_of(whole, IMAGE, LABEL)
    expected.backward()  # type: ignore[no-untyped-call]
    with closing(Shards(parts, count)) as shards:
        for _ in range(2):  # what was there before is replaced
            assert shards.backward(loss_of, IMAGE, LABEL) == pytest.approx(expected.item())
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-7)


def test_parts_follow_the_weights() -> None:
    model = plain()
    with closing(Shards(model, 2)) as shards:
        before = shards.backward(loss_of, IMAGE, LABEL)
        torch.optim.SGD(model.parameters(), lr=0.5).step()
        after = shards.backward(loss_of, IMAGE, LABEL)
        assert after == pytest.approx(loss_of(model, IMAGE, LABEL).item())
    assert after < before


def test_batch_norm_sees_parts_and_its_statistics_are_averaged() -> None:
    model, first, second = normed().train(), normed().train(), normed().train()
    with closing(Shards(model, 2)) as shards:
        for _ in range(2):
            shards.backward(loss_of, IMAGE[:4], LABEL[:4])
    for _ in range(2):
        first(IMAGE[:2])
        second(IMAGE[2:4])
        mean = (first[1].running_var + second[1].running_var) / 2  # type: ignore[index]
        for norm in (first[1], second[1]):  # type: ignore[index]
            norm.running_var.copy_(mean)
    assert torch.allclose(model[1].running_var, mean)  # type: ignore[index]
    assert model[1].num_batches_tracked == 2  # type: ignore[index]


def test_the_same_parts_give_the_same_bits_whatever_thread_is_faster() -> None:
    found = []
    for _ in range(5):
        model = normed().train()
        with closing(Shards(model, 3)) as shards:
            shards.backward(loss_of, IMAGE, LABEL)
        found.append([one.grad for one in model.parameters()])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert a is not None
            assert b is not None
            assert torch.equal(a, b)


def test_threads_end() -> None:
    with closing(Shards(plain(), 2)) as shards:
        shards.backward(loss_of, IMAGE, LABEL)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("shard")]


def test_no_part_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1 part of a batch, got 0"):
        Shards(plain(), 0)


@pytest.mark.parametrize("count", [1, 2])
def test_what_the_loss_does_not_depend_on_has_a_gradient_of_zeros(count: int) -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1))
    shards = Shards(model, count)
    images, labels = torch.ones(2, 1, 3, 3), torch.zeros(2, 3, 3)
    shards.backward(lambda one, image, label: one[0](image).mean(), images, labels)
    shards.close()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model[0].weight.grad.any()
    assert not model[1].weight.grad.any()
