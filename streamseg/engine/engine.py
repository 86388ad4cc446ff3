"""The `Engine` protocol, all that the stream knows of a network, and what every engine shares."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamseg.frames import Drawing, Logits, Moved
from streamseg.models.card import MAX_SIDE, InputSpec, ModelCard
from streamseg.picture.pixels import Packed, Pixels

Backend = Literal["openvino", "torch"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]

SizeChoice = tuple[int, int] | Literal["auto", "native"]
"""Network input: (height, width); the source's own size; or the card's number of pixels in the source's aspect."""

GRAPHS_KEPT = 4
"""Kinds and sizes of picture that an engine stays prepared for: a folder of images may hold a new size each."""

WORKING_PIXELS, WORKING_SIDE = 1024 * 768, 1280
"""Scores take a float per class and pixel. Larger pictures are answered at this size, and labels interpolated."""

Made = TypeVar("Made")
Answer = TypeVar("Answer", covariant=True)

Progress = Callable[[int, int], None]
"""Told (done, total) while one picture is worked at in many parts: 0 first, `total` last, on the engine's thread."""

Features = Any
"""What the deep part of a network makes of a picture; only the engine that made them can read them. They can be
used any number of times, and outlive their picture's buffers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Where and how an engine runs; goes into the report.

    Attributes:
        fallbacks: "what was asked, what was used, why", one line each.
    """

    backend: Backend
    device: str
    precision: Precision
    fallbacks: tuple[str, ...] = field(default=())


class Running(Protocol[Answer]):
    """Work that an engine has begun. To be called once: waits, and gives its answer."""

    def __call__(self) -> Answer: ...

    def done(self) -> bool:
        """Whether a call would not wait. From the caller's thread, before the call."""
        ...


class Engine(Protocol):
    """A network that takes pixels of any size.

    `prepare` may run on one thread, all that computes on another.

    A network that can be split computes `infer(x)` as `refine(x, [Moved(features=context(x))])`, to rounding; the
    features of a picture before or after it will do as well, when they are moved to where its contents are.

    Attributes:
        parallel: how many pictures `submit` computes side by side.
        splits: whether the network has a `context` and a `refine`.
        paints: whether it is a `PaintingEngine`.
    """

    card: ModelCard
    parallel: int
    splits: bool
    paints: bool

    @property
    def info(self) -> EngineInfo:
        """Where and how it runs. Fallbacks may be added with every picture."""
        ...

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Network input (height, width) for pixels of `size` (height, width)."""
        ...

    def prepare(self, pixels: Pixels) -> Any:
        """Bring pixels to the device, and on the CPU into the network's own form."""
        ...

    def infer(self, network_input: Any) -> Any:
        """Run the network on what `prepare` returned, as quickly as this one picture can be had.

        Returns:
            `Logits`; of what `prepare_drawn` returned, `Labelled`. The caller's to keep.

        Raises:
            ModelError: the file turns out not to run at this size.
            ValueError: the engine is closed.
        """
        ...

    def submit(self, network_input: Any) -> Running[Any]:
        """Begin with a picture and return at once: as many pictures a second as there can be.

        Returns:
            What waits for the answer, as of `infer`, to be called once. `parallel` pictures are computed at a
            time; a few more may be begun, and wait.

        Raises:
            ModelError, ValueError: see `infer`.
        """
        ...

    def context(self, network_input: Any) -> Features:
        """Run the deep part alone, as quickly as this one picture can be had.

        Raises:
            ModelError, ValueError: see `infer`. Of networks that do not split it may not be asked.
        """
        ...

    def submit_context(self, network_input: Any) -> Running[Features]:
        """Begin with the deep part and return at once, see `submit`; leaves cores to what else is to be computed."""
        ...

    def refine(self, network_input: Any, moved: Sequence[Moved]) -> Logits:
        """Run the fine part on a picture, with features of others of the same size, as quickly as can be.

        Args:
            moved: of one picture or two. Of two each counts by its share, where what the picture shows is in view
                in both; where it is in one alone, only that one does.

        Raises:
            ModelError, ValueError: see `context`.
        """
        ...

    def submit_refine(self, network_input: Any, moved: Sequence[Moved]) -> Running[Logits]:
        """Begin with `refine` and return at once, see `submit`."""
        ...

    def close(self) -> None:
        """Free the device's memory. Idempotent; nothing can be inferred afterwards. Nothing may be in flight."""
        ...


