"""Stand-ins with predictable answers: an engine, a source of frames, a stage, a clock."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, Generic, TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from streamseg.engine.engine import EngineInfo, Running
from streamseg.frames import Frame, Inferred, Logits, Painted, Prepared
from streamseg.labels import CAMVID
from streamseg.models.card import InputSpec, ModelCard
from streamseg.picture.format import PictureFormat
from streamseg.picture.orientation import UPRIGHT
from streamseg.picture.pixels import Packed, Pixels
from streamseg.picture.planes import planar_view
from streamseg.reading.source import CopiedPacket, Kept, SourceInfo
from streamseg.segmenter import Segmenter
from streamseg.stream.link import End
from streamseg.stream.pipeline import Pipeline

Answer = TypeVar("Answer")

LUMA_STEP = 24
"""The fake network's classes are luma divided by this, 10 at most."""


class ManualClock:
    """Seconds that pass when told to, by any thread."""

    def __init__(self) -> None:
        self.now = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds


def luma_of(pixels: Pixels) -> NDArray[np.uint8]:
    """Brightness of a picture; of packed pixels it depends on their order."""
    if not isinstance(pixels, Packed):
        return pixels.y
    weights = np.array([0.299, 0.587, 0.114])
    if pixels.order == "bgr24":
        weights = weights[::-1]
    return np.rint(pixels.pixels @ weights).astype(np.uint8)


