"""How long the network part takes with segmentation keyframes at fixed intervals, motion included."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from streamseg.benchmark.keyframe_curve import ReuseTime, ReuseTimes, Way
from streamseg.benchmark.rounds import Progress, compare, take_turns
from streamseg.benchmark.stages import through
from streamseg.compiled import num_cpus
from streamseg.frames import Prepared
from streamseg.reading.open_source import open_source
from streamseg.stream.infer import Infer
from streamseg.stream.keyframes import Fixed
from streamseg.stream.motion import Motion
from streamseg.stream.reuse import InferReusing
from streamseg.stream.transfer import Transfer

if TYPE_CHECKING:
    from streamseg.engine.engine import Engine

EVERY_FRAME = "every frame"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a contestant.

    Attributes:
        milliseconds: a frame's time.
        keyframe_share: segmentation keyframes over frames.
    """

    milliseconds: float
    keyframe_share: float


def reuse_times(
    engine: "Engine",
    video: Path,
    *,
    ways: Sequence[Way],
    intervals: Sequence[int],
    frames: int,
    rounds: int,
    progress: Progress,
) -> ReuseTimes:
    """Time every frame in full and all intervals in turns, way by way.

    Args:
        video: at least `frames` frames, of a codec that gives motion vectors.
        frames: of a turn, all held in memory; of an interval the greatest multiple of it that is no greater.
    """
    prepared = prepare(engine, video, frames)
    in_full: list[float] = []
    times: list[ReuseTime] = []
    for way in ways:
        turns = {EVERY_FRAME: partial(every_frame, engine, prepared)} | {
            str(interval): partial(reused, engine, prepared, way, interval)
            for interval in intervals
        }
        for measure in turns.values():
            measure()  # compiles, and warms up
        taken = take_turns(turns, rounds, _about(way, progress))
        in_full += [turn.milliseconds for turn in taken[EVERY_FRAME]]
        times += summary(way, taken)
    size = prepared[0].frame.pixels.size
    return ReuseTimes(
        video_size=size,
        network_size=engine.network_size(size),
        backend=engine.info.backend,
        precision=engine.info.precision,
        cores=num_cpus(),
        rounds=rounds,
        frames=len(prepared),
        every_frame_ms=median(in_full),
        times=tuple(times),
    )


def _about(way: Way, progress: Progress) -> Progress:
    return lambda text: progress(f"timing {way}, interval {text}")


def summary(way: Way, taken: Mapping[str, Sequence[Turn]]) -> list[ReuseTime]:
    """Put the rounds of one way together: of `EVERY_FRAME` and of every interval, by its number."""
    times = {name: [turn.milliseconds for turn in turns] for name, turns in taken.items()}
    return [
        ReuseTime(
            way=way,
            interval=int(name),
            keyframe_share=turns[0].keyframe_share,
            milliseconds=median(times[name]),
            relative=compare(times, name, EVERY_FRAME),
        )
        for name, turns in taken.items()
        if name != EVERY_FRAME
    ]


def prepare(engine: "Engine", video: Path, frames: int) -> list[Prepared]:
    """Decode the first so many frames, with their motion vectors, and bring them to the engine."""
    source = open_source(video, motion_vectors=True)
    try:
        return through(Transfer(engine), list(islice(source, frames)))
    finally:
        source.close()


def every_frame(engine: "Engine", prepared: Sequence[Prepared]) -> Turn:
    """The whole network on every frame."""
    started = time.perf_counter()
    through(Infer(engine, side_by_side=True), prepared)
    return Turn(milliseconds=_ms_a_frame(started, len(prepared)), keyframe_share=1.0)


def reused(engine: "Engine", prepared: Sequence[Prepared], way: Way, interval: int) -> Turn:
    """Segmentation keyframes at `interval`; whole intervals of frames, so that their share is exact."""
    whole = prepared[: max(len(prepared) // interval, 1) * interval]
    relink(whole)
    between = way.features == "interpolate"
    started = time.perf_counter()
    with (
        closing(Motion(way.motion)) as find,
        closing(
            InferReusing(engine, Fixed(interval), side_by_side=True, interpolate=between)
        ) as infer,
    ):
        for one in whole:
            for moved in find.process(one):
                infer.process(moved)
        infer.drain()
        milliseconds = _ms_a_frame(started, len(whole))
    keyframes = sum(infer.refreshed.values())
    return Turn(milliseconds=milliseconds, keyframe_share=keyframes / len(whole))


def relink(prepared: Sequence[Prepared]) -> None:
    """Make the vectors of each picture lead to those of the one before again: finding a step uses the link up."""
    motions = [one.frame.motion for one in prepared]
    for before, now in pairwise(motions):
        if now is not None:
            now.previous = before


def _ms_a_frame(started: float, frames: int) -> float:
    return 1000 * (time.perf_counter() - started) / frames
