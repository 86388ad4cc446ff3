"""Accuracy by the number of proposals: what each further look at a picture brings a network such as DeconvNet.

The DeconvNet paper draws how results grow with their number, and prints no numbers, so that there are none beside ours.
Proposals come best first and aggregation is incremental: one pass over a picture's proposals gives all rows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from streamseg.datasets import LabelledImages
from streamseg.engine.choose import open_engine, runs_by_proposals
from streamseg.engine.proposal_engine import ProposalEngine
from streamseg.errors import ModelError
from streamseg.evaluation.confusion import Confusion
from streamseg.frames import Logits
from streamseg.labels import IGNORE
from streamseg.models.find import find_model
from streamseg.picture.pixels import Packed, Pixels
from streamseg.proposals.choice import How, Proposals, Source
from streamseg.proposals.edge_boxes import has_edge_boxes
from streamseg.stream.paint import label_map
from streamseg.study.activations import draw_activations
from streamseg.study.plot import Line, Panel, draw_lines
from streamseg.study.records import Findings, Network, Table
from streamseg.study.session import StudySession, spread
from streamseg.study.sheet import Tile, label_picture, write_sheet

COUNTS = (1, 5, 10, 20, 50)
HOWS: tuple[How, ...] = get_args(How)
TILE_PX = 200

Labels = NDArray[np.uint8]
"""H x W class ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalCurve:
    """Accuracy at the label maps' own size by the first proposals alone, one confusion matrix for each number.

    Attributes:
        source: "edges" or "windows".
        aggregate: "max" or "sum".
        counts: greatest numbers of proposals, ascending.
        looks: how many there were, mean over pictures.
        miou, pixel_accuracy: fractions in 0..1.
    """

    source: str
    aggregate: str
    counts: tuple[int, ...]
    looks: tuple[float, ...]
    miou: tuple[float, ...]
    pixel_accuracy: tuple[float, ...]

    @property
    def name(self) -> str:
        return f"{self.source}, {self.aggregate}"


def growing(
    engine: ProposalEngine, pixels: Pixels, counts: Sequence[int], hows: Sequence[How]
) -> Iterator[tuple[int, int, dict[How, Labels]]]:
    """Label one picture by its first proposals, for each of `counts`.

    Args:
        counts: ascending.

    Yields:
        The count, the number of proposals that there were (fewer, if there are no more), and the labels at the
        picture's own size, put together in each of `hows`.
    """
    picture = engine.prepare(pixels)
    aggregates = {how: engine.aggregate(picture, how) for how in hows}

    def labels() -> dict[How, Labels]:
        align_corners = engine.card.input.align_corners
        return {
            how: label_map(Logits(scores=one.scores(), align_corners=align_corners), pixels.size)
            for how, one in aggregates.items()
        }

    waiting = list(counts)
    looks = 0
    for square, scores_ChW in engine.scored(picture):
        if not waiting:
            break
        for one in aggregates.values():
            one.add(scores_ChW, square)
        looks += 1
        if looks == waiting[0]:
            yield waiting.pop(0), looks, labels()
    if waiting:
        last = labels()
        yield from ((count, looks, last) for count in waiting)


