"""`Session`: what every section of a benchmark is given, and what they share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.benchmark.baselines import PlainNetwork, plain_network
from streamseg.benchmark.copies import RATE, scaled_copy
from streamseg.benchmark.plan import Plan
from streamseg.benchmark.records import Form, Size, Skipped
from streamseg.benchmark.rounds import Progress
from streamseg.engine.choose import open_engine
from streamseg.engine.engine import RecentlyUsed, SizeChoice
from streamseg.errors import BackendError
from streamseg.reading.open_source import open_source

if TYPE_CHECKING:
    from streamseg.engine.engine import Engine
    from streamseg.frames import Frame
    from streamseg.models.card import ModelFile

PRECISIONS = ("fp32", "bf16", "int8")
"""Of OpenVINO, on a CPU that has the units for them."""


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One run of a benchmark.

    Attributes:
        model: our own weights.
        video: what all copies are made of.
        folder: for copies and outputs.
        data: CamVid's folder; None where there is none.
        skipped: what could not be measured so far.
    """

    model: "ModelFile"
    plan: Plan
    video: Path
    folder: Path
    data: Path | None
    progress: Progress
    skipped: list[Skipped] = field(default_factory=list)
    _published: RecentlyUsed[PlainNetwork] = field(default_factory=RecentlyUsed)

    def skip(self, what: str, reason: str) -> None:
        """Note, once, that something cannot be measured."""
        note = Skipped(what=what, reason=reason)
        if note not in self.skipped:
            self.skipped.append(note)

    def copy(self, size: Size, frames: int, rate: int = RATE) -> Path:
        """The video at `size`, with at least so many frames; made once."""
        path = self.folder / f"{size[0]}x{size[1]}_{frames}_{rate}.mp4"
        if not path.exists():
            self.progress(f"writing a {size[0]}x{size[1]} copy of {self.video.name}")
            scaled_copy(self.video, size, path, frames, rate)
        return path

    def published(self, backend: str, precision: str, size: Size) -> PlainNetwork:
        """The network as published, for one size of input; kept for a while, as loading and compiling take long."""
        self.progress(f"compiling {network_name(backend, precision, 'published')}")
        key = (backend, precision, None if backend == "torch" else size)
        return self._published.get(key, lambda: plain_network(self.model, backend, precision, size))

    def first_frame(self, size: Size) -> "Frame":
        """The first picture of the video at `size`."""
        source = open_source(self.copy(size, 1))
        try:
            return next(iter(source))
        finally:
            source.close()

    @contextmanager
    def engine(
        self, backend: str, precision: str, size: SizeChoice, *, compile: bool = False
    ) -> "Iterator[Engine | None]":
        """An engine on the CPU, in this very precision if it is not "auto"; None, and a note, if there is none."""
        engine = self._open(backend, precision, size, compile)
        try:
            yield engine
        finally:
            if engine is not None:
                engine.close()

    def _open(
        self, backend: str, precision: str, size: SizeChoice, compile: bool
    ) -> "Engine | None":
        name = network_name(backend, precision, compile=compile)
        try:
            engine = open_engine(
                self.model,
                backend=backend,
                device="cpu",
                precision=precision,
                size=size,
                compile=compile,
            )
        except BackendError as error:
            self.skip(name, str(error))
            return None
        if precision in ("auto", engine.info.precision):
            return engine
        engine.close()
        self.skip(name, "; ".join(engine.info.fallbacks))
        return None


def network_name(
    backend: str, precision: str, form: Form = "streamseg", *, compile: bool = False
) -> str:
    """What results call one way to run the network: "openvino int8", "torch fp32, as published"."""
    compiled = " compiled" if compile else ""
    return f"{backend} {precision}{compiled}{', as published' if form == 'published' else ''}"
