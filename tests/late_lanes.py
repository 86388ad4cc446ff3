"""A stand-in for a CUDA device's streams, on the CPU: every copy is made at the last moment that its events allow.

Whoever reads or refills memory too early gets what such a device would give it on a bad day, every time.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamseg.frames import Blend, Drawing, Logits
from streamseg.stream.blend import blend_chroma, blend_samples, in_memory
from streamseg.stream.paint import label_map


class LateEvent:
    """Happens when somebody waits for it, after all that was queued before it."""

    def __init__(self, stream: "LateStream", work: Callable[[], object]) -> None:
        self._stream = stream
        self._work = work
        self.happened = False

    def query(self) -> bool:
        return self.happened

    def synchronize(self) -> None:
        self._stream.run_until(self)

    def happen(self) -> None:
        self._work()
        self.happened = True


class LateStream:
    def __init__(self) -> None:
        self._queue: deque[LateEvent] = deque()
        self._lock = threading.Lock()

    def add(self, work: Callable[[], object]) -> LateEvent:
        event = LateEvent(self, work)
        with self._lock:
            self._queue.append(event)
        return event

    def run_until(self, event: LateEvent) -> None:
        with self._lock:
            while not event.happened:
                self._queue.popleft().happen()


class LateLanes:
    """What `CudaLanes` offers. Computing itself is done at once, as what it waits for is.

    Attributes:
        captures: how many graphs were captured.
        launches: pictures of every replay.
    """

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.captures = 0
        self.launches: list[int] = []
        self._upload, self._download = LateStream(), LateStream()

    def pinned(self, count: int) -> Tensor:
        return torch.full((count,), 255, dtype=torch.uint8)

    def send(self, host: Tensor) -> tuple[Tensor, LateEvent]:
        copy = torch.zeros_like(host)
        return copy, self._upload.add(lambda: copy.copy_(host))

    @contextmanager
    def computing(self, *after: LateEvent) -> Iterator[None]:
        for event in after:
            event.synchronize()
        yield

    def fetch(self, computed: Tensor, host: Tensor) -> LateEvent:
        return self._download.add(lambda: host.copy_(computed))

    def captured(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.captures += 1

        def replay() -> Tensor:
            answer = run()
            self.launches.append(len(answer))
            return answer

        return replay

    def finish(self) -> None:
        """Nothing is ever under way."""


class HostPainter:
    """What `TritonPainter` does, by the CPU's painter."""

    def __init__(
        self, size: tuple[int, int], align_corners: bool, drawing: Drawing, device: torch.device
    ) -> None:
        self._size, self._align_corners, self._drawing = size, align_corners, drawing

    def __call__(self, logits_BCHW: Tensor, planes_BN: Tensor | None) -> Tensor:
        out = []
        for index, logits in enumerate(logits_BCHW):
            scores = logits.permute(1, 2, 0).float().contiguous().numpy()
            labels = label_map(Logits(scores=scores, align_corners=self._align_corners), self._size)
            parts = [labels.reshape(-1)]
            for blend in self._drawing.blends:
                if blend is not None:
                    assert planes_BN is not None
                    parts.append(self._drawn(planes_BN[index].numpy(), labels, blend))
            out.append(np.concatenate(parts))
        return torch.from_numpy(np.stack(out))

    def _drawn(
        self, samples: NDArray[np.uint8], labels: NDArray[np.uint8], blend: Blend
    ) -> NDArray[np.uint8]:
        out = np.empty_like(samples)
        height, width = self._size
        luma, half = height * width, (height + 1) // 2 * ((width + 1) // 2)
        shapes = [self._size, *[((height + 1) // 2, (width + 1) // 2)] * 2]
        bounds = [(0, luma), (luma, luma + half), (luma + half, luma + 2 * half)]
        given, made = (
            [
                in_memory(whole[start:stop].reshape(shape), writeable=True)
                for (start, stop), shape in zip(bounds, shapes, strict=True)
            ]
            for whole in (samples, out)
        )
        blend_samples(given[0], labels, blend.keep, blend.luma, made[0])
        blend_chroma(*given[1:], labels, blend.keep, blend.chroma, *made[1:])
        return out
