"""Where each branch is wrong, and what the next one changes: the ICNet paper's diff maps, counted and drawn.

diff1 is what sub24 changes of sub4's labels, diff2 what sub124 changes of sub24's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamseg.labels import IGNORE, LabelSet
from streamseg.models.registry import WHOLE
from streamseg.study.records import Findings, Network, Table
from streamseg.study.session import StudySession, spread
from streamseg.study.sheet import Tile, change_picture, label_picture, write_sheet, wrong_picture

DIFFS = {"diff1": ("sub4", "sub24"), "diff2": ("sub24", WHOLE)}
SHEET_TILE_PX, CONTACT_TILE_PX = 320, 200

Labels = NDArray[np.uint8]
"""H x W class ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """What one branch changed of another's labels, in pixels that have a label in the truth.

    Attributes:
        diff: "diff1" or "diff2"; before, after: its branches.
        pixels: labelled ones of all validation images.
        righted, wronged, otherwise: of these, the ones whose label became right, became wrong, and changed from
            wrong to wrong.
    """

    diff: str
    before: str
    after: str
    pixels: int
    righted: int
    wronged: int
    otherwise: int

    @property
    def changed(self) -> int:
        return self.righted + self.wronged + self.otherwise


def count_changes(diff: str, frames: Iterable[tuple[Labels, Labels, Labels]]) -> ChangeRow:
    """Count over all frames.

    Args:
        diff: a key of `DIFFS`.
        frames: (truth with `IGNORE`, labels before, labels after) of each.
    """
    pixels = righted = wronged = otherwise = 0
    for truth, before, after in frames:
        changed = (before != after) & (truth != IGNORE)
        pixels += int((truth != IGNORE).sum())
        righted += int((changed & (after == truth)).sum())
        wronged += int((changed & (before == truth)).sum())
        otherwise += int((changed & (before != truth) & (after != truth)).sum())
    before_name, after_name = DIFFS[diff]
    return ChangeRow(
        diff=diff, before=before_name, after=after_name, pixels=pixels,
        righted=righted, wronged=wronged, otherwise=otherwise,
    )  # fmt: skip


def run(session: StudySession) -> Findings:
    """Train the cascade if need be, count over all validation images, draw some of them."""
    icnet = session.icnet()
    rows = tuple(_row(session, icnet, diff) for diff in DIFFS)
    return Findings(
        tables=(_table(rows),),
        networks=(icnet.trained,),
        rows=rows,
        pictures=tuple(_draw(session, icnet)),
    )


def _row(session: StudySession, icnet: Network, diff: str) -> ChangeRow:
    images = session.validation
    before, after = DIFFS[diff]

    def frames() -> Iterable[tuple[Labels, Labels, Labels]]:
        both = zip(
            session.labelled(icnet, before, images), session.labelled(icnet, after, images),
            strict=True,
        )  # fmt: skip
        for index, (old, new) in enumerate(both):
            yield images.load(index)[1], old, new

    return session.keep(icnet, (diff,), ChangeRow, lambda: count_changes(diff, frames()))


def _draw(session: StudySession, icnet: Network) -> list[Path]:
    """A sheet of all frames drawn, and one for each of them."""
    chosen = spread(session.validation, session.schedule.frames)
    branches = dict.fromkeys(branch for pair in DIFFS.values() for branch in pair)
    labels = {branch: list(session.labelled(icnet, branch, chosen)) for branch in branches}
    folder = session.out / "diff-maps"
    contact, sheets = [], []
    for index, (file, _) in enumerate(chosen.pairs):
        of_frame = {branch: maps[index] for branch, maps in labels.items()}
        tiles = frame_tiles(*chosen.load(index), of_frame, chosen.labels)
        sheets.append(folder / f"{file.stem}.png")
        write_sheet(sheets[-1], tiles.rows(), SHEET_TILE_PX)
        contact.append([*tiles.given, *tiles.answers, *tiles.changes])
    write_sheet(folder / "all.png", contact, CONTACT_TILE_PX)
    return [folder / "all.png", *sheets]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameTiles:
    """All pictures of one frame.

    Attributes:
        given: image and truth.
        answers, errors: of each branch.
        changes: of each diff.
    """

    given: tuple[Tile, ...]
    answers: tuple[Tile, ...]
    errors: tuple[Tile, ...]
    changes: tuple[Tile, ...]

    def rows(self) -> list[list[Tile | None]]:
        """As a sheet: changes stand below the branch that made them."""
        return [[*self.given, None], [*self.answers], [*self.errors], [None, *self.changes]]


def frame_tiles(
    image: NDArray[np.uint8], truth: Labels, labels: dict[str, Labels], label_set: LabelSet
) -> FrameTiles:
    """Draw one frame.

    Args:
        image: H x W x 3 uint8 BGR.
        truth: with `IGNORE`.
        labels: of every branch.
    """
    scored = int((truth != IGNORE).sum())
    errors = []
    for branch, found in labels.items():
        share = int(((found != truth) & (truth != IGNORE)).sum()) / max(scored, 1)
        caption = f"{branch} wrong: {100 * share:.1f} %"
        errors.append(Tile(caption=caption, picture=wrong_picture(image, truth, found)))
    changes = []
    for diff, (before, after) in DIFFS.items():
        picture = change_picture(image, truth, labels[before], labels[after])
        changes.append(Tile(caption=f"{diff}: {before} to {after}", picture=picture))
    return FrameTiles(
        given=(
            Tile(caption="image", picture=image, flat=False),
            Tile(caption="truth", picture=label_picture(truth, label_set)),
        ),
        answers=tuple(
            Tile(caption=branch, picture=label_picture(found, label_set))
            for branch, found in labels.items()
        ),
        errors=tuple(errors),
        changes=tuple(changes),
    )


def _table(rows: tuple[ChangeRow, ...]) -> Table:
    text = (
        "**What each branch changes.** Pixels whose label a branch changes of the one before, in % of the labelled "
        "pixels of all validation images: from wrong to right, from right to wrong, and from one wrong label to "
        "another. In the pictures these are green, red and amber; where a branch is wrong is red in a row of its own. "
        "The paper shows such maps and prints no numbers."
    )
    head = ("", "changed by", "changed", "to right", "to wrong", "wrong to wrong", "net gain")
    cells = tuple(
        (
            row.diff,
            f"{row.after} of {row.before}",
            *(
                f"{100 * count / row.pixels:.2f}"
                for count in (row.changed, row.righted, row.wronged, row.otherwise)
            ),
            f"{100 * (row.righted - row.wronged) / row.pixels:+.2f}",
        )
        for row in rows
    )
    return Table(text=text, head=head, rows=cells, right_from=2)
