"""A batch in parts. Comes in: a batch. Goes out: the gradient of its mean loss, in the network's `grad`.

On the CPU the parts are computed side by side, each on a thread of its own: many small layers do not gain from being
split over threads one by one, and whoever splits them so waits for the slowest thread after each. Elsewhere they are
computed one after the other; the gradient is the same.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import torch
from torch import Tensor, nn

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(network, images, label maps) -> mean loss over them. Called on several threads at once, each with a network of its
own."""


class Shards:
    """Copies of a network that share its weights; each has its own batch-norm statistics, which are averaged.

    Args:
        model: in training mode; its weights may change in place alone from now on.
        count: parts of a batch, none of them empty. Their batch norm sees a part each, so that another count is another
            training.

    A network that draws random numbers does not draw the same ones again with several parts side by side.
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        if count < 1:
            raise ValueError(f"expected at least 1 part of a batch, got {count}")
        self._models = [model, *(_sharing(model) for _ in range(count - 1))]
        on_cpu = next(model.parameters()).device.type == "cpu"
        self._pool = None
        if count > 1 and on_cpu:
            threads = max(1, torch.get_num_threads() // count)
            self._pool = ThreadPoolExecutor(
                count, "shard", initializer=torch.set_num_threads, initargs=(threads,)
            )

    def backward(self, loss_of: Loss, image: Tensor, label: Tensor) -> float:
        """The batch's mean loss; its gradient is in `grad` of the network's parameters, and replaces what was there."""
        count = len(self._models)
        images, labels = image.tensor_split(count), label.tensor_split(count)

        def one(index: int) -> float:
            model, share = self._models[index], len(images[index]) / len(image)
            model.zero_grad(set_to_none=True)
            loss = share * loss_of(model, images[index], labels[index])
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        parts = range(count)
        losses = list(self._pool.map(one, parts) if self._pool else map(one, parts))
        self._gather()
        return sum(losses)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    @torch.no_grad()
    def _gather(self) -> None:
        """Gradients added up, and statistics averaged, in the order of the parts.

        What the loss does not depend on has a gradient of zeros: the optimizer then keeps moments of every parameter,
        as a run that is resumed expects.
        """
        for weights in zip(*(model.parameters() for model in self._models), strict=True):
            gradients = [one.grad for one in weights if one.grad is not None]
            weights[0].grad = gradients[0] if gradients else torch.zeros_like(weights[0])
            for gradient in gradients[1:]:
                gradients[0].add_(gradient)
        for buffers in zip(*(model.buffers() for model in self._models), strict=True):
            if len(buffers) > 1 and buffers[0].is_floating_point():
                buffers[0].copy_(torch.stack(buffers).mean(0))
            for other in buffers[1:]:
                other.copy_(buffers[0])


def _sharing(model: nn.Module) -> nn.Module:
    """A copy with weights of its own that lie in the same memory."""
    copy = deepcopy(model)
    for own, shared in zip(copy.parameters(), model.parameters(), strict=True):
        own.data = shared.data
    return copy
