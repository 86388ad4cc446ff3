"""What attention over scales brings: against the mean of all scales, and which scale it trusts where.

The ablation of hierarchical multi-scale attention (Tao, Sapra, Catanzaro 2020): both networks are trained at scales 0.5
and 1, and look at more of them afterwards.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from streamseg.benchmark.table import size_text
from streamseg.errors import ModelError
from streamseg.evaluation.reference import network_input
from streamseg.models.attention import MultiScale
from streamseg.models.find import find_model
from streamseg.models.registry import multi_scale, trunk
from streamseg.models.scales import Scales
from streamseg.models.weights import load_model
from streamseg.study.measure import Subject, published_gflop
from streamseg.study.records import Findings, Network, Score, Table
from streamseg.study.session import StudySession, spread
from streamseg.study.sheet import Picture, Tile, label_picture, write_sheet, wrong_picture
from streamseg.study.training_cost import TrainingCost, training_cost
from streamseg.training.recipe import Recipe

RECIPE = "hrnet-ocr-ms-camvid"

SETS = ("0.5,1", "0.5,1,2", "0.25,0.5,1,2")

PAPER = {
    "average:0.5,1,2": 49.4,
    "attention:0.5,1,2": 51.6,
    "average:0.25,0.5,1,2": 48.7,
    "attention:0.25,0.5,1,2": 52.2,
}
"""mIoU in %: Mapillary's validation split, ResNet-50 trunk; explicit attention over 0.5, 1 and 2 has 51.4 there."""

DRAWN = "0.25,0.5,1,2"
TILE_PX = 300
HEAT = cv2.COLORMAP_VIRIDIS


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionRow:
    """A network looking at some scales.

    Attributes:
        scales: as of `streamseg.load`.
        network: that it is of.
        gflop: 1e9 multiplications and additions of one picture at the size it was scored at.
    """

    scales: str
    network: str
    score: Score
    gflop: float


def run(session: StudySession) -> Findings:
    """Train both networks, or take one, score it at all sets of scales, draw what it trusts where."""
    if session.model is None:
        recipe = _recipe(session)
        attended = session.network(recipe.name, recipe)
        mean = replace(recipe, scales=Scales(combine="average"))
        averaged = session.network(f"{recipe.name}-average", mean)
        costs = training_cost(
            {"one scale": _one_scale(recipe), "two scales": recipe},
            len(session.dataset.labels), session.schedule, device=session.device, bf16=session.bf16,
        )  # fmt: skip
    else:
        attended = averaged = session.given(session.model)
        if not multi_scale(attended.trained.architecture):
            raise ModelError(
                f"expected --model with a network of several scales, such as hrnet-ocr-ms, "
                f"{session.model.name} is {attended.trained.architecture}"
            )
        costs = ()
    rows = tuple(
        _row(session, network, f"{combine}:{scales}")
        for combine, network, sets in (
            ("average", averaged, ("1", *SETS)),
            ("attention", attended, SETS),
        )
        for scales in sets
    )
    networks = dict.fromkeys((attended.trained, averaged.trained))
    return Findings(
        tables=(_table(rows), *((_cost_table(costs),) if costs else ())),
        networks=tuple(networks),
        rows=(*rows, *costs),
        pictures=tuple(_draw(session, attended)),
    )


def _recipe(session: StudySession) -> Recipe:
    recipe = session.recipe(session.recipe_name or RECIPE)
    if not multi_scale(recipe.architecture):
        raise ModelError(
            f"expected --recipe of a network of several scales, {recipe.name} is of {recipe.architecture}"
        )
    return recipe


def _one_scale(recipe: Recipe) -> Recipe:
    """The trunk by the same recipe."""
    architecture = trunk(recipe.architecture)
    assert architecture is not None
    return replace(recipe, name=f"{recipe.name}-one", architecture=architecture)


def _row(session: StudySession, network: Network, scales: str) -> AttentionRow:
    subject = Subject(path=network.path, scales=scales)
    return AttentionRow(
        scales=scales,
        network=network.trained.name,
        score=session.score(network, scales=scales),
        gflop=round(published_gflop(subject, session.data_size(network)), 3),
    )