class PaintingEngine(Engine, Protocol):
    """An engine that labels and draws pictures where its network runs, so that bytes come back instead of logits."""

    def prepare_drawn(self, pixels: Pixels, drawing: Drawing) -> Any:
        """As `prepare`, for an answer that is labelled and drawn.

        Args:
            pixels: interleaved ones are labelled alone.
        """
        ...


def network_size(spec: InputSpec, choice: SizeChoice, size: tuple[int, int]) -> tuple[int, int]:
    """Resolve `--size` for a source of `size` (height, width).

    Raises:
        ValueError: a size outside 1..8192, or one that a fixed-size network cannot take.
    """
    if choice == "auto":
        return spec.size_for(*size)
    native = size if spec.fixed else spec.good_size(*size)
    wanted = native if choice == "native" else choice
    if not (
        isinstance(wanted, tuple)
        and len(wanted) == 2
        and all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in wanted)
    ):
        raise ValueError(
            f"expected a network size (height, width) from 1x1 to {MAX_SIDE}x{MAX_SIDE}, "
            f'"auto" or "native", got {wanted!r}'
        )
    if spec.fixed and wanted != spec.size:
        raise ValueError(
            f"this network runs at {spec.size[0]}x{spec.size[1]} only, got --size {wanted[0]}x{wanted[1]}"
        )
    return wanted


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) at which engines answer that compute as fine as a picture of `size`: at most `WORKING_PIXELS`."""
    height, width = size
    scale = min(math.sqrt(WORKING_PIXELS / (height * width)), WORKING_SIDE / max(size))
    return size if scale >= 1 else (max(1, int(height * scale)), max(1, int(width * scale)))


def arrays_of(pixels: Pixels) -> list[NDArray[np.uint8]]:
    """What a network's entry takes: 1 x H x W x 3, or Y', Cb and Cr of 1 x 1 x H x W.

    Views where rows are contiguous and memory is writable (neither torch nor OpenVINO share any other), else copies.
    """
    if isinstance(pixels, Packed):
        return [np.require(pixels.pixels, requirements=["C", "W"])[None]]
    return [
        np.require(plane, requirements=["C", "W"])[None, None]
        for plane in (pixels.y, pixels.u, pixels.v)
    ]


def entry_key(pixels: Pixels) -> tuple[str, str, bool, tuple[int, int]]:
    """Pixels with equal keys can share an entry and a compiled graph."""
    if isinstance(pixels, Packed):
        return ("packed", pixels.order, True, pixels.size)
    return ("planar", pixels.matrix, pixels.full_range, pixels.size)


class Finished(Generic[Made]):
    """`Running` work that was done at once."""

    def __init__(self, answer: Made) -> None:
        self._answer = answer

    def __call__(self) -> Made:
        return self._answer

    def done(self) -> bool:
        """See `Running`."""
        return True


def answers_of_all(waits: Sequence[Callable[[], Made]]) -> list[Made]:
    """The answers of all, in order; the first failure is raised when none runs any more."""
    answers: list[Made] = []
    failures: list[BaseException] = []
    for wait in waits:
        try:
            answers.append(wait())
        except BaseException as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    return answers


def wait_for_all(waits: Sequence[Callable[[], Made]]) -> Made:
    """The last one's answer, see `answers_of_all`."""
    return answers_of_all(waits)[-1]


class RunsWhole:
    """What `Engine` has for networks that can be split, of engines that run theirs whole. Nobody may ask for it.

    Nor do they paint.
    """

    splits = False
    paints = False

    def context(self, network_input: Any) -> Features:
        """See `Engine`."""
        raise ValueError("expected a network that can be split; this one runs as a whole")

    def submit_context(self, network_input: Any) -> Running[Features]:
        """See `Engine`."""
        return Finished(self.context(network_input))

    def refine(self, network_input: Any, moved: Sequence[Moved]) -> Logits:
        """See `Engine`."""
        raise ValueError("expected a network that can be split; this one runs as a whole")

    def submit_refine(self, network_input: Any, moved: Sequence[Moved]) -> Running[Logits]:
        """See `Engine`."""
        return Finished(self.refine(network_input, moved))


class RecentlyUsed(Generic[Made]):
    """The `GRAPHS_KEPT` most recently used values. Not thread-safe."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Made] = {}

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The value of `key`, made if need be. The oldest is dropped before that, so that no more are ever alive."""
        if key not in self._made:
            while len(self._made) >= GRAPHS_KEPT:
                del self._made[next(iter(self._made))]
            self._made[key] = make()
        value = self._made[key] = self._made.pop(key)
        return value

    def __len__(self) -> int:
        return len(self._made)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._made

    def clear(self) -> None:
        """Drop all."""
        self._made.clear()
