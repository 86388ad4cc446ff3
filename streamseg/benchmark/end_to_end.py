"""From a video file to an overlaid video file, program against program; keyframe reuse apart, each on every frame."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Literal

from streamseg.benchmark.baselines import (
    Baseline,
    PlainNetwork,
    Script,
    baseline_networks,
    loop_people_write,
    supervision_video,
)
from streamseg.benchmark.plan import Plan
from streamseg.benchmark.records import EndToEnd, Program, Size
from streamseg.benchmark.rounds import compare, take_turns
from streamseg.benchmark.session import Session, network_name
from streamseg.engine.engine import SizeChoice, network_size
from streamseg.segmenter import Segmenter
from streamseg.stream.keyframes import KeyframeReuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A `Program` before it ran; `measure` gives frames a second."""

    name: str
    kind: Literal["loop", "supervision", "streamseg"]
    network: str
    network_size: Size
    frames: int
    measure: Callable[[], float]
    keyframe: str = "off"


def end_to_end(session: Session, size: Size) -> EndToEnd:
    """Run all programs on a copy of the video at `size`."""
    plan = session.plan
    video = session.copy(size, _frames(plan))
    with ExitStack() as stack:
        contestants = [
            *_baselines(session, video, size),
            *_ours(session, video, size, stack),
        ]
        speeds = take_turns(
            {contestant.name: contestant.measure for contestant in contestants},
            plan.rounds,
            lambda text: session.progress(f"{size[0]}x{size[1]}, {text}"),
        )
    programs = {
        contestant.name: Program(
            name=contestant.name,
            kind=contestant.kind,
            network=contestant.network,
            network_size=contestant.network_size,
            frames=contestant.frames,
            keyframe=contestant.keyframe,
            frames_per_second=median(speeds[contestant.name]),
        )
        for contestant in contestants
    }
    ours = [name for name, program in programs.items() if program.kind == "streamseg"]
    others = [name for name, program in programs.items() if program.kind != "streamseg"]
    return EndToEnd(
        video_size=size,
        programs=tuple(programs.values()),
        ratios=tuple(compare(speeds, of, to) for of in ours for to in others),
    )


def _baselines(session: Session, video: Path, size: Size) -> list[Contestant]:
    """The loop and supervision, at the frame's own size and at every other that ours run at."""
    spec = session.model.card.input
    sizes = [
        size if choice == "native" and not spec.fixed else network_size(spec, choice, size)
        for choice in session.plan.network_sizes
    ]
    found = []
    for kind, (backend, precision) in baseline_networks().items():
        if kind == "supervision" and find_spec("supervision") is None:
            session.skip(
                "supervision.process_video",
                'the package supervision is not installed; pip install "streamseg[bench]"',
            )
            continue
        for used in dict.fromkeys(sizes):
            plain = session.published(backend, precision, used)
            found.append(_baseline(session, video, kind, used, plain))
    return found


def _baseline(
    session: Session, video: Path, kind: Baseline, size: Size, plain: PlainNetwork
) -> Contestant:
    run = loop_people_write if kind == "loop" else supervision_video
    frames = session.plan.baseline_frames
    script = Script(plain, session.model.card, size)
    return Contestant(
        name=f"{kind}, network {size[0]}x{size[1]}",
        kind=kind,
        network=network_name(*baseline_networks()[kind], "published"),
        network_size=size,
        frames=frames,
        measure=partial(run, video, session.folder / f"{kind}.mp4", script, frames),
    )


def _ours(session: Session, video: Path, size: Size, stack: ExitStack) -> list[Contestant]:
    """`streamseg run` as it comes; at the largest size also in the precision of supervision's network, and with
    keyframe reuse.
    """
    asked = [("auto", "off")]
    if size == session.plan.largest:
        asked.append((baseline_networks()["supervision"][1], "off"))
        asked += [("auto", keyframe) for keyframe in session.plan.keyframes]
    found: dict[tuple[SizeChoice, str, str], Contestant] = {}
    for precision, keyframe in asked:
        for choice in session.plan.network_sizes:
            engine = stack.enter_context(session.engine("openvino", precision, choice))
            if engine is None or (choice, engine.info.precision, keyframe) in found:
                continue
            if keyframe != "off" and not engine.splits:
                session.skip(f"streamseg run --keyframe {keyframe}", "the network does not split")
                continue
            name = choice if isinstance(choice, str) else f"{choice[0]}x{choice[1]}"
            flags = "" if precision == "auto" else f" --precision {precision}"
            flags += "" if keyframe == "off" else f" --keyframe {keyframe}"
            reuse = KeyframeReuse(keyframe=keyframe)
            segmenter = Segmenter(engine, engine.card.labels, reuse=reuse)
            found[choice, engine.info.precision, keyframe] = Contestant(
                name=f"streamseg run --size {name}{flags}",
                kind="streamseg",
                keyframe=keyframe,
                network=network_name("openvino", engine.info.precision),
                network_size=engine.network_size(size),
                frames=_frames(session.plan),
                measure=partial(streamseg_run, segmenter, video, session.folder / "ours.mp4"),
            )
    return list(found.values())


def _frames(plan: Plan) -> int:
    """Of a copy: enough for everybody."""
    return max(plan.frames, plan.baseline_frames + 1)


def streamseg_run(segmenter: Segmenter, video: Path, out: Path) -> float:
    """Frames a second of `Segmenter.run`, by its own report."""
    speed: float = segmenter.run(video, out, overwrite=True).finish()["fps"]
    return speed
