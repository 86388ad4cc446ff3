"""The sections of a benchmark, one after the other, to one result."""

import os
import platform
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from streamseg.benchmark.accuracy import accuracy
from streamseg.benchmark.end_to_end import end_to_end
from streamseg.benchmark.latency import latest
from streamseg.benchmark.network import network
from streamseg.benchmark.paint import paint
from streamseg.benchmark.plan import Plan
from streamseg.benchmark.records import Result
from streamseg.benchmark.rounds import Progress
from streamseg.benchmark.session import Session
from streamseg.benchmark.stages import stages
from streamseg.errors import ModelError
from streamseg.machine import examine, package_version
from streamseg.models.find import find_model
from streamseg.reading.open_source import open_source
from streamseg.version import __version__


def benchmark(
    video: Path,
    *,
    model: str = "icnet-camvid",
    branch: str | None = None,
    plan: Plan | None = None,
    data: Path | None = None,
    command: str = "streamseg bench",
    progress: Progress = lambda text: None,
) -> Result:
    """Measure what `plan` asks for, on the CPU.

    Args:
        video: at least one frame; copies of it are timed.
        model: a shipped name or a file of our own weights.
        branch: where to stop ICNet's cascade, see `load`.
        data: CamVid's folder, to score precisions on; None for none.
        command: how to run this again; goes into the result.
        progress: told what is being measured.

    Raises:
        SourceError, ModelError: no such video; not our own weights.
    """
    file = find_model(model, branch=branch)
    if not file.is_torch:
        raise ModelError(
            f"the loop runs on torch and cannot take {file.path.name}; use our own weights"
        )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    open_source(video).close()  # the usual mistakes get their one clear line now
    with tempfile.TemporaryDirectory() as folder:
        session = Session(
            model=file,
            plan=plan or Plan(),
            video=video,
            folder=Path(folder),
            data=data,
            progress=progress,
        )
        measured = _sections(session)
    return Result(
        streamseg=__version__,
        date=date.today().isoformat(),
        command=command,
        python=platform.python_version(),
        load_average=load,
        machine=_machine(),
        video=video.name,
        model=file.card.name,
        skipped=tuple(session.skipped),
        **measured,
    )


def _sections(session: Session) -> dict[str, Any]:
    plan = session.plan
    measured: dict[str, Any] = {}
    if "accuracy" in plan.sections:
        measured["accuracy"] = accuracy(session)
    if "network" in plan.sections:
        measured["network"] = tuple(network(session, size) for size in plan.sizes)
    if "end_to_end" in plan.sections:
        measured["end_to_end"] = tuple(end_to_end(session, size) for size in plan.sizes)
    if "stages" in plan.sections:
        found = [stages(session, plan.largest, choice) for choice in plan.network_sizes]
        measured["stages"] = tuple(one for one in found if one is not None)
    if "paint" in plan.sections:
        measured["paint"] = paint(session, plan.largest)
    if "latest" in plan.sections:
        measured["latest"] = latest(session)
    return measured


def _machine() -> dict[str, Any]:
    found = examine()
    machine = {key: found[key] for key in ("processor", "cores", "bf16", "packages", "system")}
    machine["packages"] |= {"supervision": package_version("supervision")}
    return machine