def label_of_luma(luma: Any) -> Any:
    """The class that the fake network gives to a brightness."""
    return np.minimum(np.asarray(luma) // LUMA_STEP, 10).astype(np.uint8)


class Begun(Generic[Answer]):
    """`Running` work that is done when it is waited for, or when told so."""

    def __init__(self, wait: Callable[[], Answer]) -> None:
        self.finished = False
        self._wait = wait

    def __call__(self) -> Answer:
        self.finished = True
        return self._wait()

    def done(self) -> bool:
        return self.finished


class FakeEngine:
    """Labels every pixel by its own brightness, at full resolution.

    What is submitted is computed when it is waited for.

    Args:
        hold: called before each answer, e.g. an event's `wait`.

    Attributes:
        calls: "infer" and "submit" in order.
        running: how many pictures are submitted and not waited for.
        most_running: the greatest number of them.
    """

    parallel = 2
    splits = False
    paints = False

    def __init__(self, hold: Callable[[], object] | None = None) -> None:
        self.card = ModelCard(
            name="fake", architecture="fake", labels=CAMVID, input=InputSpec(size=(48, 64))
        )
        self.info = EngineInfo(
            backend="torch", device="cpu", precision="fp32", fallbacks=("a, b, because",)
        )
        self.closed = False
        self.calls: list[str] = []
        self.running = self.most_running = 0
        self._hold = hold

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return size

    def prepare(self, pixels: Pixels) -> Pixels:
        return pixels

    def infer(self, network_input: Pixels) -> Logits:
        self.calls.append("infer")
        return self._answer(network_input)

    def submit(self, network_input: Pixels) -> Running[Logits]:
        self.calls.append("submit")
        self.running += 1
        self.most_running = max(self.most_running, self.running)

        def wait() -> Logits:
            self.running -= 1
            return self._answer(network_input)

        return Begun(wait)

    def _answer(self, network_input: Pixels) -> Logits:
        if self._hold is not None:
            self._hold()
        labels = label_of_luma(luma_of(network_input)).astype(np.float32)
        classes = np.arange(11, dtype=np.float32)
        return Logits(scores=-np.abs(labels[:, :, None] - classes), align_corners=False)

    def close(self) -> None:
        self.closed = True


def fake_segmenter(hold: Callable[[], object] | None = None) -> Segmenter:
    """A `Segmenter` whose labels are `label_of_luma`."""
    engine = FakeEngine(hold)
    return Segmenter(engine, engine.card.labels)


def gray_frame(
    index: int, luma: int = 128, size: tuple[int, int] = (32, 48), captured_seconds: float = 0.0
) -> Frame:
    """A flat 25 fps frame."""
    image = av.VideoFrame(size[1], size[0], "yuv420p")
    for plane, value in zip(image.planes, (luma, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    image.pts, image.time_base, image.duration = index, Fraction(1, 25), 1
    return Frame(
        image=image,
        pixels=planar_view(image),
        decoded=image,
        orientation=UPRIGHT,
        index=index,
        time_seconds=index / 25,
        captured_seconds=captured_seconds,
    )


class FakeSource:
    """A `Source` of flat frames.

    Args:
        frames: how many, or the very frames.
        error: raised behind the last frame.
        hang: wait for `interrupt` behind the last frame.
        before: called with the index before each frame.
        close_error: raised by `close`.
        clock: for the frames' capture times; 0 without.
    """

    def __init__(
        self,
        frames: int | Sequence[Frame] = 10,
        *,
        error: BaseException | None = None,
        hang: bool = False,
        before: Callable[[int], object] | None = None,
        close_error: BaseException | None = None,
        size: tuple[int, int] = (32, 48),
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.kept = Kept()
        self.copied: deque[CopiedPacket] = deque()
        self.notes: list[str] = []
        self.reached_end = False
        self.wait_seconds = 0.0
        self.corrupt_skipped = 0
        self.interrupted = threading.Event()
        self.num_closed = 0
        self._frames = frames
        self._error = error
        self._hang = hang
        self._before = before
        self._close_error = close_error
        self._size = size
        self._clock = clock
        self.info = SourceInfo(
            name="fake",
            stem="fake",
            size=size,
            format=PictureFormat(pix_fmt="yuv420p", bits=8, size=size),
            codec="rawvideo",
            rate=Fraction(25),
            time_base=Fraction(1, 25),
            num_frames=None,
            live=False,
            image_tags=(2, 0),
        )

    def __iter__(self) -> Iterator[Frame]:
        known = None if isinstance(self._frames, int) else self._frames
        count = self._frames if isinstance(self._frames, int) else len(self._frames)
        for index in range(count):
            if self._before is not None:
                self._before(index)
            if self.interrupted.is_set():
                return
            if known is None:
                yield gray_frame(index, size=self._size, captured_seconds=self._clock())
            else:
                yield known[index]
        if self._hang:
            self.interrupted.wait()
        if self._error is not None:
            raise self._error

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.num_closed += 1
        if self._close_error is not None:
            raise self._close_error


class FakeStage:
    """Passes items on; turns a `Frame` into a `Painted` so that it may stand last.

    Args:
        error_at: index of the frame at which `error` is raised.
        close_error: raised by `close`.
        during: called with each frame.
        closing: called in `close`.
        holds: how many items are kept back until more come or `drain` asks for them.
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        error: BaseException | None = None,
        error_at: int = 0,
        close_error: BaseException | None = None,
        during: Callable[[Frame], object] | None = None,
        closing: Callable[[], object] | None = None,
        holds: int = 0,
    ) -> None:
        self.name = name
        self.seen: list[int] = []
        self.num_closed = 0
        self._error = error
        self._error_at = error_at
        self._close_error = close_error
        self._during = during
        self._closing = closing
        self._holds = holds
        self._held: list[Painted] = []

    def process(self, item: Frame | Painted | Prepared | Inferred) -> Sequence[Painted]:
        frame = item if isinstance(item, Frame) else item.frame
        if self._error is not None and frame.index == self._error_at:
            raise self._error
        if self._during is not None:
            self._during(frame)
        self.seen.append(frame.index)
        labels = np.zeros(frame.pixels.size, np.uint8)
        self._held.append(Painted(frame=frame, labels=labels))
        return [self._held.pop(0)] if len(self._held) > self._holds else []

    def drain(self) -> Sequence[Painted]:
        held, self._held = self._held, []
        return held

    def close(self) -> None:
        self.num_closed += 1
        if self._closing is not None:
            self._closing()
        if self._close_error is not None:
            raise self._close_error


def streamseg_threads() -> list[str]:
    """Names of the library's threads that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("streamseg-")]


def collect(pipeline: Pipeline, into: list[int]) -> None:
    """Append the index of every frame that comes out, until the end or an error."""
    while (item := pipeline.get()) is not End.END:
        into.append(item.frame.index)
