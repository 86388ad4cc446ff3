from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from streamseg.evaluation.reference import label_image, network_input
from streamseg.models.card import InputSpec

pytestmark = pytest.mark.usefixtures("one_thread")


class ColorVote(nn.Module):
    """A 1x1 convolution of odd stride: logits at a size that no factor of two gives."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 7, 1, stride=3)
        self.dtypes: list[torch.dtype] = []

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv(x)
        self.dtypes.append(logits.dtype)
        return logits


@pytest.fixture
def model(one_thread: None) -> ColorVote:
    torch.manual_seed(5)
    return ColorVote().eval()


@pytest.fixture
def image(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Smooth in parts, so that interpolation matters, with noise."""
    coarse = rng.integers(0, 256, (5, 7, 3))
    noise = rng.integers(-20, 21, (35, 49, 3))
    return np.clip(coarse.repeat(7, 0).repeat(7, 1) + noise, 0, 255).astype(np.uint8)


def make_spec(color: Literal["bgr", "rgb"], align_corners: bool) -> InputSpec:
    return InputSpec(
        size=(33, 65),
        color=color,
        mean=(100.0, 110.0, 125.0),
        std=(57.0, 58.0, 61.0),
        align_corners=align_corners,
    )


def bilinear(image: np.ndarray, size: tuple[int, int], align_corners: bool) -> np.ndarray:
    """H x W x C float64, one axis after the other, by the definition of both conventions."""
    for axis, target in enumerate(size):
        source = image.shape[axis]
        steps = np.arange(target)
        if align_corners:
            position = steps * (source - 1) / (target - 1)
        else:
            position = np.clip((steps + 0.5) * source / target - 0.5, 0, source - 1)
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, source - 1)
        share = (position - low).reshape([-1 if axis == i else 1 for i in range(3)])
        image = (1 - share) * np.take(image, low, axis) + share * np.take(image, high, axis)
    return image


@pytest.mark.parametrize("color", ["bgr", "rgb"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_network_input_is_resized_and_normalised(
    color: Literal["bgr", "rgb"], align_corners: bool, image: NDArray[np.uint8]
) -> None:
    x = network_input(image, make_spec(color, align_corners), (65, 33))
    assert x.shape == (1, 3, 65, 33)
    assert x.dtype == torch.float32
    ordered = image.astype(np.float64)[..., [0, 1, 2] if color == "bgr" else [2, 1, 0]]
    resized = bilinear(ordered, (65, 33), align_corners)
    expected = (resized - [100, 110, 125]) / [57, 58, 61]
    np.testing.assert_allclose(x[0].permute(1, 2, 0).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("color", ["bgr", "rgb"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_labels_are_those_of_a_direct_computation(
    color: Literal["bgr", "rgb"], align_corners: bool, image: NDArray[np.uint8], model: ColorVote
) -> None:
    labels = label_image(model, image, make_spec(color, align_corners), size=(65, 97))
    x = torch.tensor(image).permute(2, 0, 1)[None].float()
    x = F.interpolate(x, (65, 97), mode="bilinear", align_corners=align_corners)
    if color == "rgb":
        x = x[:, [2, 1, 0]]
    x = (x - torch.tensor([100.0, 110, 125])[:, None, None]) / torch.tensor([57.0, 58, 61])[
        :, None, None
    ]
    with torch.no_grad():
        logits = F.conv2d(x, model.conv.weight, model.conv.bias, stride=3)
    logits = F.interpolate(logits, (35, 49), mode="bilinear", align_corners=align_corners)
    expected = logits.argmax(1)[0].numpy()
    assert labels.dtype == np.uint8
    assert labels.shape == (35, 49)
    assert len(np.unique(expected)) > 2
    # Rounding may decide a tie between two classes otherwise, on hardly a pixel.
    assert (labels == expected).mean() > 0.998


def test_channel_order_and_corners_matter(image: NDArray[np.uint8], model: ColorVote) -> None:
    """Guards the tests above: each convention gives other labels here."""
    plain = label_image(model, image, make_spec("bgr", True), size=(65, 97))
    for other in (make_spec("rgb", True), make_spec("bgr", False)):
        assert (label_image(model, image, other, size=(65, 97)) == plain).mean() < 0.99


def test_size_comes_from_the_card_in_the_images_aspect(
    image: NDArray[np.uint8], model: ColorVote
) -> None:
    sizes: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda module, args: sizes.append(tuple(args[0].shape)))
    spec = make_spec("bgr", True)
    label_image(model, image, spec)
    label_image(model, image.transpose(1, 0, 2), spec)
    assert sizes[0][2:] == spec.size_for(35, 49)
    assert sizes[1][2:] == spec.size_for(49, 35)


def test_bf16_is_used_only_if_asked_for(image: NDArray[np.uint8], model: ColorVote) -> None:
    spec = make_spec("bgr", True)
    plain = label_image(model, image, spec)
    reduced = label_image(model, image, spec, bf16=True)
    assert model.dtypes == [torch.float32, torch.bfloat16]
    assert (plain == reduced).mean() > 0.9


def test_a_model_in_training_mode_is_refused(image: NDArray[np.uint8], model: ColorVote) -> None:
    with pytest.raises(ValueError, match=r"expected a model in eval mode.*model\.eval\(\)"):
        label_image(model.train(), image, make_spec("bgr", True))
