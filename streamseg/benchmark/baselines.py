"""What people write: the network as published, fed and painted by cv2 and numpy; in a loop of their own, or in
`supervision.process_video`, which reads and writes in threads.
"""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.benchmark.copies import RATE
from streamseg.benchmark.records import Size
from streamseg.engine.choose import has_bf16
from streamseg.models.card import ModelCard, ModelFile

PlainNetwork = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""1 x 3 x h x w float32 in, classes x h' x w' float32 out."""

Baseline = Literal["loop", "supervision"]

HINTS = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's words."""

Annotate = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""A frame in, its overlay out: H x W x 3 uint8 BGR both."""


def baseline_networks() -> dict[Baseline, tuple[str, str]]:
    """(backend, precision) of the network that each runs: supervision's is the fastest to be had as published."""
    fast = "bf16" if has_bf16("openvino") else "fp32"
    return {"loop": ("torch", "fp32"), "supervision": ("openvino", fast)}


def plain_network(model: ModelFile, backend: str, precision: str, size: Size) -> PlainNetwork:
    """One of `baseline_networks`, for one size of input."""
    return plain_torch(model) if backend == "torch" else plain_openvino(model, size, precision)


def plain_torch(model: ModelFile) -> PlainNetwork:
    """The network as published, in torch: fp32, eager."""
    import torch

    from streamseg.models.weights import load_model

    network = load_model(model)

    def answer(x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits: NDArray[np.float32] = network(torch.from_numpy(x))[0].numpy()
        return logits

    return answer


def plain_openvino(model: ModelFile, size: Size, precision: str) -> PlainNetwork:
    """The network as published, converted and compiled as OpenVINO's own tutorial does, for one size of input.

    Args:
        precision: "fp32" or "bf16".
    """
    import openvino as ov
    import torch

    from streamseg.models.weights import load_model

    example = torch.zeros(1, 3, *size)
    with warnings.catch_warnings():
        # torch calls its tracer, which OpenVINO's converter needs, deprecated.
        warnings.simplefilter("ignore")
        graph = ov.convert_model(load_model(model), example_input=example, input=[1, 3, *size])
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": HINTS[precision]}
    compiled = ov.Core().compile_model(graph, "CPU", hints)

    def answer(x: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = compiled(x)[0][0]
        return logits

    return answer


class Script:
    """The lines around a network that everybody writes.

    Args:
        network: as published.
        card: its input, classes and colours.
        size: of its input; frames of another are resized to it.
    """

    def __init__(self, network: PlainNetwork, card: ModelCard, size: Size) -> None:
        self._network = network
        self._spec = card.input
        self._mean = np.array(card.input.mean, np.float32)
        self._std = np.array(card.input.std, np.float32)
        self._palette = np.ascontiguousarray(card.labels.palette_rgb()[:, ::-1])
        self._size = size

    def network_input(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """1 x 3 x h x w float32."""
        same = frame.shape[:2] == self._size
        picture = frame if same else cv2.resize(frame, self._size[::-1])
        picture = picture if self._spec.color == "bgr" else picture[:, :, ::-1]
        x = picture.astype(np.float32) - self._mean
        if self._spec.std != (1.0, 1.0, 1.0):
            x /= self._std
        return x.transpose(2, 0, 1)[None]

    def labels(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """H x W uint8 class ids."""
        logits = self._network(self.network_input(frame))
        return resized_argmax(logits, (frame.shape[0], frame.shape[1]))

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The overlay: H x W x 3 uint8 BGR."""
        return blended(frame, self.labels(frame), self._palette)


def resized_argmax(logits: NDArray[np.float32], size: Size) -> NDArray[np.uint8]:
    """cv2 resizes the scores (classes x h x w), class by class, and numpy takes the greatest: H x W uint8."""
    scores = np.stack([cv2.resize(channel, size[::-1]) for channel in logits])
    labels: NDArray[np.uint8] = scores.argmax(0).astype(np.uint8)
    return labels


def blended(
    frame: NDArray[np.uint8], labels: NDArray[np.uint8], palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Half the frame, half its classes' colours (`palette`: 256 x 3): H x W x 3 uint8."""
    overlay: Any = cv2.addWeighted(frame, 0.5, palette[labels], 0.5, 0)
    as_bytes: NDArray[np.uint8] = overlay.astype(np.uint8, copy=False)
    return as_bytes


def loop_people_write(video: Path, out: Path, annotate: Annotate, frames: int) -> float:
    """Frames a second of the usual script, one thing after the other: cv2 in, `annotate`, cv2 out.

    Args:
        frames: how many to time, after a first one that is not.
    """
    capture = cv2.VideoCapture(str(video))
    width, height = (
        int(capture.get(prop)) for prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (width, height))
    started = 0.0
    done = 0
    while done <= frames:
        more, frame = capture.read()
        if not more:
            break
        writer.write(annotate(frame.astype(np.uint8, copy=False)))
        done += 1
        if done == 1:
            started = time.perf_counter()
    writer.release()
    capture.release()
    return (done - 1) / (time.perf_counter() - started)


def supervision_video(video: Path, out: Path, annotate: Annotate, frames: int) -> float:
    """Frames a second of `supervision.process_video`. See `loop_people_write`; what its reader decodes ahead
    during the first frame is a gift.
    """
    import supervision

    started = 0.0
    done = 0

    def callback(frame: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        nonlocal started, done
        overlay = annotate(frame)
        done += 1
        if done == 1:
            started = time.perf_counter()
        return overlay

    supervision.process_video(str(video), str(out), callback, max_frames=frames + 1)
    return (done - 1) / (time.perf_counter() - started)
