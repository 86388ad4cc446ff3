"""Every stage alone over the same frames, and all of them together: what the pipeline makes of the cores."""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from streamseg.benchmark.end_to_end import streamseg_run
from streamseg.benchmark.records import Pipeline, Size, StageCost
from streamseg.benchmark.rounds import compare
from streamseg.benchmark.session import Session
from streamseg.compiled import num_cpus
from streamseg.engine.engine import SizeChoice
from streamseg.reading.open_source import open_source
from streamseg.segmenter import Segmenter
from streamseg.stream.infer import Infer
from streamseg.stream.paint import Painter
from streamseg.stream.transfer import Transfer
from streamseg.writing.sink import FileSink, Outputs

if TYPE_CHECKING:
    from streamseg.engine.engine import Engine
    from streamseg.stream.pipeline import Stage

IDEAL, WALL = "stages' core time / cores", "wall time end to end"


def stages(session: Session, size: Size, choice: SizeChoice) -> Pipeline | None:
    """Measure in rounds: all together, then each alone."""
    plan = session.plan
    video = session.copy(size, plan.frames)
    with session.engine("openvino", "auto", choice) as engine:
        if engine is None:
            return None
        segmenter = Segmenter(engine, engine.card.labels)
        out = session.folder / "stages.mp4"
        fps: list[float] = []
        costs: list[tuple[StageCost, ...]] = []
        for number in range(1, plan.rounds + 1):
            session.progress(f"stages, --size {choice} ({number}/{plan.rounds})")
            fps.append(streamseg_run(segmenter, video, out))
            costs.append(each_alone(engine, video, out, plan.stage_frames))
        return pipeline(
            fps,
            costs,
            video_size=size,
            network_size=engine.network_size(size),
            precision=engine.info.precision,
            cores=num_cpus(),
            frames=plan.frames,
        )


def pipeline(
    fps: Sequence[float],
    costs: Sequence[tuple[StageCost, ...]],
    *,
    video_size: Size,
    network_size: Size,
    precision: str,
    cores: int,
    frames: int,
) -> Pipeline:
    """Put the rounds together; arguments as in `Pipeline`, `fps` end to end and `costs` of each round."""
    ideal = [sum(stage.core_ms for stage in found) / cores for found in costs]
    wall = [1000 / speed for speed in fps]
    return Pipeline(
        video_size=video_size,
        network_size=network_size,
        precision=precision,
        cores=cores,
        frames=frames,
        stages=tuple(
            StageCost(
                name=same[0].name,
                core_ms=median(stage.core_ms for stage in same),
                wall_ms=median(stage.wall_ms for stage in same),
            )
            for same in zip(*costs, strict=True)
        ),
        core_ms=median(ideal) * cores,
        ideal_ms=median(ideal),
        wall_ms=median(wall),
        wall_to_ideal=compare({WALL: wall, IDEAL: ideal}, WALL, IDEAL),
    )


def each_alone(engine: "Engine", video: Path, out: Path, frames: int) -> tuple[StageCost, ...]:
    """Decode `frames` frames, or what there are, then take all of them through one stage after the other."""
    labels = engine.card.labels
    source = open_source(video)
    try:
        decoded, decode = _timed("decode", lambda: list(islice(source, frames)))
        sink = FileSink(Outputs(path=out, overwrite=True), source, labels)
        costs = [decode]
        items: Sequence[Any] = decoded
        infer = Infer(engine, side_by_side=True)
        for stage in (Transfer(engine), infer, Painter(labels, canvas=sink.canvas), sink):
            items, cost = _timed(stage.name, lambda stage=stage, items=items: through(stage, items))  # type: ignore[misc]
            costs.append(cost)
    finally:
        source.close()
    return tuple(costs)


def through(stage: "Stage", items: Sequence[Any]) -> list[Any]:
    """What `stage` makes of `items`; it is closed then, as encoders finish only there."""
    made: list[Any] = []
    try:
        for item in items:
            made += stage.process(item)
        made += stage.drain()
    finally:
        stage.close()
    return made


def _timed(name: str, work: Callable[[], list[Any]]) -> tuple[list[Any], StageCost]:
    core, wall = time.process_time(), time.perf_counter()
    made = work()
    core, wall = time.process_time() - core, time.perf_counter() - wall
    scale = 1000 / max(len(made), 1)
    return made, StageCost(name=name, core_ms=core * scale, wall_ms=wall * scale)
