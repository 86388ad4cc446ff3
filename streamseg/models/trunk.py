"""What a network offers besides its logits to what is built on top of it (`models.attention`)."""

from typing import NamedTuple, Protocol

from torch import Tensor


class TrunkAnswer(NamedTuple):
    """What a network's `with_features` gives."""

    features_BCHW: Tensor
    """B x `feature_channels` x h x w: the last features, which the classifier reads."""
    logits: tuple[Tensor, ...]
    """B x classes x any size each: the answer; in training mode the auxiliary ones after it."""


class Trunk(Protocol):
    """A network that shows its last features, as all of the registry do.

    Attributes:
        feature_channels: channels of these features.
    """

    feature_channels: int

    def with_features(self, image_BCHW: Tensor) -> TrunkAnswer:
        """What `forward` computes, and the features that it is computed from."""
        ...
