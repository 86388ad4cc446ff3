"""What each branch of the cascade costs and brings, against PSPNet50 at the same compression.

The table of the ICNet paper with the rows baseline, sub4, sub24 and sub124. Its baseline is PSPNet50 with half of its
kernels kept; here it is PSPNet50 of half its width, trained at that width.
"""

from dataclasses import dataclass

from streamseg.benchmark.records import Size
from streamseg.benchmark.table import size_text
from streamseg.models.registry import WHOLE
from streamseg.study.records import Findings, Memory, Network, Score, Speed, Table
from streamseg.study.session import StudySession, Timed

BASELINE = "baseline"
BASELINE_WIDTH = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A row of the paper's table: TitanX, Caffe, Cityscapes' validation split at 1024x2048."""

    miou_percent: float
    milliseconds: int
    frames_per_second: float
    memory_gb: float
    speedup: float


PAPER = {
    BASELINE: Paper(
        miou_percent=67.9, milliseconds=170, frames_per_second=5.9, memory_gb=9.2, speedup=1
    ),
    "sub4": Paper(
        miou_percent=59.6, milliseconds=18, frames_per_second=55.6, memory_gb=0.6, speedup=9.4
    ),
    "sub24": Paper(
        miou_percent=66.5, milliseconds=25, frames_per_second=40, memory_gb=1.1, speedup=6.8
    ),
    WHOLE: Paper(
        miou_percent=67.7, milliseconds=33, frames_per_second=30.3, memory_gb=1.6, speedup=5.2
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRow:
    """One row at one size of the network's input.

    Attributes:
        name: "baseline", "sub4", "sub24" or "sub124".
        network: that it is of.
        score: at the size for the data, whatever `speed` was measured at.
        memory: null where this system does not say.
        speedup: how many times faster than the baseline.
        memory_saving: how many times less memory the network takes than the baseline; null where it is not known.
    """

    name: str
    network: str
    score: Score
    speed: Speed
    memory: Memory | None
    speedup: float
    memory_saving: float | None


def run(session: StudySession) -> Findings:
    """Train what is missing, score and time all four, at the data's size and at those of the schedule."""
    icnet = session.icnet()
    half = session.recipe("pspnet50-camvid", width=BASELINE_WIDTH)
    baseline = session.network("pspnet50-half", half)
    sizes = dict.fromkeys((session.data_size(icnet), *session.schedule.speed_sizes))
    rows = [row for size in sizes for row in _rows(session, baseline, icnet, size)]
    return Findings(
        tables=tuple(_table(size, [row for row in rows if row.speed.size == size]) for size in sizes),
        networks=(baseline.trained, icnet.trained),
        rows=tuple(rows),
    )  # fmt: skip


def _rows(session: StudySession, baseline: Network, icnet: Network, size: Size) -> list[CascadeRow]:
    subjects = {
        BASELINE: Timed(network=baseline, size=size),
        "sub4": Timed(network=icnet, size=size, branch="sub4"),
        "sub24": Timed(network=icnet, size=size, branch="sub24"),
        WHOLE: Timed(network=icnet, size=size),
    }
    speeds = session.speeds(subjects)
    memories = {
        name: session.memory(one, precision=speeds[name].precision)
        for name, one in subjects.items()
    }
    most = memories[BASELINE]
    rows = []
    for name, one in subjects.items():
        memory = memories[name]
        saving = most.network_mb / memory.network_mb if most and memory else None
        rows.append(
            CascadeRow(
                name=name,
                network=one.network.trained.name,
                score=session.score(one.network, one.branch),
                speed=speeds[name],
                memory=memory,
                speedup=speeds[BASELINE].milliseconds / speeds[name].milliseconds,
                memory_saving=saving,
            )
        )
    return rows


def _table(size: Size, rows: list[CascadeRow]) -> Table:
    speed, score = rows[0].speed, rows[0].score
    text = (
        f"**The cascade at {size_text(size)}** ({speed.backend} {speed.precision} on {speed.device}). ms: the network "
        "alone, from input in memory to logits, one picture at a time with all cores on it; frames/s is its inverse. "
        "Memory: greatest resident memory of a process of its own while it labels pictures, less what that process "
        "had before it opened the network; on CUDA what torch allocates there. Speed-up and memory saving: against "
        f"the baseline, PSPNet50 of half its width. mIoU: at {size_text(score.network_size)}, in %. The paper's "
        "baseline was compressed to half from a wider network, ours trained at half its width."
    )
    head = ("", "mIoU", "ms", "frames/s", "memory (MB)", "speed-up", "memory saving")
    return Table(
        text=text,
        head=(*head, *(f"paper: {name}" for name in ("mIoU", "ms", "frames/s", "memory (GB)"))),
        rows=tuple(_cells(row) for row in rows),
    )


def _cells(row: CascadeRow) -> tuple[str, ...]:
    paper = PAPER[row.name]
    return (
        row.name,
        f"{100 * row.score.miou:.1f}",
        f"{row.speed.milliseconds:.1f}",
        f"{row.speed.frames_per_second:.1f}",
        "" if row.memory is None else f"{row.memory.network_mb:.0f}",
        f"{row.speedup:.1f}",
        "" if row.memory_saving is None else f"{row.memory_saving:.1f}",
        f"{paper.miou_percent:g}",
        f"{paper.milliseconds}",
        f"{paper.frames_per_second:g}",
        f"{paper.memory_gb:g}",
    )
