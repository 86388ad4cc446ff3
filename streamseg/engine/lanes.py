"""Three CUDA streams of one device, so that copying in, computing and copying out happen at the same time.

    upload ──event──▶ compute ──event──▶ download ──event──▶ the host reads

Each waits for the one before it on the device; the host waits for events alone, and never for the whole device. Called
from any thread; who calls says in which order things are queued.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import cast

import torch
from torch import Tensor

from streamseg.engine.pinned import Event

WARM_UPS = 3
"""Runs before a graph is captured: cuDNN and the allocator make their choices in the first ones."""


def exact_convolutions(precision: str) -> AbstractContextManager[None]:
    """Of cuDNN, which rounds float32 to TF32 unless told otherwise: who asks for fp32 gets fp32. And it tries its
    algorithms out, once for every shape.
    """
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=precision != "fp32")


class CudaLanes:
    """The streams.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        stream: Callable[[torch.device], torch.cuda.Stream] = torch.cuda.Stream
        self._upload, self._compute, self._download = (stream(device) for _ in range(3))

    def pinned(self, count: int) -> Tensor:
        """`count` bytes of host memory that the device reads and writes by itself."""
        return torch.empty(count, dtype=torch.uint8, pin_memory=True)

    def send(self, host: Tensor) -> tuple[Tensor, Event]:
        """Begin copying pinned memory to the device.

        Returns:
            The copy, for `computing` alone; and what happens when it is complete: until then `host` must stay as it is.
        """
        with torch.cuda.stream(self._upload):
            copy = host.to(self.device, non_blocking=True)
            # Its memory is given to another copy only when what was queued to read it has done so.
            copy.record_stream(self._compute)
            return copy, self._upload.record_event()

    @contextmanager
    def computing(self, *after: Event) -> Iterator[None]:
        """What is queued inside is computed in order, after these events."""
        with torch.cuda.stream(self._compute):
            for event in after:
                self._compute.wait_event(cast(torch.cuda.Event, event))
            yield

    def fetch(self, computed: Tensor, host: Tensor) -> Event:
        """Begin copying what is computed into pinned memory, once it is.

        Returns:
            What happens when it is there to be read.
        """
        self._download.wait_event(self._compute.record_event())
        with torch.cuda.stream(self._download):
            host.copy_(computed, non_blocking=True)
            computed.record_stream(self._download)
            ready: Event = self._download.record_event()
            return ready

    def captured(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """`run` as a CUDA graph, to be called within `computing`: hundreds of launches by one.

        Its memory is its own and stays where it is: what it reads must not move, and what it returns is written anew
        by the next call.
        """
        with torch.cuda.stream(self._compute):
            for _ in range(WARM_UPS):
                run()
        self.finish()
        graph = torch.cuda.CUDAGraph()
        # Other threads upload meanwhile, and may need memory for it.
        with torch.cuda.graph(graph, stream=self._compute, capture_error_mode="thread_local"):
            answer = run()

        def replay() -> Tensor:
            graph.replay()
            return answer

        return replay

    def delay(self, cycles: int) -> None:
        """Keep the upload stream busy for so many of the device's cycles: for tests of what must wait for it."""
        with torch.cuda.stream(self._upload):
            torch.cuda._sleep(cycles)  # type: ignore[no-untyped-call]

    def finish(self) -> None:
        """Wait until nothing is computed any more."""
        self._compute.synchronize()
