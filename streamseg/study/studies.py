"""The one table of studies, and how one is run: findings to JSON, Markdown and pictures in one folder.

OUT/NAME.json, OUT/NAME.md     the result               OUT/NAME*.png, OUT/NAME/    plots and pictures
OUT/networks/, OUT/measured.json                        what studies share, see `session.py`
"""

import json
import os
import platform
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING

from streamseg.version import __version__

if TYPE_CHECKING:
    from streamseg.study.records import Findings, StudyResult
    from streamseg.study.session import StudySession


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Where a study lives.

    Attributes:
        module: has `run(session) -> Findings`; imported when the study is run, so that listing studies is instant.
        summary: one line for `streamseg study --help`.
        takes: flags of the command that serve this study and not every one, by their names in it.
        paper: whose numbers stand beside ours, a key of `table.PAPERS`.
    """

    module: str
    summary: str
    takes: tuple[str, ...] = ()
    paper: str = "icnet"


STUDIES = {
    "cascade": Study(
        module="streamseg.study.cascade",
        summary="accuracy, time and memory of sub4, sub24 and sub124 against PSPNet50 of half its width",
        takes=("model",),
    ),
    "region-size": Study(
        module="streamseg.study.region_size",
        summary="accuracy of connected regions by their size, branch by branch",
        takes=("model",),
    ),
    "diff-maps": Study(
        module="streamseg.study.diff_maps",
        summary="pictures of where each branch is wrong, and of what the next one changes",
        takes=("model",),
    ),
    "compression": Study(
        module="streamseg.study.compression",
        summary="keeping 1, 1/2 and 1/4 of the filters: pruned in steps, at one blow, or trained from scratch",
        takes=("model", "tuning_epochs"),
    ),
    "fusion": Study(
        module="streamseg.study.fusion",
        summary="cascade feature fusion against deconvolutions, and the cascade without label guidance",
    ),
    "downsampling": Study(
        module="streamseg.study.downsampling",
        summary="PSPNet50 on smaller images and with coarser features",
        takes=("width",),
    ),
    "proposals": Study(
        module="streamseg.study.proposals",
        summary="accuracy of DeconvNet by the number of proposals; needs --model",
        takes=("model",),
    ),
    "attention": Study(
        module="streamseg.study.attention",
        summary="attention over scales against their mean, and which scale it trusts where (another paper's)",
        takes=("model", "recipe", "start"),
        paper="attention",
    ),
    "distillation": Study(
        module="streamseg.study.distillation",
        summary="what a teacher brings ICNet: by labelling other frames, by soft labels, by both (another paper's)",
        takes=("model", "recipe", "start", "also", "also_share", "threshold", "every"),
        paper="attention",
    ),
}


def taking(flag: str) -> tuple[str, ...]:
    """The studies that a flag serves; empty for one that serves all."""
    return tuple(name for name, study in STUDIES.items() if flag in study.takes)


def run_study(name: str, session: "StudySession", command: str) -> "StudyResult":
    """Run one of `STUDIES` and write its files.

    Args:
        command: how to run it again; goes into the result.

    Raises:
        ValueError: no such study, or it takes no model.
        StreamsegError: see the study.
    """
    from streamseg.study.kept import write_text
    from streamseg.study.records import StudyResult
    from streamseg.study.session import images_text
    from streamseg.study.table import markdown

    if name not in STUDIES:
        raise ValueError(f"unknown study {name!r}; known: {', '.join(STUDIES)}")
    study = STUDIES[name]
    if session.model is not None and "model" not in study.takes:
        raise ValueError(f"the study {name} trains all its networks; drop --model")
    load_average = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    found: Findings = import_module(study.module).run(session)
    result = StudyResult(
        study=name,
        streamseg=__version__,
        date=date.today().isoformat(),
        command=command,
        python=platform.python_version(),
        load_average=load_average,
        machine=session.machine,
        quick=session.schedule.quick,
        device=session.device,
        precision="bf16 autocast" if session.bf16 else "fp32",
        seed=session.seed,
        trained_on=images_text(session.dataset),
        scored_on=images_text(session.validation),
        caveat=session.validation.caveat,
        warnings=session.warnings(found.networks),
        networks=found.networks,
        rows=found.rows,
        tables=found.tables,
        pictures=tuple(path.relative_to(session.out).as_posix() for path in found.pictures),
    )
    write_text(session.out / f"{name}.json", json.dumps(result.to_json(), indent=1) + "\n")
    write_text(session.out / f"{name}.md", markdown(result) + "\n")
    return result