def _table(rows: tuple[AttentionRow, ...]) -> Table:
    score = rows[0].score
    same = len({row.network for row in rows}) == 1
    text = (
        f"**Attention over scales at {size_text(score.network_size)}** ({score.backend} {score.precision}). Logits "
        "of all scales averaged, or each gated by its attention against all above it; both were trained at 0.5 and 1 "
        "alone. mIoU in %, of single images without mirroring. The paper's numbers are of Mapillary's validation "
        "split and a ResNet-50 trunk; explicit attention, which is not trained here, has 51.4 there at 0.5, 1 and 2."
    )
    if same:
        text += " **The weights were given, and trained with one way to combine them: the other one uses the same.**"
    return Table(
        text=text,
        head=("combined by", "scales", "mIoU", "GFLOP", "paper: mIoU"),
        rows=tuple(_cells(row) for row in rows),
        right_from=2,
    )


def _cells(row: AttentionRow) -> tuple[str, ...]:
    combine, _, scales = row.scales.partition(":")
    return (
        "one scale" if scales == "1" else combine,
        scales.replace(",", ", "),
        f"{100 * row.score.miou:.1f}",
        f"{row.gflop:.1f}",
        f"{PAPER[row.scales]:.1f}" if row.scales in PAPER else "",
    )


def _cost_table(costs: tuple[TrainingCost, ...]) -> Table:
    one = costs[0]
    text = (
        f"**What the second scale costs in training**: one step of {one.batch} views of {size_text(one.crop)} on "
        f"{one.device}, loss and gradient, median of steps in which both take turns; greatest memory of a process "
        "that does nothing else, less what it had before its first step. The paper has 1.25 times the time."
    )
    return Table(
        text=text,
        head=("", "seconds a step", "times", "memory (MB)", "times", "paper: time, times"),
        rows=tuple(
            (
                cost.name,
                f"{cost.seconds:.2f}",
                f"{cost.seconds / one.seconds:.2f}",
                "" if cost.memory_mb is None else f"{cost.memory_mb:.0f}",
                "" if not (cost.memory_mb and one.memory_mb) else f"{cost.memory_mb / one.memory_mb:.2f}",
                "1" if cost is one else "1.25",
            )
            for cost in costs
        ),
    )  # fmt: skip


def _draw(session: StudySession, network: Network) -> list[Path]:
    """A sheet for each of some frames."""
    file = find_model(network.path, scales=f"attention:{DRAWN}")
    model = load_model(file)
    assert isinstance(model, MultiScale)
    folder = session.out / "attention"
    chosen = spread(session.validation, session.schedule.frames)
    sheets = []
    subject = Subject(path=network.path, scales=f"attention:{DRAWN}")
    answers = session.labelled_by(subject, f"drawing {network.trained.name}", chosen)
    for index, answer in enumerate(answers):
        image, truth = chosen.load(index)
        size = file.card.input.size_for(*truth.shape)
        with torch.inference_mode():
            shares = model.shares(network_input(image, file.card.input, size))
        tiles = [
            Tile(caption="image", picture=image, flat=False),
            Tile(caption="answer", picture=label_picture(answer, chosen.labels)),
            Tile(caption="where it is wrong", picture=wrong_picture(image, truth, answer)),
        ]
        path = folder / f"{chosen.pairs[index][0].stem}.png"
        drawn = share_tiles(shares[0].numpy(), model.scales.values, truth.shape)
        write_sheet(path, [[*tiles, None], [*drawn]], TILE_PX)
        sheets.append(path)
    return sheets


def share_tiles(
    shares_SHW: NDArray[np.float32], scales: tuple[float, ...], size: tuple[int, ...]
) -> list[Tile]:
    """How much each scale counts, dark blue for nothing and yellow for all.

    Args:
        shares_SHW: 0..1, in the order of `scales`.
        size: (height, width) to draw at.
    """
    tiles = []
    for scale, share in zip(scales, shares_SHW, strict=True):
        brought = cv2.resize(share, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        picture: Picture = cv2.applyColorMap(
            (255 * brought.clip(0, 1)).round().astype(np.uint8), HEAT
        )
        caption = f"scale {scale:g}: {100 * float(share.mean()):.0f} %"
        tiles.append(Tile(caption=caption, picture=picture, flat=False))
    return tiles
