"""Clips of textures that move by known amounts."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]

X264_PYRAMID = {"crf": "10", "x264-params": "bframes=3:b-adapt=0:b-pyramid=normal:ref=3:scenecut=0"}
"""B-pictures that lead to B-pictures, and several pictures to lead to."""


def texture(size: tuple[int, int], seed: int = 0, grain: float = 4.0) -> Luma:
    """Blurred noise with all of 16..235; `grain` is the standard deviation of the blur, in pixels."""
    noise = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), grain)
    return cv2.normalize(smooth, None, 16, 235, cv2.NORM_MINMAX).astype(np.uint8)


def pan(
    num_frames: int, step: tuple[int, int], size: tuple[int, int] = (96, 160), seed: int = 0
) -> list[Luma]:
    """A window that moves over a texture: what is at (x, y) was at (x, y) + step in the picture before.

    Args:
        step: pixels to the right and down that things come from.
        size: (height, width).
    """
    (dx, dy), (height, width) = step, size
    far = num_frames - 1
    ground = texture((height + abs(dy) * far, width + abs(dx) * far), seed)
    left, top = (0 if dx > 0 else -dx * far), (0 if dy > 0 else -dy * far)
    return [
        np.ascontiguousarray(
            ground[top + dy * i : top + dy * i + height, left + dx * i : left + dx * i + width]
        )
        for i in range(num_frames)
    ]


def write_luma(
    path: Path,
    pictures: Sequence[Luma],
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    matrix: Sequence[int] | None = None,
    edit: Callable[[int, av.VideoFrame], None] | None = None,
) -> Path:
    """Gray pictures as video, 25 frames a second; by one thread, for x264 decides otherwise with every number of them.

    Args:
        matrix: display matrix, FFmpeg's nine numbers.
        edit: called with the index and each frame before it is encoded.
    """
    with av.open(str(path), "w") as container:
        settings = {"threads": "1", **(options or {})}
        stream: Any = container.add_stream(codec, rate=25, options=settings)
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = "yuv420p"
        stream.set_display_matrix(matrix)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "gray").reformat(
                format="yuv420p", src_color_range="MPEG", dst_color_range="MPEG"
            )
            frame.pts, frame.time_base = index, Fraction(1, 25)
            if edit:
                edit(index, frame)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
