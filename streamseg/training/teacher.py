"""A trained network that teaches another. Comes in: the images of a batch. Goes out: its logits."""

import hashlib

import torch
from torch import Tensor

from streamseg.errors import ModelError
from streamseg.labels import LabelSet
from streamseg.models.blocks import resize
from streamseg.models.find import find_model
from streamseg.models.weights import load_model
from streamseg.training.batches import normalized


class Teacher:
    """A network in eval mode that never learns.

    Attributes:
        name: of its card.
        digest: 16 hexadecimal digits that files of other weights do not have.

    Raises:
        ModelError: no such weights, or of other classes than those to be taught.
    """

    def __init__(self, weights: str, labels: LabelSet, device: str, *, bf16: bool) -> None:
        file = find_model(weights)
        if file.card.labels.class_names != labels.class_names:
            raise ModelError(
                f"expected a teacher with the classes of {labels.name} "
                f"({', '.join(labels.class_names)}), {file.card.name} has "
                f"{', '.join(file.card.labels.class_names)}"
            )
        self.name = file.card.name
        self.digest = hashlib.sha256(file.path.read_bytes()).hexdigest()[:16]
        self._spec = file.card.input
        self._bf16 = bf16
        model = load_model(file).requires_grad_(False)
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._model = model

    @torch.no_grad()
    def logits(self, image_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
        """B x classes x `size`, float32.

        Args:
            image_BCHW: uint8 BGR on the teacher's device; it takes the pixels as its own card says.
            size: (height, width) of the logits to be taught.
        """
        x = normalized(image_BCHW, self._spec)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._bf16):
            logits = self._model(x)
        taught: Tensor = resize(logits.float(), size, self._spec.align_corners)
        return taught
