"""The pipeline on a GPU: the network alone, frames in memory to painted frames in memory, and file to file.

What does not name CUDA runs on any engine, which is how its tests run it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor, nn

from streamseg.benchmark.records import Size
from streamseg.benchmark.timing import milliseconds
from streamseg.engine.engine import Engine
from streamseg.engine.lanes import CudaLanes
from streamseg.frames import Frame
from streamseg.labels import LabelSet
from streamseg.models.operations import gflop
from streamseg.reading.open_source import open_source
from streamseg.segmenter import Segmenter
from streamseg.stream.infer import Infer
from streamseg.stream.link import End
from streamseg.stream.paint import Painter
from streamseg.stream.pipeline import Pipeline
from streamseg.stream.transfer import Transfer

MATRIX = 8192
"""Rows and columns of the matrices whose product is the ceiling of arithmetic."""

COPIED_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """The network alone, from pixels in its own form to logits, replayed as a CUDA graph.

    Attributes:
        batch: pictures in one replay.
        compiled: fused by torch.compile, too.
        milliseconds: a picture, median of replays.
        arithmetic_ms, memory_ms: floors of a picture: its operations at the ceiling of this device's arithmetic, and
            every activation written and read once at the speed that it copies memory with.
    """

    batch: int
    compiled: bool
    milliseconds: float
    arithmetic_ms: float
    memory_ms: float

    @property
    def of_floor(self) -> float:
        """Share of the greater floor's speed that is reached."""
        return max(self.arithmetic_ms, self.memory_ms) / self.milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Decoded frames in memory to painted frames in memory, by the pipeline that streams run.

    Attributes:
        latency_ms: from a frame's reading to its painted copy; of policy "latest" one frame at a time.
        grown_mb: memory that torch holds on the device at the end beyond what it held after the first tenth.
        copied_beside_kernels: share of the copies' time in which a kernel ran; None where it was not looked at.
    """

    policy: str
    size: Size
    frames: int
    frames_per_second: float
    latency_ms: dict[str, float]
    grown_mb: float
    copied_beside_kernels: float | None = None


def forwards(
    network: nn.Module, size: Size, dtype: torch.dtype, device: torch.device, replays: int
) -> list[Forward]:
    """Batches of 1 and 8, as they are and compiled. The network's input is `size`."""
    flop = 1e9 * gflop(network, size)
    moved = activation_bytes(network, size, torch.finfo(dtype).bits // 8)
    arithmetic = 1000 * flop / _multiplied_per_second(dtype, device)
    memory = 1000 * moved / _copied_per_second(device)
    lanes = CudaLanes(device)
    there = network.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = []
    for compiled in (False, True):
        run: Any = torch.compile(there, dynamic=False) if compiled else there
        for batch in (1, 8):
            x = torch.rand(batch, 3, *size, device=device).to(
                dtype, memory_format=torch.channels_last
            )
            with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, benchmark=True):
                replay = lanes.captured(lambda run=run, x=x: run(x))  # type: ignore[misc]
                taken = [_replayed(lanes, replay) for _ in range(replays)]
            found.append(
                Forward(
                    batch=batch, compiled=compiled, milliseconds=median(taken) / batch,
                    arithmetic_ms=arithmetic, memory_ms=memory,
                )
            )  # fmt: skip
    return found


