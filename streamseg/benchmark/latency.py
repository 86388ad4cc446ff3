"""The newest result of a source in real time, polled as a control loop does: how old is what it gets?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.benchmark.plan import Plan
from streamseg.benchmark.records import Latest, Size
from streamseg.benchmark.session import Session
from streamseg.benchmark.steadiness import bursts
from streamseg.compiled import num_cpus
from streamseg.segmenter import Segmenter
from streamseg.stream.keyframes import KeyframeReuse

SPARE_FRAMES = 1.2
"""A source holds so many frames for each result wanted, as some are dropped."""

POLL_MS = 50.0
"""Longest wait of one poll."""


def latest(session: Session) -> tuple[Latest, ...]:
    """Poll a copy of the video that plays at the pace of its timestamps; then again with keyframe reuse."""
    keyframes = ("off", *session.plan.keyframes)
    found = [_latest(session, keyframe) for keyframe in keyframes]
    return tuple(one for one in found if one is not None)


def _latest(session: Session, keyframe: str) -> Latest | None:
    plan = session.plan
    frames = int(plan.latest_results * SPARE_FRAMES)
    video = session.copy(plan.latest_size, frames, plan.latest_fps)
    with session.engine("openvino", "auto", "auto") as engine:
        if engine is None:
            return None
        if keyframe != "off" and not engine.splits:
            session.skip(f"the newest result, keyframe {keyframe}", "the network does not split")
            return None
        session.progress(f"the newest result, keyframe {keyframe}, {plan.latest_results} times")
        reuse = KeyframeReuse(keyframe=keyframe)
        segmenter = Segmenter(engine, engine.card.labels, reuse=reuse)
        first, all_ages, report = poll(segmenter, video, plan)
        found = summary(
            first,
            all_ages,
            report,
            plan,
            network_size=engine.network_size(plan.latest_size),
            precision=engine.info.precision,
            keyframe=keyframe,
        )
    session.progress("how steady the machine is")
    work = bursts(max(plan.latest_results // 2, 2), found.p50_ms, plan.latest_fps, num_cpus())
    return replace(found, machine_p99_to_p50=p99_to_p50(work))


def poll(
    segmenter: Segmenter, video: Path, plan: Plan
) -> tuple[list[float], list[float], dict[str, Any]]:
    """Ages (ms) of every result when delivered first, of everything delivered, and the stream's report."""
    first: list[float] = []
    delivered: list[float] = []
    newest = -1
    with segmenter.stream(video, policy="latest", max_age_ms=plan.max_age_ms) as stream:
        while not stream.ended and len(first) < plan.latest_results:
            result = stream.latest(timeout_ms=POLL_MS)
            if result is None:
                continue
            age = result.age_ms
            delivered.append(age)
            if result.index != newest:
                newest = result.index
                first.append(age)
        return first, delivered, stream.report()


def summary(
    first: Sequence[float],
    delivered: Sequence[float],
    report: Mapping[str, Any],
    plan: Plan,
    *,
    network_size: Size,
    precision: str,
    keyframe: str = "off",
) -> Latest:
    """Percentiles of what `poll` returned; of nothing delivered they are 0."""
    p50, p99 = (float(np.percentile(first, percent)) if first else 0.0 for percent in (50, 99))
    frames = report["frames"]
    return Latest(
        video_size=plan.latest_size,
        network_size=network_size,
        precision=precision,
        keyframe=keyframe,
        segmentation_keyframes=report["segmentation_keyframes"],
        source_fps=plan.latest_fps,
        max_age_ms=plan.max_age_ms,
        results=len(first),
        p50_ms=p50,
        p99_ms=p99,
        max_ms=max(first, default=0.0),
        p99_to_p50=p99_to_p50(first),
        greatest_age_ms=max(delivered, default=0.0),
        decoded=frames["decoded"],
        written=frames["written"],
        dropped=frames["dropped"],
        unread=frames["unread"],
        dropped_by_cause=dict(frames["dropped_by_cause"]),
    )


def p99_to_p50(milliseconds: Sequence[float]) -> float:
    """How long the tail is; 0 of nothing."""
    if not milliseconds:
        return 0.0
    p50, p99 = np.percentile(milliseconds, (50, 99))
    return float(p99 / p50)
