"""The engine for CUDA devices. Uploads, computes and downloads at the same time, several pictures in one go.

    prepare     planes ─▶ pinned ring ─▶ device            transfer's thread, upload stream
    submit      a batch of them ─▶ one graph               infer's thread, compute stream
    Running()   device ─▶ pinned ring ─▶ own memory        infer's thread, download stream

Ring depths: an upload buffer is busy for the time of its copy, 3 MB a picture at 1024x2048; with `UPLOADS` of them the
next is filled while one or two copy. A download buffer is busy from the launch of its batch until the last of its
pictures was read; no more are under way than `parallel` allows, and the ring grows to that number.
Pictures on the device belong to whoever holds them: the allocator gives their memory to others only when the compute
stream is through with them (`record_stream` in `lanes`).
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from streamseg.engine.cuda_plan import Kind, Plan, fill, planar_of
from streamseg.engine.engine import (
    EngineInfo,
    Finished,
    RecentlyUsed,
    Running,
    SizeChoice,
    network_size,
)
from streamseg.engine.lanes import CudaLanes, exact_convolutions
from streamseg.engine.pinned import Event, PinnedRing
from streamseg.engine.torch_engine import DTYPES
from streamseg.engine.torch_entry import entry_for
from streamseg.engine.torch_parts import TorchParts
from streamseg.frames import Drawing, Labelled, Logits, Moved
from streamseg.models.card import ModelFile
from streamseg.models.memory import allocation_failures
from streamseg.models.registry import splits
from streamseg.models.weights import load_for_inference
from streamseg.picture.pixels import Pixels, Planar

BATCH = 8
BATCH_PIXELS = BATCH * 1024 * 2048
"""Pictures in one go, and pixels of them all: fewer of larger ones."""

UPLOADS = 3

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Uploaded:
    """A picture on its way to the device. Produced by `prepare`, consumed by all that computes."""

    kind: Kind
    bytes_N: Tensor
    there: Event


@dataclass(slots=True, kw_only=True, eq=False)
class Batch:
    """Pictures that are computed in one go.

    Attributes:
        room: how many there may be.
        host: their answers, once launched, when `ready` has happened.
        unread: answers that nobody took yet.
    """

    room: int
    pictures: list[Uploaded] = field(default_factory=list)
    host: Tensor | None = None
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.uint8
    ready: Event | None = None
    unread: int = 0


class _Waiting(Generic[Answer]):
    """`Running` work of a picture in a batch."""

    def __init__(self, done: Callable[[], bool], answer: Callable[[], Answer]) -> None:
        self._done = done
        self._answer = answer

    def __call__(self) -> Answer:
        return self._answer()

    def done(self) -> bool:
        """See `Running`."""
        return self._done()


class CudaEngine:
    """Implements `engine.PaintingEngine`, for streamseg's own networks. Any number of streams may share it.

    Args:
        model, info, size: see `open_engine`.
        compile: let torch.compile fuse the network's operations, too.
        lanes: the streams; None for the device's own.
        painter: makes the painter of a size; None for logits alone.
    """

    parallel = 2 * BATCH

    def __init__(
        self,
        model: ModelFile,
        info: EngineInfo,
        size: SizeChoice,
        *,
        compile: bool = False,
        lanes: CudaLanes | None = None,
        painter: Callable[[tuple[int, int], bool, Drawing, torch.device], Any] | None = None,
    ) -> None:
        self.card = model.card
        self.info = info
        self.splits = model.branch is None and splits(model.card.architecture)
        self.paints = painter is not None
        self._painter = painter
        self._size = size
        self._lanes = lanes or CudaLanes(torch.device(info.device))
        self._dtype = DTYPES[info.precision]
        network: Any = load_for_inference(model)
        with allocation_failures(f"hold {model.path.name} on {info.device}"):
            network = network.to(self._lanes.device, self._dtype)
        self._network = TorchParts(
            network.to(memory_format=torch.channels_last), compile=compile,
            align_corners=model.card.input.align_corners,
        )  # fmt: skip
        self._plans: RecentlyUsed[Plan] = RecentlyUsed()
        self._entries: RecentlyUsed[Any] = RecentlyUsed()
        self._uploads = PinnedRing(self._lanes.pinned, UPLOADS)
        # Given back when they were read, so that none has a copy under way.
        self._downloads = PinnedRing(self._lanes.pinned, self.parallel)
        self._gathering: Batch | None = None
        self._lock = threading.RLock()

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """See `Engine`."""
        return network_size(self.card.input, self._size, size)

    def prepare(self, pixels: Pixels) -> Uploaded:
        """See `Engine`."""
        return self._upload(Kind(pixels=pixels, drawing=None))

    def prepare_drawn(self, pixels: Pixels, drawing: Drawing) -> Uploaded:
        """See `PaintingEngine`."""
        return self._upload(Kind(pixels=pixels, drawing=drawing))

    def infer(self, network_input: Uploaded) -> Logits | Labelled:
        """See `Engine`: a batch of its own, at once."""
        with self._lock:
            batch = Batch(room=1, pictures=[network_input])
            self._launch(batch)
        return self._read(batch, 0)

    def submit(self, network_input: Uploaded) -> Running[Logits | Labelled]:
        """See `Engine`: launched with others of its kind, when they are enough or the first of them is waited for."""
        with self._lock:
            batch = self._gathering
            if batch and batch.pictures[0].kind.key != network_input.kind.key:
                self._launch(batch)
                batch = None
            if batch is None:
                room = self._batch_size(network_input.kind)
                batch = self._gathering = Batch(room=room)
            index = len(batch.pictures)
            batch.pictures.append(network_input)
            if index + 1 == batch.room:
                self._launch(batch)
        return _Waiting(lambda: self._is_ready(batch), lambda: self._read(batch, index))

    @allocation_failures("run the network")
    @torch.no_grad()
    def context(self, network_input: Uploaded) -> Tensor:
        """See `Engine`: 1 x C x h x w, on the device, in the order of the compute stream."""
        with (
            self._lock,
            self._lanes.computing(network_input.there),
            exact_convolutions(self.info.precision),
        ):
            return self._network.context(self._image(network_input))

    def submit_context(self, network_input: Uploaded) -> Running[Tensor]:
        """See `Engine`: the device computes it later, in order; who refines with it need not wait."""
        return Finished(self.context(network_input))

    @allocation_failures("run the network")
    @torch.no_grad()
    def refine(self, network_input: Uploaded, moved: Sequence[Moved]) -> Logits:
        """See `Engine`."""
        with (
            self._lock,
            self._lanes.computing(network_input.there),
            exact_convolutions(self.info.precision),
        ):
            logits = self._network.refine(self._image(network_input), moved)
            answer = logits.permute(0, 2, 3, 1).float().contiguous()
            batch = Batch(room=1, pictures=[network_input])
            self._fetch(batch, answer)
        logits_read = self._read(batch, 0)
        assert isinstance(logits_read, Logits)
        return logits_read

    def submit_refine(self, network_input: Uploaded, moved: Sequence[Moved]) -> Running[Logits]:
        """See `Engine`."""
        return Finished(self.refine(network_input, moved))

    def close(self) -> None:
        """See `Engine`."""
        with self._lock:
            if self._network.closed:
                return
            self._lanes.finish()
            for kept in (self._plans, self._entries, self._uploads, self._downloads):
                kept.clear()
            self._gathering = None
            self._network.close()

    def _upload(self, kind: Kind) -> Uploaded:
        count = kind.num_bytes
        buffer = self._uploads.take(count)
        fill(buffer.numpy(), kind.pixels)
        bytes_N, there = self._lanes.send(buffer[:count])
        self._uploads.give_back(buffer, there)
        return Uploaded(kind=kind, bytes_N=bytes_N, there=there)

    @allocation_failures("run the network")
    @torch.no_grad()
    def _launch(self, batch: Batch) -> None:
        """Begin computing and downloading. A batch that is not full, as the last one of a stream, takes the time of a
        full one: a graph of its own would take longer to capture.
        """
        if batch is self._gathering:
            self._gathering = None
        plan = self._plan(batch.pictures[0].kind, batch.room)
        with self._lanes.computing(*(picture.there for picture in batch.pictures)):
            self._fetch(batch, plan([picture.bytes_N for picture in batch.pictures]))

    def _fetch(self, batch: Batch, answers: Tensor) -> None:
        """Begin downloading `answers`, B x ..., of the batch's pictures in order."""
        host = self._downloads.take(answers.nbytes)
        target = host[: answers.nbytes].view(answers.dtype).view(answers.shape)
        batch.ready = self._lanes.fetch(answers, target)
        batch.host, batch.dtype = host, answers.dtype
        batch.shape = tuple(answers.shape[1:])
        batch.unread = len(batch.pictures)

    def _is_ready(self, batch: Batch) -> bool:
        with self._lock:
            return batch.ready is not None and batch.ready.query()

    def _read(self, batch: Batch, index: int) -> Logits | Labelled:
        """Wait for one answer and take it out of pinned memory."""
        with self._lock:
            if batch.ready is None:
                self._launch(batch)
            ready, host = batch.ready, batch.host
        assert ready is not None and host is not None
        ready.synchronize()
        count = math.prod(batch.shape) * batch.dtype.itemsize
        answer = host[index * count : (index + 1) * count].view(batch.dtype).numpy().copy()
        with self._lock:
            batch.unread -= 1
            if not batch.unread:
                batch.host = None
                self._downloads.give_back(host)
        return self._answer(batch.pictures[index].kind, answer.reshape(batch.shape))

    def _answer(self, kind: Kind, answer: NDArray[Any]) -> Logits | Labelled:
        if kind.drawing is None or not self.paints:
            return Logits(scores=answer, align_corners=self.card.input.align_corners)
        height, width = kind.pixels.size
        labels, drawn = answer[: height * width].reshape(height, width), answer[height * width :]
        planes: list[Planar | None] = []
        for blend in kind.drawing.blends:
            if blend is None:
                planes.append(None)
                continue
            assert isinstance(kind.pixels, Planar)
            planes.append(planar_of(drawn, kind.pixels))
            drawn = drawn[kind.num_bytes :]
        return Labelled(labels=labels, overlay=planes[0], color=planes[1])

    def _batch_size(self, kind: Kind) -> int:
        height, width = kind.pixels.size
        return max(1, min(BATCH, BATCH_PIXELS // (height * width)))

    def _plan(self, kind: Kind, batch: int) -> Plan:
        def make() -> Plan:
            painter = None
            if kind.drawing is not None and self._painter is not None:
                painter = self._painter(
                    kind.pixels.size, self.card.input.align_corners, kind.drawing, self._lanes.device
                )  # fmt: skip
            with exact_convolutions(self.info.precision):
                return Plan(
                    kind, batch, entry=self._entry(kind), network=self._network.whole,
                    painter=painter, dtype=self._dtype, lanes=self._lanes,
                )  # fmt: skip

        key = (batch, kind.key)
        if key not in self._plans:
            self._lanes.finish()  # of a plan that is dropped for this one, nothing may run
        return self._plans.get(key, make)

    def _image(self, uploaded: Uploaded) -> Tensor:
        entry = self._entry(uploaded.kind)
        x: Tensor = entry(*uploaded.kind.arrays(uploaded.bytes_N[None]))
        return x.to(self._dtype, memory_format=torch.channels_last)

    def _entry(self, kind: Kind) -> Any:
        def make() -> Any:
            size = self.network_size(kind.pixels.size)
            return entry_for(kind.pixels, self.card.input, size).to(self._lanes.device)

        return self._entries.get(kind.key, make)
