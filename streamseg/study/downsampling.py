"""What downsampling costs and saves: PSPNet50 on smaller images, and with coarser features, each trained so.

The ICNet paper's two studies of what makes PSPNet50 slow. Weights of one feature stride would fit the others; the
paper trained each, and so does this.
"""

from dataclasses import dataclass, replace

from streamseg.benchmark.records import Size
from streamseg.benchmark.table import size_text
from streamseg.models.card import InputSpec
from streamseg.study.records import Findings, Network, Score, Speed, Table
from streamseg.study.session import StudySession, Timed
from streamseg.training.recipe import Recipe

SCALES = (0.25, 0.5, 1.0)
STRIDES = (8, 16, 32)
ARCHITECTURES = {8: "pspnet50", 16: "pspnet50-s16", 32: "pspnet50-s32"}

PAPER = {
    (0.25, 8): (60.7, None),
    (0.5, 8): (68.4, None),
    (1.0, 8): (71.7, 446),
    (1.0, 16): (70.2, 177),
    (1.0, 32): (67.1, 131),
}
"""Of (input scale, feature stride): mIoU in %, and ms a frame where our source has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownsamplingRow:
    """One network at one size of the whole image.

    Attributes:
        scale: of the network's input, 1 is the whole image's.
        feature_stride: of the features that pyramid pooling reads.
        image_size: the network's input at scale 1.
        score: at the size for the data, whatever `speed` was measured at.
    """

    scale: float
    feature_stride: int
    network: str
    image_size: Size
    score: Score
    speed: Speed


def run(session: StudySession) -> Findings:
    """Train all networks, score and time them, at the data's size and at those of the schedule."""
    width = session.width or session.schedule.pspnet_width
    whole = session.recipe("pspnet50-camvid", width=width)
    networks: dict[tuple[float, int], Network] = {}
    for scale, stride in dict.fromkeys((*((s, 8) for s in SCALES), *((1.0, s) for s in STRIDES))):
        recipe = replace(scaled(whole, scale), architecture=ARCHITECTURES[stride])
        name = f"{ARCHITECTURES[stride]}-width{width:g}"
        name += f"-input{scale:g}" if scale != 1 else ""
        networks[scale, stride] = session.network(name, recipe)
    sizes = dict.fromkeys((session.data_size(networks[1.0, 8]), *session.schedule.speed_sizes))
    rows = [row for size in sizes for row in _rows(session, networks, size)]
    tables = [
        table
        for size in sizes
        for table in _tables([row for row in rows if row.image_size == size], width)
    ]
    return Findings(
        tables=tuple(tables),
        networks=tuple(network.trained for network in networks.values()),
        rows=tuple(rows),
    )


def scaled(recipe: Recipe, scale: float) -> Recipe:
    """The recipe for images of `scale` of their size: the same views, of fewer pixels."""
    if scale == 1:
        return recipe
    stages = tuple(
        replace(
            stage,
            view=replace(
                stage.view,
                crop=scaled_size(stage.view.crop, scale),
                scale=(stage.view.scale[0] * scale, stage.view.scale[1] * scale),
            ),
        )
        for stage in recipe.stages
    )
    spec = replace(recipe.input, multiple=8, size=scaled_size(recipe.input.size, scale))
    return replace(recipe, stages=stages, input=spec)


def scaled_size(size: Size, scale: float) -> Size:
    """The nearest size of the form 8 k + 1, at which features at 1/8 divide evenly."""
    return InputSpec(size=size, multiple=8).good_size(size[0] * scale, size[1] * scale)


def _rows(
    session: StudySession, networks: dict[tuple[float, int], Network], size: Size
) -> list[DownsamplingRow]:
    speeds = session.speeds(
        {
            network.trained.name: Timed(network=network, size=scaled_size(size, scale))
            for (scale, _), network in networks.items()
        }
    )
    return [
        DownsamplingRow(
            scale=scale,
            feature_stride=stride,
            network=network.trained.name,
            image_size=size,
            score=session.score(network),
            speed=speeds[network.trained.name],
        )
        for (scale, stride), network in networks.items()
    ]


def _tables(rows: list[DownsamplingRow], width: float) -> tuple[Table, Table]:
    size, speed = rows[0].image_size, rows[0].speed
    scored = size_text(rows[-1].score.network_size)
    how = (
        f"at {size_text(size)}, PSPNet50 at width {width:g}, the paper's at 1 ({speed.backend} {speed.precision} on "
        f"{speed.device}). ms: the network alone, one picture at a time with all cores on it. mIoU, in %: at the "
        f"size for the data ({scored} for a whole image), scored at the label maps' own size."
    )
    by_scale = [row for row in rows if row.feature_stride == 8]
    by_stride = [row for row in rows if row.scale == 1]
    head = ("mIoU", "ms", "GFLOP", "paper: mIoU", "paper: ms")
    return (
        Table(
            text=f"**Input size** {how}",
            head=("input scale", "input", *head),
            rows=tuple(
                (f"{row.scale:g}", size_text(row.speed.size), *_cells(row))
                for row in sorted(by_scale, key=lambda row: row.scale)
            ),
        ),
        Table(
            text=f"**Feature size** {how}",
            head=("feature stride", *head),
            rows=tuple((f"{row.feature_stride}", *_cells(row)) for row in by_stride),
            right_from=0,
        ),
    )


def _cells(row: DownsamplingRow) -> tuple[str, ...]:
    miou, milliseconds = PAPER[row.scale, row.feature_stride]
    return (
        f"{100 * row.score.miou:.1f}",
        f"{row.speed.milliseconds:.1f}",
        f"{row.speed.gflop:.1f}",
        f"{miou:g}",
        "" if milliseconds is None else f"{milliseconds}",
    )
