"""What cascade feature fusion brings: deconvolutions in its place, and the cascade without label guidance.

The ICNet paper's ablation of its own unit (CFF) and of cascade label guidance. All networks train by one recipe and
seed, each from random weights.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from streamseg.benchmark.records import Size
from streamseg.benchmark.table import size_text
from streamseg.compression.compress import cost
from streamseg.models.find import find_model
from streamseg.models.operations import gflop
from streamseg.models.weights import load_for_inference, load_model
from streamseg.study.plot import Line, Panel, draw_lines
from streamseg.study.records import Findings, Network, Score, Speed, Table
from streamseg.study.session import StudySession, Timed

RECIPE = "icnet-camvid"
UNGUIDED = (1.0, 0.0, 0.0)
"""Weights of the losses: that of the network's answer alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """A way to fuse.

    Attributes:
        network: its folder in OUT/networks. That of cascade feature fusion is what other studies train, too.
        guided: whether branches are supervised, too.
        recollected: (mIoU in %, ms) of the paper's table, **as recollected**: the text was not at hand to verify them.
    """

    network: str
    architecture: str
    guided: bool
    recollected: tuple[float, int]


FUSIONS = {
    "deconvolution 3x3": Fusion(
        network="icnet-deconv3", architecture="icnet-deconv3", guided=True, recollected=(66.7, 31)
    ),
    "deconvolution 5x5": Fusion(
        network="icnet-deconv5", architecture="icnet-deconv5", guided=True, recollected=(66.7, 34)
    ),
    "deconvolution 7x7": Fusion(
        network="icnet-deconv7", architecture="icnet-deconv7", guided=True, recollected=(68.0, 38)
    ),
    "CFF": Fusion(network="icnet", architecture="icnet", guided=True, recollected=(67.7, 33)),
    "CFF, no label guidance": Fusion(
        network="icnet-unguided", architecture="icnet", guided=False, recollected=(66.8, 33)
    ),
}
"""The table's rows, in the paper's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionRow:
    """One network at one size of its input.

    Attributes:
        fusion: a key of `FUSIONS`.
        guided: see `Fusion`.
        score: at the size for the data, whatever `speed` was measured at.
        parameters: of inference.
        executed_gflop: 1e9 multiplications and additions in the order that engines run; `speed` has the published.
    """

    fusion: str
    guided: bool
    network: str
    score: Score
    speed: Speed
    parameters: int
    executed_gflop: float


def run(session: StudySession) -> Findings:
    """Train all five, score and time them, at the data's size and at those of the schedule."""
    networks = {name: _trained(session, fusion) for name, fusion in FUSIONS.items()}
    sizes = dict.fromkeys((session.data_size(networks["CFF"]), *session.schedule.speed_sizes))
    rows = [row for size in sizes for row in _rows(session, networks, size)]
    picture = session.out / "fusion.png"
    _draw(picture, [row for row in rows if row.speed.size == next(iter(sizes))])
    return Findings(
        tables=tuple(_table([row for row in rows if row.speed.size == size]) for size in sizes),
        networks=tuple(network.trained for network in networks.values()),
        rows=tuple(rows),
        pictures=(picture,),
    )


def _trained(session: StudySession, fusion: Fusion) -> Network:
    recipe = replace(session.recipe(RECIPE), architecture=fusion.architecture)
    if not fusion.guided:
        recipe = replace(recipe, branch_weights=UNGUIDED)
    return session.network(fusion.network, recipe)


def _rows(session: StudySession, networks: dict[str, Network], size: Size) -> list[FusionRow]:
    speeds = session.speeds(
        {name: Timed(network=network, size=size) for name, network in networks.items()}
    )
    rows = []
    for name, network in networks.items():
        file = find_model(network.path)
        rows.append(
            FusionRow(
                fusion=name,
                guided=FUSIONS[name].guided,
                network=network.trained.name,
                score=session.score(network),
                speed=speeds[name],
                parameters=cost(load_model(file), size)["parameters"],
                executed_gflop=round(gflop(load_for_inference(file), size), 3),
            )
        )
    return rows


def _table(rows: list[FusionRow]) -> Table:
    speed, score = rows[0].speed, rows[0].score
    text = (
        f"**Fusion at {size_text(speed.size)}** ({speed.backend} {speed.precision} on {speed.device}). ms: the network "
        "alone, one picture at a time with all cores on it. Parameters and GFLOP are of inference; as published, and "
        "in the order that engines run: CFF's convolution before its interpolation, which is then a deconvolution's "
        f"work. mIoU: at {size_text(score.network_size)}, in %. Label guidance: losses of the branches, too. **The "
        "paper's columns are recollected and not verified: its table was not at hand.**"
    )
    head = ("fusion", "mIoU", "ms", "parameters (M)", "GFLOP", "GFLOP as run")
    unverified = "paper, recollected, not verified:"
    return Table(
        text=text,
        head=(*head, f"{unverified} mIoU", f"{unverified} ms"),
        rows=tuple(_cells(row) for row in rows),
    )


def _cells(row: FusionRow) -> tuple[str, ...]:
    miou, milliseconds = FUSIONS[row.fusion].recollected
    return (
        row.fusion,
        f"{100 * row.score.miou:.1f}",
        f"{row.speed.milliseconds:.1f}",
        f"{row.parameters / 1e6:.2f}",
        f"{row.speed.gflop:.1f}",
        f"{row.executed_gflop:.1f}",
        f"{miou:.1f}",
        f"{milliseconds}",
    )


def _draw(path: Path, rows: list[FusionRow]) -> None:
    """Accuracy over time, a point for each way."""
    lines = tuple(
        Line(name=row.fusion, x=(row.speed.milliseconds,), y=(100 * row.score.miou,))
        for row in rows
    )
    draw_lines(path, Panel(x_label="ms a picture", y_label="mIoU (%)", lines=lines))