def proposal_curves(
    engine: ProposalEngine,
    images: LabelledImages,
    counts: Sequence[int] = COUNTS,
    hows: Sequence[How] = HOWS,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[How, ProposalCurve]:
    """Score a network for several numbers of proposals, in one pass over those of every image.

    Args:
        engine: for as many proposals as the greatest count.
        images: of the classes of the network.
        counts: ascending.

    Raises:
        DataError: an image cannot be read.
    """
    confusions = {
        how: {count: Confusion(len(images.labels)) for count in counts} for how in hows
    }  # fmt: skip
    totals = dict.fromkeys(counts, 0)
    for index in range(len(images)):
        image, truth = images.load(index)
        for count, looks, found in growing(engine, Packed(pixels=image), counts, hows):
            totals[count] += looks
            for how, labels in found.items():
                confusions[how][count].add(truth, labels)
        progress(index + 1, len(images))
    return {
        how: ProposalCurve(
            source=engine.proposals.source,
            aggregate=how,
            counts=tuple(counts),
            looks=tuple(total / len(images) for total in totals.values()),
            miou=tuple(one.miou() for one in by_count.values()),
            pixel_accuracy=tuple(one.pixel_accuracy() for one in by_count.values()),
        )
        for how, by_count in confusions.items()
    }


def run(session: StudySession) -> Findings:
    """Score by edges, where this OpenCV has them, and by windows; draw some pictures, and what layers make of them.

    Raises:
        ModelError: no `--model`, or one that looks at whole pictures.
    """
    if session.model is None or not runs_by_proposals(find_model(session.model)):
        raise ModelError(
            "the study proposals expects --model with trained weights of a network that runs by proposals, such as "
            "deconvnet"
        )
    network = session.given(session.model)
    sources: tuple[Source, ...] = ("edges", "windows") if has_edge_boxes() else ("windows",)
    curves = tuple(curve for source in sources for curve in _curves(session, network, source))
    plot = session.out / "proposals.png"
    _draw(curves, plot)
    return Findings(
        tables=(_table(curves),),
        networks=(network.trained,),
        rows=curves,
        pictures=(
            plot,
            *(_sheet(session, network, source) for source in sources),
            *draw_activations(session, network),
        ),
    )


def _open(session: StudySession, network: Network, source: Source) -> ProposalEngine:
    engine = open_engine(
        find_model(network.path),
        device=session.device,
        proposals=Proposals(source=source, count=COUNTS[-1]),
    )
    assert isinstance(engine, ProposalEngine)  # see `run`
    return engine


def _curves(session: StudySession, network: Network, source: Source) -> list[ProposalCurve]:
    measured: dict[How, ProposalCurve] = {}

    def measure(how: How) -> ProposalCurve:
        if not measured:  # all together
            with closing(_open(session, network, source)) as engine:
                told = partial(session.progress, f"scoring by {source}")
                measured.update(
                    proposal_curves(engine, session.validation, COUNTS, progress=told)
                )  # fmt: skip
        return measured[how]

    return [
        session.keep(network, (source, how, COUNTS), ProposalCurve, partial(measure, how))
        for how in HOWS
    ]


def _table(curves: tuple[ProposalCurve, ...]) -> Table:
    text = (
        "**Accuracy by the number of proposals.** mIoU in % when only the first so many proposals of each picture are "
        "looked at, by where they come from and how their scores become one. In label sets without a class for "
        "background the first proposal is the whole picture. The paper shows pictures of this and prints no numbers."
    )
    if not has_edge_boxes():
        text += " This OpenCV has no Edge Boxes, so that there are only windows."
    head = ("proposals", *(curve.name for curve in curves))
    cells = tuple(
        (str(count), *(f"{100 * curve.miou[place]:.1f}" for curve in curves))
        for place, count in enumerate(COUNTS)
    )
    return Table(text=text, head=head, rows=cells, right_from=0)


def _draw(curves: tuple[ProposalCurve, ...], path: Path) -> None:
    lines = tuple(
        Line(
            name=curve.name,
            x=tuple(map(float, curve.counts)),
            y=tuple(100 * value for value in curve.miou),
        )
        for curve in curves
    )
    draw_lines(path, Panel(x_label="proposals", y_label="mIoU (%)", lines=lines))


def _sheet(session: StudySession, network: Network, source: Source) -> Path:
    """Some images, their truth, and what becomes of them with ever more proposals, by the maximum."""
    chosen = spread(session.validation, session.schedule.frames)
    rows = []
    with closing(_open(session, network, source)) as engine:
        for index in range(len(chosen)):
            image, truth = chosen.load(index)
            tiles = [
                Tile(caption="image", picture=image, flat=False),
                Tile(caption="truth", picture=label_picture(truth, chosen.labels)),
            ]
            for count, _, found in growing(engine, Packed(pixels=image), COUNTS, ("max",)):
                labels = found["max"]
                scored = max(int((truth != IGNORE).sum()), 1)
                wrong = int(((labels != truth) & (truth != IGNORE)).sum()) / scored
                caption = f"{count}: {100 * wrong:.1f} % wrong"
                tiles.append(Tile(caption=caption, picture=label_picture(labels, chosen.labels)))
            rows.append(tiles)
            session.progress(f"drawing by {source}", index + 1, len(chosen))
    path = session.out / "proposals" / f"{source}.png"
    write_sheet(path, rows, TILE_PX)
    return path
