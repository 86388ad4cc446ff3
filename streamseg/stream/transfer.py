"""The `transfer` stage. Comes in: a decoded frame. Goes out: the same, its pixels where the network
is."""

from collections.abc import Sequence

from streamseg.engine.engine import Engine
from streamseg.frames import Frame, Prepared


class Transfer:
    """Calls the engine's `prepare`: an upload on a GPU, views on the CPU."""

    name = "transfer"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def process(self, frame: Frame) -> Sequence[Prepared]:
        """Bring one frame to the device."""
        return [Prepared(frame=frame, network_input=self._engine.prepare(frame.pixels))]

    def drain(self) -> Sequence[Prepared]:
        """Nothing is held back."""
        return ()

    def close(self) -> None:
        """Nothing to release: the engine outlives the stream."""
