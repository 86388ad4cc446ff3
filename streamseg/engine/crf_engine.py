"""An engine whose answers a fully connected CRF refines by the picture's own pixels. Comes in: any engine. Goes out:
log probabilities at the picture's size. The CRF runs where an answer is waited for, on threads of its own; networks
that were submitted run on meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.crf.mean_field import memory_bytes, refined
from streamseg.crf.parameters import CRF
from streamseg.engine.engine import Engine, EngineInfo, Features, RecentlyUsed, Running, entry_key
from streamseg.engine.entry import Entry, Grid
from streamseg.errors import ModelError
from streamseg.frames import Logits, Moved
from streamseg.models.card import InputSpec
from streamseg.picture.bilinear import interpolation_taps
from streamseg.picture.pixels import Packed, Pixels

MOST_BYTES = 16_000_000_000
"""Of memory for one picture: what needs more is refused before it has the machine swap for hours."""

LEAST = np.float32(1e-30)
"""Of a probability whose logarithm is taken."""

COLORS = InputSpec(size=(1, 1), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), align_corners=False)
STEPS = Grid(scale=1.0, zero=0)
"""What makes 8-bit colours of planes, at any size: an entry to no network."""

ONE = np.float32(1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Input:
    """What the other engine made of a picture, and the picture."""

    pixels: Pixels
    network_input: Any


class CRFEngine:
    """Implements `engine.Engine` around another one, which is closed with it.

    Its card is named after the CRF, too, and so are reports.
    """

    paints = False

    def __init__(self, engine: Engine, crf: CRF) -> None:
        described = "CRF" if crf == CRF() else f"CRF {crf}"
        self.card = replace(engine.card, name=f"{engine.card.name} + {described}")
        self.parallel = engine.parallel
        self.splits = engine.splits
        self._engine = engine
        self._crf = crf
        self._entries: RecentlyUsed[Entry] = RecentlyUsed()

    @property
    def info(self) -> EngineInfo:
        """See `Engine`: the other one's."""
        return self._engine.info

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """See `Engine`."""
        return self._engine.network_size(size)

    def prepare(self, pixels: Pixels) -> _Input:
        """See `Engine`.

        Raises:
            ValueError: the CRF would take more memory than `MOST_BYTES`.
        """
        height, width = pixels.size
        need = memory_bytes(pixels.size, len(self.card.labels))
        if need > MOST_BYTES:
            raise ValueError(
                f"expected pictures for which a CRF takes up to {MOST_BYTES / 1e9:.0f} GB of memory, one of "
                f"{height}x{width} takes {need / 1e9:.0f} GB; drop --crf, or scale the pictures down"
            )
        return _Input(pixels=pixels, network_input=self._engine.prepare(pixels))

    def infer(self, network_input: _Input) -> Logits:
        """See `Engine`."""
        return self._refined(self._engine.infer(network_input.network_input), network_input)

    def submit(self, network_input: _Input) -> Running[Logits]:
        """See `Engine`."""
        running = self._engine.submit(network_input.network_input)
        return _Refining(running, lambda logits: self._refined(logits, network_input))

    def context(self, network_input: _Input) -> Features:
        """See `Engine`."""
        return self._engine.context(network_input.network_input)

    def submit_context(self, network_input: _Input) -> Running[Features]:
        """See `Engine`."""
        return self._engine.submit_context(network_input.network_input)

    def refine(self, network_input: _Input, moved: Sequence[Moved]) -> Logits:
        """See `Engine`."""
        logits = self._engine.refine(network_input.network_input, moved)
        return self._refined(logits, network_input)

    def submit_refine(self, network_input: _Input, moved: Sequence[Moved]) -> Running[Logits]:
        """See `Engine`."""
        running = self._engine.submit_refine(network_input.network_input, moved)
        return _Refining(running, lambda logits: self._refined(logits, network_input))

    def close(self) -> None:
        """See `Engine`."""
        self._entries.clear()
        self._engine.close()

    def _refined(self, logits: Logits, network_input: _Input) -> Logits:
        if not logits.raw:
            raise ModelError(
                "expected a model that answers with raw scores, this one gives class ids or probabilities, of which a "
                "CRF cannot tell how sure it is; drop --crf"
            )
        pixels = network_input.pixels
        probabilities = probabilities_at(logits, pixels.size)
        marginals = refined(probabilities, self._colors(pixels), self._crf)
        scores = np.log(np.maximum(marginals, LEAST))
        return Logits(scores=scores, align_corners=logits.align_corners)

    def _colors(self, pixels: Pixels) -> NDArray[np.uint8]:
        """H x W x 3, as networks see them."""
        if isinstance(pixels, Packed):
            return pixels.pixels
        entry = self._entries.get(
            entry_key(pixels), lambda: Entry(pixels, COLORS, pixels.size, STEPS)
        )
        colors: NDArray[np.uint8] = entry(pixels)[0].astype(np.uint8, copy=False)
        return colors


class _Refining:
    """A picture on its way; implements `engine.Running`. The CRF's part of it begins with the call."""

    def __init__(self, running: Running[Logits], refine: Callable[[Logits], Logits]) -> None:
        self._running = running
        self._refine = refine

    def __call__(self) -> Logits:
        return self._refine(self._running())

    def done(self) -> bool:
        """Whether the network's part is done, see `Running`."""
        return self._running.done()


def probabilities_at(logits: Logits, size: tuple[int, int]) -> NDArray[np.float32]:
    """Softmax of the logits, interpolated to `size` (height, width): H x W x classes, float32."""
    rows, columns = (
        interpolation_taps(nodes, pixels, logits.align_corners)
        for nodes, pixels in zip(logits.scores.shape[:2], size, strict=True)
    )
    out = np.empty((*size, logits.scores.shape[2]), np.float32)
    _probabilities(logits.scores, *rows, *columns, out)
    return out


@compiled
def _probabilities(scores: Any, top: Any, down: Any, left: Any, right: Any, out: Any) -> None:
    height, width, classes = scores.shape
    for y in range(out.shape[0]):
        row, below = top[y], min(top[y] + 1, height - 1)
        weight, rest = down[y], ONE - down[y]
        for x in range(out.shape[1]):
            at, behind = left[x], min(left[x] + 1, width - 1)
            u, v = right[x], ONE - right[x]
            values = out[y, x]
            greatest = np.float32(-np.inf)
            for k in range(classes):
                upper = scores[row, at, k] * v + scores[row, behind, k] * u
                lower = scores[below, at, k] * v + scores[below, behind, k] * u
                values[k] = upper * rest + lower * weight
                greatest = max(greatest, values[k])
            total = np.float32(0)
            for k in range(classes):
                values[k] = np.exp(values[k] - greatest)
                total += values[k]
            for k in range(classes):
                values[k] /= total
