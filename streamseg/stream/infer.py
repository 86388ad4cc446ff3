"""The `infer` stage. Comes in: a frame on the device. Goes out: its logits. Knows no architecture."""

from streamseg.engine.engine import Engine
from streamseg.frames import Inferred, Prepared


class Infer:
    """Calls the engine's `infer`, every frame in full."""

    name = "infer"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def process(self, prepared: Prepared) -> Inferred:
        """Run the network on one frame."""
        logits = self._engine.infer(prepared.network_input)
        return Inferred(frame=prepared.frame, logits=logits, is_keyframe=True)

    def close(self) -> None:
        """Nothing to release: the engine outlives the stream."""
