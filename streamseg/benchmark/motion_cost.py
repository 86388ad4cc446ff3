"""What it takes of one core to know how frames move: processor time, so that cores beside it do not matter."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from streamseg.benchmark.keyframe_curve import MotionCost
from streamseg.benchmark.records import Size
from streamseg.benchmark.rounds import Progress, take_turns
from streamseg.evaluation.labelled_video import RECIPES, Recipe, encode_images
from streamseg.frames import Frame, Prepared
from streamseg.motion.chain import compose, inverse
from streamseg.reading.open_source import open_source
from streamseg.stream.motion import Motion

FOUND = ("codec", "flow", "none")
"""Ways to know motion."""


def motion_costs(
    video: Path, folder: Path, size: Size, *, frames: int, rounds: int, progress: Progress
) -> list[MotionCost]:
    """Of each way to know motion, on `video` as each of `RECIPES` encodes it.

    Args:
        folder: copies are written there.
        frames: of a copy, from the beginning of `video`; fewer if it has fewer.
    """
    found = []
    for recipe in RECIPES:
        copy = folder / f"motion_{recipe}.mp4"
        encode_images(_scaled(video, size, frames), copy, recipe=recipe)
        found += _of_one(copy, recipe, size, rounds, progress)
    return found


def _scaled(video: Path, size: Size, frames: int) -> Iterator[NDArray[np.uint8]]:
    with av.open(str(video)) as source:
        for index, image in enumerate(source.decode(video=0)):
            if index == frames:
                break
            scaled = image.reformat(width=size[1], height=size[0], format="bgr24")
            yield np.asarray(scaled.to_ndarray(), np.uint8)


def _of_one(
    video: Path, recipe: Recipe, size: Size, rounds: int, progress: Progress
) -> list[MotionCost]:
    frames, fields = _frames(video)
    turns: dict[str, Callable[[], float]] = {
        "plain": partial(_decoding, video, vectors=False),
        "vectors": partial(_decoding, video, vectors=True),
        **{motion: partial(_stage, motion, frames) for motion in FOUND},
        "chaining": partial(_chaining, fields),
        "turning": partial(_turning, fields),
    }
    for measure in turns.values():
        measure()  # compiles, and warms up
    taken = take_turns(turns, rounds, lambda text: progress(f"motion, {recipe}, {text}"))
    return [_cost(recipe, motion, size, taken) for motion in FOUND]


def _cost(
    recipe: Recipe, motion: str, size: Size, taken: dict[str, tuple[float, ...]]
) -> MotionCost:
    none = (0.0,) * len(taken["plain"])
    flag = none
    if motion == "codec":
        flag = tuple(b - a for a, b in zip(taken["plain"], taken["vectors"], strict=True))
    chaining = none if motion == "none" else taken["chaining"]
    sums = [sum(of_round) for of_round in zip(flag, taken[motion], chaining, strict=True)]
    return MotionCost(
        recipe=recipe,
        motion=motion,
        video_size=size,
        decoding=median(flag),
        stage=median(taken[motion]),
        chaining=median(chaining),
        turning=0.0 if motion == "none" else median(taken["turning"]),
        total=median(sums),
        least=min(sums),
        greatest=max(sums),
    )


def _frames(video: Path) -> tuple[list[Frame], list[NDArray[np.float32]]]:
    """All frames, with their vectors, and the steps between them that these give."""
    with closing(open_source(video, motion_vectors=True)) as source:
        frames = list(source)
    steps = (one.step for one in _moved("codec", frames))
    return frames, [step.field for step in steps if step is not None and step.field is not None]


def _moved(motion: str, frames: Sequence[Frame]) -> list[Prepared]:
    for earlier, frame in pairwise(frames):
        if frame.motion is not None:
            frame.motion.previous = earlier.motion  # the stage lets go of it
    with closing(Motion(motion)) as stage:
        return [
            moved
            for frame in frames
            for moved in stage.process(Prepared(frame=frame, network_input=None))
        ]


def _decoding(video: Path, *, vectors: bool) -> float:
    with closing(open_source(video, motion_vectors=vectors)) as source:
        started, count = time.process_time(), 0
        for frame in source:
            if frame.motion is not None:
                frame.motion.previous = None  # as the stage lets go of it, or pictures pile up
            count += 1
        return _ms_each(started, count)


def _stage(motion: str, frames: Sequence[Frame]) -> float:
    started = time.process_time()
    _moved(motion, frames)
    return _ms_each(started, len(frames))


def _chaining(fields: Sequence[NDArray[np.float32]]) -> float:
    started = time.process_time()
    far: Any = np.zeros_like(fields[0])
    for field in fields:
        far = compose(far, field)
    return _ms_each(started, len(fields))


def _turning(fields: Sequence[NDArray[np.float32]]) -> float:
    started = time.process_time()
    far: Any = np.zeros_like(fields[0])
    for field in fields:
        far = compose(inverse(field), far)
    return _ms_each(started, len(fields))


def _ms_each(started: float, count: int) -> float:
    return 1000 * (time.process_time() - started) / count
