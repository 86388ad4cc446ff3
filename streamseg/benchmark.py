"""Whole videos, timed: streamseg against the loop people write, in one run on one machine.

Speeds are end to end, file to file. Loading, compiling and the first frame are left out on both sides.
"""

import platform
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from streamseg.engine.engine import SizeChoice
from streamseg.errors import ModelError
from streamseg.machine import examine
from streamseg.models.card import ModelFile
from streamseg.models.find import find_model
from streamseg.reading.open_source import open_source
from streamseg.segmenter import load
from streamseg.version import __version__


def scaled_copy(video: Path, size: tuple[int, int], out: Path, frames: int) -> int:
    """Write `video` at `size` (height, width), its frames repeated until there are `frames`; how many it has."""
    written = 0
    with av.open(str(out), "w", format="mp4") as target:
        stream = target.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "20"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        while written < frames:
            before = written
            with av.open(str(video)) as source:
                for image in source.decode(video=0):
                    scaled = image.reformat(width=size[1], height=size[0], format="yuv420p")
                    scaled.pts, scaled.time_base = written, 1 / stream.codec_context.framerate
                    scaled.pict_type = 0
                    target.mux(stream.encode(scaled))
                    written += 1
                    if written == frames:
                        break
            if written == before:
                break
        target.mux(stream.encode(None))
    return written


def loop_people_write(
    video: Path, out: Path, model: ModelFile, frames: int, size: tuple[int, int] | None = None
) -> float:
    """Frames a second of the usual script, one thing after the other: cv2 in, torch fp32 eager,
    per-class cv2.resize, arg-max, addWeighted, cv2 out.

    Args:
        frames: how many to time, after a first one that is not.
        size: network input (height, width); None for the frame's own.
    """
    import torch

    from streamseg.models.weights import load_model

    network = load_model(model)
    spec = model.card.input
    mean = np.array(spec.mean, np.float32)
    palette = model.card.labels.palette_rgb()[:, ::-1]
    capture = cv2.VideoCapture(str(video))
    width, height = (
        int(capture.get(prop)) for prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"mp4v"), 25, (width, height))
    started = 0.0
    done = 0
    while done <= frames:
        more, frame = capture.read()
        if not more:
            break
        picture = frame if size is None else cv2.resize(frame, size[::-1])
        x = torch.from_numpy((picture.astype(np.float32) - mean).transpose(2, 0, 1))[None]
        with torch.no_grad():
            logits = network(x)[0].numpy()
        scores = np.stack([cv2.resize(channel, (width, height)) for channel in logits])
        color = palette[scores.argmax(0)]
        writer.write(cv2.addWeighted(frame, 0.5, color, 0.5, 0))
        done += 1
        if done == 1:
            started = time.perf_counter()
    writer.release()
    capture.release()
    return (done - 1) / (time.perf_counter() - started)


LOOP = "loop (cv2, torch fp32, numpy, cv2)"


def _row(name: str, size: tuple[int, int], fps: float, loop_fps: float) -> dict[str, Any]:
    return {"name": name, "size": list(size), "fps": fps, "times": fps / loop_fps}


def benchmark(
    video: Path,
    *,
    model: str = "icnet-camvid",
    size: tuple[int, int] = (1024, 2048),
    network_sizes: tuple[SizeChoice, ...] = ("auto", "native"),
    frames: int = 60,
    baseline_frames: int = 8,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Time the loop and streamseg on the same scaled copy of `video`.

    Returns:
        "machine", "date", "video", "rows" (name, network input, frames a second, times the loop's
        speed, report of our own). The loop runs at the frame's size and at each of ours.

    Raises:
        SourceError, ModelError, ValueError: no such video; not our own weights; too few frames.
    """
    if min(frames, baseline_frames) < 2:
        raise ValueError(
            f"expected at least 2 frames, got {frames} and {baseline_frames} of the loop"
        )
    file = find_model(model)
    if not file.is_torch:
        raise ModelError(
            f"the loop runs on torch and cannot take {file.path.name}; use our own weights"
        )
    open_source(video).close()  # the usual mistakes get their one clear line now
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.mp4"
        progress(f"writing a {size[1]}x{size[0]} copy of {video.name}")
        scaled_copy(video, size, copy, frames)
        loop = Path(folder) / "loop.mp4"
        progress("the loop people write")
        loop_fps = loop_people_write(copy, loop, file, baseline_frames)
        rows.append(_row(LOOP, size, loop_fps, loop_fps))
        for choice in network_sizes:
            name = choice if isinstance(choice, str) else f"{choice[0]}x{choice[1]}"
            with load(model, size=choice) as segmenter:
                used = segmenter.network_size(size)
                if choice != "native":
                    progress(f"the loop people write, network {used[0]}x{used[1]}")
                    same = loop_people_write(copy, loop, file, baseline_frames, used)
                    rows.append(_row(LOOP, used, same, loop_fps))
                progress(f"streamseg run --size {name}")
                ours = Path(folder) / "ours.mp4"
                report = segmenter.run(copy, ours, overwrite=True).finish()
            row = _row(f"streamseg run --size {name}", used, report["fps"], loop_fps)
            rows.append({**row, "report": {**report, "source": copy.name}})
    machine = examine()
    return {
        "streamseg": __version__,
        "date": date.today().isoformat(),
        "machine": {
            key: machine[key] for key in ("processor", "cores", "bf16", "packages", "system")
        },
        "python": platform.python_version(),
        "video": f"{video.name} at {size[0]}x{size[1]}, {frames} frames",
        "model": file.card.name,
        "rows": rows,
    }


def markdown_table(result: dict[str, Any]) -> str:
    """The rows as Markdown, with machine and date above."""
    machine = result["machine"]
    units = ", ".join(machine["bf16"]) or "no bf16"
    lines = [
        f"{machine['processor']}, {machine['cores']} cores ({units}), {result['date']}; "
        f"{result['video']}; model {result['model']}; end to end, file to file.",
        "",
        "| program | network input | frames/s | times the loop |",
        "| --- | --- | --- | --- |",
    ]
    for row in result["rows"]:
        height, width = row["size"]
        lines.append(
            f"| {row['name']} | {height}x{width} | {row['fps']:.2f} | {row['times']:.1f} |"
        )
    return "\n".join(lines)
