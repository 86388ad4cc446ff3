"""The `transfer` stage. Comes in: a decoded frame. Goes out: the same, its pixels where the network
is."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from streamseg.engine.engine import Engine, PaintingEngine
from streamseg.frames import Drawing, Frame, Prepared


class Transfer:
    """Calls the engine's `prepare`: an upload on a GPU, views on the CPU.

    Args:
        drawing: what is to be drawn of a frame by an engine that paints; None where it is to give logits.
    """

    name = "transfer"

    def __init__(self, engine: Engine, drawing: Callable[[Frame], Drawing] | None = None) -> None:
        self._engine = engine
        self._drawing = drawing

    def process(self, frame: Frame) -> Sequence[Prepared]:
        """Bring one frame to the device."""
        return [Prepared(frame=frame, network_input=self.prepared(frame))]

    def prepared(self, frame: Frame) -> Any:
        """The engine's own form of a frame's pixels."""
        if self._drawing is None:
            return self._engine.prepare(frame.pixels)
        return cast(PaintingEngine, self._engine).prepare_drawn(frame.pixels, self._drawing(frame))

    def drain(self) -> Sequence[Prepared]:
        """Nothing is held back."""
        return ()

    def close(self) -> None:
        """Nothing to release: the engine outlives the stream."""
