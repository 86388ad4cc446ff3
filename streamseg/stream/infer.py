"""The `infer` stage. Comes in: a frame on the device. Goes out: its logits. Knows no architecture."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from streamseg.engine.engine import Engine, Running, wait_for_all
from streamseg.frames import Inferred, Labelled, Logits, Prepared


class Infer:
    """Runs the network on every frame in full.

    Args:
        side_by_side: keep `engine.parallel` pictures running and one more waiting its turn, for the most
            frames a second: results come out that much later. If not, one at a time, each as quickly as
            possible.
    """

    name = "infer"

    def __init__(self, engine: Engine, *, side_by_side: bool) -> None:
        self._engine = engine
        self._side_by_side = side_by_side
        # With the engine's answer its `Prepared`: the network reads the frame's own memory until then.
        self._running: deque[tuple[Prepared, Running[Logits | Labelled]]] = deque()

    def process(self, prepared: Prepared) -> Sequence[Inferred]:
        """Run the network on one frame, or start it and give out the oldest once enough others run."""
        if not self._side_by_side:
            return [_inferred(prepared, self._engine.infer(prepared.network_input))]
        self._running.append((prepared, self._engine.submit(prepared.network_input)))
        return [] if len(self._running) <= self._engine.parallel else [self._oldest()]

    def drain(self) -> Sequence[Inferred]:
        """Wait for all that run; in order."""
        return [self._oldest() for _ in range(len(self._running))]

    def warm_up(self, network_input: Any) -> Logits | Labelled:
        """Run the network on the very path that frames will take, before the first one is due."""
        answer: Logits | Labelled
        if not self._side_by_side:
            answer = self._engine.infer(network_input)
        else:
            answer = wait_for_all(
                [self._engine.submit(network_input) for _ in range(self._engine.parallel)]
            )
        return answer

    def close(self) -> None:
        """Wait for what runs, for its buffers go with this stage. The engine outlives the stream.

        Raises:
            Exception: the first of those that fail.
        """
        running = list(self._running)
        self._running.clear()
        if running:
            wait_for_all([wait for _, wait in running])

    def _oldest(self) -> Inferred:
        prepared, wait = self._running.popleft()
        return _inferred(prepared, wait())


def _inferred(prepared: Prepared, logits: Logits | Labelled) -> Inferred:
    return Inferred(frame=prepared.frame, logits=logits)
