"""Clips made with PyAV, small and smooth, so that any codec keeps them well."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def picture(index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A smooth colour picture, H x W x 3 RGB, that changes with `index`."""
    height, width = size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 128 + 100 * np.sin(2 * np.pi * columns / width + index / 5)
    green = 128 + 100 * np.cos(2 * np.pi * rows / height)
    blue = 128 + 90 * np.sin(np.pi * (rows / height + columns / width) + index / 9)
    return np.rint(np.stack([red, green, blue], 2)).astype(np.uint8)


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (48, 64),
    num_frames: int = 10,
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    durations: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    container_format: str | None = None,
    tags: tuple[int, int, int, int] | None = None,
    audio: str | None = None,
    audio_first: bool = False,
    audio_seconds: float | None = None,
    matrix: Sequence[int] | None = None,
) -> Path:
    """Write `picture(0..num_frames)`.

    Args:
        pts, durations: in `time_base` (default 1 / rate).
        tags: FFmpeg's numbers of colour space, range, primaries and transfer.
        audio: codec of a tone; None for none.
        audio_seconds: length of the tone; as long as the video by default.
        audio_first: sound is stream 0.
        matrix: display matrix, FFmpeg's nine numbers.
    """
    unit = time_base or 1 / Fraction(rate)
    pts = list(range(num_frames)) if pts is None else list(pts)
    with av.open(
        str(path), "w", format=container_format, options=container_options or {}
    ) as container:
        tone: Any = None
        if audio and audio_first:
            tone = container.add_stream(audio, rate=48000)
        stream: Any = container.add_stream(codec, rate=Fraction(rate), options=options or {})
        if audio and not audio_first:
            tone = container.add_stream(audio, rate=48000)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.set_display_matrix(matrix)
        context = stream.codec_context
        context.time_base = unit
        context.flags |= int(av.codec.context.Flags.frame_duration)
        if tags:
            context.colorspace, context.color_range = tags[:2]
            context.color_primaries, context.color_trc = tags[2:]
        for index, stamp in enumerate(pts):
            container.mux(stream.encode(_frame(index, stamp, size, pix_fmt, unit, tags, durations)))
        container.mux(stream.encode(None))
        if tone is not None:
            last = durations[-1] if durations else 1
            length = float((pts[-1] + last - pts[0]) * unit)
            _write_tone(container, tone, audio_seconds or length)
    return path


def _frame(
    index: int,
    pts: int,
    size: tuple[int, int],
    pix_fmt: str,
    unit: Fraction,
    tags: tuple[int, int, int, int] | None,
    durations: Sequence[int] | None,
) -> av.VideoFrame:
    rgb = av.VideoFrame.from_ndarray(picture(index, size), "rgb24")
    matrix = {1: "ITU709", 9: "BT2020"}.get(tags[0] if tags else 6, "ITU601")
    full = (tags and tags[1] == 2) or pix_fmt.startswith("yuvj")
    frame = rgb.reformat(
        format=pix_fmt, dst_colorspace=matrix, dst_color_range="JPEG" if full else None
    )
    if tags:
        frame.colorspace, frame.color_range = tags[:2]
        frame.color_primaries, frame.color_trc = tags[2:]
    frame.pts, frame.time_base = pts, unit
    frame.duration = durations[index] if durations else 0
    return frame


def _write_tone(container: Any, stream: Any, seconds: float) -> None:
    size = stream.codec_context.frame_size or 960
    samples = np.sin(np.arange(round(seconds * 48000)) * (2 * np.pi * 440 / 48000)) * 0.2
    for start in range(0, len(samples), size):
        chunk = samples[start : start + size].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([chunk, chunk]), "fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        if stream.codec_context.format.name != "fltp":
            resampler = av.AudioResampler(stream.codec_context.format.name, "stereo", 48000)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        else:
            container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_images(folder: Path, names: Sequence[str], sizes: Sequence[tuple[int, int]]) -> Path:
    """PNG or JPEG files of flat gray, one step of 10 brighter than the one before."""
    import cv2

    folder.mkdir(exist_ok=True)
    for index, (name, size) in enumerate(zip(names, sizes, strict=True)):
        cv2.imwrite(str(folder / name), np.full((*size, 3), 20 + 10 * index, np.uint8))
    return folder


def video_times(path: Path) -> list[tuple[float, float]]:
    """(PTS, duration) of every decoded frame, in seconds."""
    with av.open(str(path)) as container:
        return [
            (frame.pts * float(frame.time_base), frame.duration * float(frame.time_base))
            for frame in container.decode(video=0)
        ]


def audio_packets(path: Path) -> list[tuple[bytes, float]]:
    """(bytes, PTS in seconds) of every packet of sound."""
    with av.open(str(path)) as container:
        return [
            (bytes(packet), float(packet.pts * packet.time_base))
            for packet in container.demux(audio=0)
            if packet.size
        ]


def open_to_all(folder: Path) -> None:
    """Let every user into a test's own folder, through all of pytest's above it."""
    for one in [folder, *folder.parents]:
        one.chmod(0o755)
        if one.name.startswith("pytest-of-"):
            return
    raise AssertionError(f"expected a folder of pytest's, got {folder}")
