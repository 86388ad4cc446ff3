"""Accuracy of connected regions by their size, branch by branch: what finer branches gain, they gain on small things.

The ICNet paper's analysis by bins of about 30 pixels. It draws it and prints no numbers, so that there are none beside
ours.
"""

from dataclasses import dataclass
from pathlib import Path

from streamseg.evaluation.regions import BIN_PIXELS, RegionAccuracy
from streamseg.models.registry import WHOLE
from streamseg.study.plot import Line, Panel, draw_lines
from streamseg.study.records import Findings, Network, Table
from streamseg.study.session import StudySession

BRANCHES = ("sub4", "sub24", WHOLE)
GROUPS = (*((first, first) for first in range(1, 11)), (11, 20), (21, 50), (51, 100))
"""First and last bin of every row of the table; the last bin also holds all that are larger."""

DRAWN_BINS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRow:
    """A branch's accuracy in every bin.

    Attributes:
        branch: "sub4", "sub24" or "sub124".
        bin_pixels: bin i holds regions of about so many pixels times i, from 1; the last all that are larger, too.
        regions: how many regions each bin holds.
        sums: their accuracies (shares of a region's pixels labelled right) added up.
        miou: of all pixels, 0..1, for what regions are weighed against.
    """

    branch: str
    bin_pixels: int
    regions: tuple[int, ...]
    sums: tuple[float, ...]
    miou: float

    def accuracy(self, first: int, last: int) -> float | None:
        """Mean over all regions of bins `first` to `last`, from 1; None where there is none."""
        count = sum(self.regions[first - 1 : last])
        return sum(self.sums[first - 1 : last]) / count if count else None


def run(session: StudySession) -> Findings:
    """Train the cascade if need be, label the validation images by each branch, count regions."""
    icnet = session.icnet()
    rows = tuple(_row(session, icnet, branch) for branch in BRANCHES)
    picture = session.out / "region-size.png"
    _draw(rows, picture)
    return Findings(
        tables=(_table(rows),), networks=(icnet.trained,), rows=rows, pictures=(picture,)
    )


def _row(session: StudySession, icnet: Network, branch: str) -> RegionRow:
    images = session.validation

    def count() -> RegionRow:
        miou = session.score(icnet, None if branch == WHOLE else branch).miou
        regions = RegionAccuracy(len(images.labels))
        for index, labels in enumerate(session.labelled(icnet, branch, images)):
            regions.add(images.load(index)[1], labels)
        return RegionRow(
            branch=branch,
            bin_pixels=regions.bin_pixels,
            regions=tuple(regions.regions.sum(0).tolist()),
            sums=tuple(regions.sums.sum(0).tolist()),
            miou=miou,
        )

    return session.keep(icnet, (branch,), RegionRow, count)


def _table(rows: tuple[RegionRow, ...]) -> Table:
    text = (
        "**Accuracy by the size of regions.** Connected regions of one class in the truth, in bins of about "
        f"{BIN_PIXELS} pixels; every region counts alike: mean share of its pixels that is labelled right, in %. "
        "Gains in points. A pixel here is one of the label maps' own: in pictures of more pixels the same things "
        "fall into higher bins. The paper draws its result and prints no numbers; it finds the gain over sub4 "
        "greatest in the bins of small regions."
    )
    coarse, middle, fine = rows
    miou = [100 * row.miou for row in rows]
    gained = tuple(f"{value - miou[0]:+.1f}" for value in miou[1:])
    cells = [("mIoU of all pixels", "", *(f"{value:.1f}" for value in miou), *gained)]
    for first, last in GROUPS:
        values = [row.accuracy(first, last) for row in rows]
        gains = [
            "" if a is None or b is None else f"{100 * (b - a):+.1f}"
            for a, b in ((values[0], values[1]), (values[0], values[2]))
        ]
        cells.append(
            (
                _pixels(first, last, len(coarse.regions)),
                str(sum(coarse.regions[first - 1 : last])),
                *("" if value is None else f"{100 * value:.1f}" for value in values),
                *gains,
            )
        )
    head = ("pixels", "regions", *(row.branch for row in rows))
    gain = (f"{middle.branch} over sub4", f"{fine.branch} over sub4")
    return Table(text=text, head=(*head, *gain), rows=tuple(cells), right_from=1)


def _pixels(first: int, last: int, bins: int) -> str:
    if first == last:
        return f"{first * BIN_PIXELS}"
    return f"{first * BIN_PIXELS}..{last * BIN_PIXELS}{' and more' if last == bins else ''}"


def _draw(rows: tuple[RegionRow, ...], path: Path) -> None:
    bins = range(1, DRAWN_BINS + 1)
    sizes = tuple(float(index * BIN_PIXELS) for index in bins)
    curves = {row.branch: [row.accuracy(index, index) for index in bins] for row in rows}
    coarse = curves["sub4"]
    gains = {
        branch: [
            None if a is None or b is None else 100 * (b - a)
            for a, b in zip(coarse, curve, strict=True)
        ]
        for branch, curve in curves.items()
        if branch != "sub4"
    }
    draw_lines(
        path,
        Panel(
            x_label="pixels of a region",
            y_label="accuracy of regions (%)",
            lines=tuple(
                Line(name=branch, x=sizes, y=tuple(v if v is None else 100 * v for v in curve))
                for branch, curve in curves.items()
            ),
        ),
        Panel(
            x_label="pixels of a region",
            y_label="gain over sub4 (points)",
            lines=tuple(
                Line(name=branch, x=sizes, y=tuple(gain)) for branch, gain in gains.items()
            ),
            zero=True,
        ),
    )
