from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from streamseg.evaluation.windows import label_by_windows, starts
from streamseg.models.card import InputSpec

SPEC = InputSpec(size=(32, 48), mean=(0, 0, 0), align_corners=False, offset=0, fixed=True)


class Brightness(nn.Module):
    """Class 1 where the blue channel is above 100, by pixel; notes the windows that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x_BCHW: Tensor) -> Tensor:
        self.seen.append(tuple(x_BCHW.shape))
        blue_BHW = x_BCHW[:, 0]
        return torch.stack([torch.full_like(blue_BHW, 100.0), blue_BHW], 1) / 10


def pattern(height: int, width: int, block: int = 1) -> np.ndarray:
    """Blocks of four blues."""
    rng = np.random.default_rng(0)
    blue = rng.choice(np.array([20, 90, 110, 240], np.uint8), (height, width))
    blue = blue.repeat(block, 0).repeat(block, 1)[:height, :width]
    return np.dstack([blue, np.zeros_like(blue), np.zeros_like(blue)])


@pytest.mark.parametrize(
    ("size", "windows"), [((32, 48), 1), ((32, 84), 2), ((80, 48), 3), ((32, 49), 2)]
)
def test_every_pixel_is_labelled_at_its_place(size: tuple[int, int], windows: int) -> None:
    image, network = pattern(*size), Brightness().eval()
    labels = label_by_windows(network, image, SPEC)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, image[..., 0] > 100)
    assert network.seen == [(windows, 3, 32, 48)]


@pytest.mark.parametrize(
    ("size", "windows"), [((64, 96), 1), ((80, 240), 3), ((90, 60), 3), ((10, 100), 9)]
)
def test_windows_are_as_large_as_the_image_takes(size: tuple[int, int], windows: int) -> None:
    image, network = pattern(*size, block=30), Brightness().eval()
    labels = label_by_windows(network, image, SPEC)
    assert network.seen == [(windows, 3, 32, 48)]
    within = np.ix_(*(np.abs(np.arange(extent) % 30 - 14.5) < 10 for extent in size))
    np.testing.assert_array_equal(labels[within], image[within][..., 0] > 100)


def test_windows_that_overlap_are_averaged() -> None:
    class Doubtful(nn.Module):
        """The first window is sure of class 0, the second a little less sure of class 1."""

        def forward(self, x_BCHW: Tensor) -> Tensor:
            logits = x_BCHW.new_zeros(2, 2, 32, 48)
            logits[0, 0], logits[1, 1] = 3, 2
            return logits

    labels = label_by_windows(Doubtful().eval(), pattern(32, 84), SPEC)
    assert (labels[:, :48] == 0).all()
    assert (labels[:, 48:] == 1).all()


def test_windows_overlap_by_a_quarter_and_end_at_the_edge() -> None:
    assert starts(224, 224) == [0]
    assert starts(360, 224) == [0, 136]
    assert starts(480, 224) == [0, 128, 256]
    for extent in range(224, 1200, 7):
        places = starts(extent, 224)
        assert (places[0], places[-1] + 224) == (0, extent)
        assert all(after - before <= 169 for before, after in pairwise(places))


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a model in eval mode"):
        label_by_windows(Brightness(), pattern(32, 48), SPEC)
