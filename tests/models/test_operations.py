import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from streamseg.models.find import find_model
from streamseg.models.operations import gflop
from streamseg.models.weights import load_model


class Functional(nn.Module):
    """A convolution that is no module, behind one that is."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, stride=2)
        self.weight = nn.Parameter(nn.Conv2d(4, 6, 1).weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.relu(self.first(x)), self.weight)


def test_every_product_of_a_convolution_is_two_operations() -> None:
    # 3x5 pixels of 4 channels, each from 3 * 9 numbers; then of 6 channels, each from 4.
    assert gflop(Functional(), (6, 10)) == pytest.approx(2e-9 * (15 * 4 * 27 + 15 * 6 * 4))


def test_grouped_convolutions_do_less() -> None:
    grouped = nn.Sequential(nn.Conv2d(3, 6, 1, groups=3))
    assert gflop(grouped, (2, 2)) == pytest.approx(2e-9 * 4 * 6 * 1)


def test_counting_leaves_the_network_as_it_was() -> None:
    network = Functional()
    gflop(network, (6, 10))
    assert network.weight.device.type == "cpu"


def test_the_published_network_at_its_published_size() -> None:
    """As the shapes of its layers say, summed by hooks on its modules."""
    import torch

    network = load_model(find_model("icnet-camvid"))
    products = []

    def count(module: nn.Module, inputs: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        window = module.weight.numel() // module.out_channels
        products.append(output.numel() * window)

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 65, 129))
    products_by_hooks = sum(products)
    assert gflop(load_model(find_model("icnet-camvid")), (65, 129)) == pytest.approx(
        2e-9 * products_by_hooks
    )
