"""A network that draws random numbers while it learns, which none of the shipped ones does."""

from torch import Tensor, nn


class DropoutNetwork(nn.Sequential):
    """Two convolutions with dropout between them; logits at the image's size."""

    def __init__(self, num_classes: int, *, width: float, align_corners: bool = True) -> None:
        super().__init__(
            nn.Conv2d(3, int(8 * width), 3, padding=1),
            nn.ReLU(),
            nn.Dropout2d(0.5),
            nn.Conv2d(int(8 * width), num_classes, 1),
        )

    def forward(self, image_BCHW: Tensor) -> Tensor:
        logits: Tensor = super().forward(image_BCHW / 64)
        return logits