def activation_bytes(network: nn.Module, size: Size, bytes_each: int) -> int:
    """Of what every convolution reads and writes, for one picture: what stands between them can be fused into them."""
    import copy

    weightless: Any = copy.deepcopy(network).to("meta")
    total = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal total
        total += given[0].numel() + made.numel()

    hooks = [
        module.register_forward_hook(count)
        for module in weightless.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    with torch.no_grad():
        weightless(torch.empty(1, 3, *size, device="meta"))
    for hook in hooks:
        hook.remove()
    return total * bytes_each


def _replayed(lanes: CudaLanes, replay: Callable[[], Tensor]) -> float:
    """Milliseconds on the device."""
    event: Callable[..., torch.cuda.Event] = torch.cuda.Event
    begin, end = (event(enable_timing=True) for _ in range(2))
    with lanes.computing():
        begin.record()
        replay()
        end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def _multiplied_per_second(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a product of large matrices."""
    a, b = (torch.rand(MATRIX, MATRIX, device=device, dtype=dtype) for _ in range(2))
    return 2 * MATRIX**3 / _seconds(lambda: a @ b)


def _copied_per_second(device: torch.device) -> float:
    """Bytes read and written a second by a copy on the device."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / _seconds(lambda: target.copy_(source))


def _seconds(work: Callable[[], Tensor]) -> float:
    def run() -> None:
        work()
        torch.cuda.synchronize()

    run()
    return milliseconds(run, 10) / 1000


class InMemory:
    """A `pipeline.Producer` of frames that were decoded before, again and again, as new ones."""

    wait_seconds = 0.0

    def __init__(self, frames: Sequence[Frame], count: int) -> None:
        self._frames = frames
        self._count = count
        self._interrupted = False

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            if self._interrupted:
                return
            frame = self._frames[index % len(self._frames)]
            yield replace(frame, index=index, captured_seconds=time.monotonic())

    def interrupt(self) -> None:
        self._interrupted = True

    def close(self) -> None:
        """Nothing to release."""


def throughput(
    engine: Engine, labels: LabelSet, frames: Sequence[Frame], count: int, *, policy: str
) -> Throughput:
    """Run `count` frames through transfer, network and painter.

    Args:
        policy: "every", side by side; or "alone", each as quickly as can be, the next when it is done.
    """
    every = policy == "every"
    painter = Painter(labels)
    transfer = Transfer(engine, painter.drawing if engine.paints else None)
    infer = Infer(engine, side_by_side=every)
    infer.warm_up(transfer.prepared(frames[0]))
    noted = _Noted(every=max(1, count // 100))
    if every:
        pipeline = Pipeline(InMemory(frames, count), [transfer, infer, painter])
        started = time.monotonic()
        pipeline.start()
        while (painted := pipeline.get()) is not End.END:
            noted.add(painted.frame)
    else:
        started = time.monotonic()
        for frame in InMemory(frames, count):
            (prepared,) = transfer.process(frame)
            for inferred in infer.process(prepared):
                (painted,) = painter.process(inferred)
                noted.add(painted.frame)
    seconds = time.monotonic() - started
    return Throughput(
        policy=policy,
        size=frames[0].pixels.size,
        frames=len(noted.ages_ms),
        frames_per_second=len(noted.ages_ms) / seconds,
        latency_ms={
            name: float(np.percentile(noted.ages_ms, share))
            for name, share in (("p50", 50), ("p99", 99))
        },
        grown_mb=noted.grown_mb,
    )


class _Noted:
    """Every frame's age when it was done, and now and then, for it takes a while, the memory that torch holds."""

    def __init__(self, every: int) -> None:
        self.ages_ms: list[float] = []
        self._held_mb: list[float] = []
        self._every = every

    def add(self, frame: Frame) -> None:
        self.ages_ms.append(1000 * (time.monotonic() - frame.captured_seconds))
        if len(self.ages_ms) % self._every == 0:
            there = torch.cuda.is_available()
            self._held_mb.append(torch.cuda.memory_reserved() / 1e6 if there else 0.0)

    @property
    def grown_mb(self) -> float:
        """Since the first tenth."""
        return max(self._held_mb) - max(self._held_mb[: max(1, len(self._held_mb) // 10)])


def decoded(video: Path, count: int) -> list[Frame]:
    """The first frames of a video, in memory."""
    source = open_source(str(video))
    try:
        found = []
        for frame in source:
            found.append(frame)
            if len(found) == count:
                break
        return found
    finally:
        source.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileToFile:
    """Frames a second: decoding alone, encoding alone, and all of `streamseg run`."""

    decode: float
    encode: float
    whole: float

    @property
    def of_slowest(self) -> float:
        return self.whole / min(self.decode, self.encode)


def file_to_file(segmenter: Segmenter, video: Path, folder: Path) -> FileToFile:
    """On one video; the overlay is encoded as `streamseg run` does by default, and so is the picture alone."""
    started = time.monotonic()
    source = open_source(str(video))
    count = sum(1 for _ in source)
    decode = count / (time.monotonic() - started)
    source.close()
    whole = segmenter.run(video, folder / "whole.mp4", overwrite=True).finish()["fps"]
    # What was written is what is encoded again: overlays are harder than the pictures under them.
    images = [frame.image for frame in decoded(folder / "whole.mp4", count)]
    with av.open(str(folder / "again.mp4"), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "bf": "0", "crf": "20"}
        )
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = images[0].height, images[0].width, "yuv420p"
        started = time.monotonic()
        for index, image in enumerate(images):
            image.pts, image.time_base = index, 1 / stream.codec_context.framerate
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
        encode = count / (time.monotonic() - started)
    return FileToFile(decode=decode, encode=encode, whole=whole)


def overlap(copies: Sequence[tuple[float, float]], kernels: Sequence[tuple[float, float]]) -> float:
    """Share of the copies' time in which a kernel ran.

    Args:
        copies, kernels: (begin, end) of each, in one unit.
    """
    merged: list[list[float]] = []
    for begin, end in sorted(kernels):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    shared = sum(
        max(0.0, min(end, last) - max(begin, first))
        for begin, end in copies
        for first, last in merged
    )
    total = sum(end - begin for begin, end in copies)
    return shared / total if total else 0.0


def timeline(run: Callable[[], object], out: Path) -> float:
    """`overlap` of all copies between host and device that `run` makes; the timeline goes to `out`, for a browser's
    tracing page.
    """
    import json

    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        run()
        torch.cuda.synchronize()
    profiler.export_chrome_trace(str(out))
    events = json.loads(out.read_text())["traceEvents"]

    def spans(kind: str, word: str = "") -> list[tuple[float, float]]:
        return [
            (event["ts"], event["ts"] + event["dur"])
            for event in events
            if event.get("cat") == kind and word in event.get("name", "")
        ]

    return overlap([*spans("gpu_memcpy", "HtoD"), *spans("gpu_memcpy", "DtoH")], spans("kernel"))
