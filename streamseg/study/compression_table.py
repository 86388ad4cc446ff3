"""A comparison of ways to compress as tables: in the paper's form first, its numbers beside, then in full."""

from collections.abc import Sequence

from streamseg.benchmark.table import size_text
from streamseg.study.compression_plan import Compressed, Way
from streamseg.study.records import Table, Trained

PAPER = {1.0: (71.7, 446), 0.5: (67.9, 170), 0.25: (59.4, 72)}
"""Of share kept: mIoU in % and ms a frame of the paper's PSPNet50, pruned progressively."""

WAYS: tuple[Way, ...] = ("progressive", "one-shot", "from scratch")


def tables(rows: Sequence[Compressed], full: Trained, precision: str) -> tuple[Table, Table]:
    """Both tables.

    Args:
        full: the uncompressed network.
        precision: of the training, and of scores right after pruning.
    """
    return _summary(rows, full), _all(rows, precision)


def _summary(rows: Sequence[Compressed], full: Trained) -> Table:
    first = "trained before this study" if full.given else f"trained here, epochs: {full.epochs}"
    text = (
        "**Compression: accuracy against size.** mIoU in % of networks that keep so much of every layer's filters of "
        f"{full.name} ({first}). Progressive: pruned in steps, fine-tuned after each; one-shot: pruned "
        "once, fine-tuned for as many epochs as all those steps; from scratch: trained at that width from random "
        "weights, for as many epochs as training and fine-tuning together. "
        f"Input {size_text(rows[0].network_size)}, {rows[0].backend} {rows[0].precision}; ms: the network alone, one "
        "picture at a time with all cores on it. The paper's columns are **another network**, PSPNet50: its slope may "
        "be compared, its height may not."
    )
    head = ("keep", "parameters (M)", "GMAC", "ms", *(f"{way}, mIoU" for way in WAYS))
    cells = []
    for keep in sorted({network.keep for network in rows}, reverse=True):
        found = {network.way: network for network in rows if network.keep == keep}
        whole = found.get("uncompressed")
        one = whole or next(iter(found.values()))
        miou, ms = PAPER.get(keep, ("", ""))
        cells.append(
            (
                f"{keep:g}",
                f"{one.parameters / 1e6:.2f}",
                f"{one.gmac:.2f}",
                f"{one.milliseconds:.1f}",
                *(_percent(whole or found.get(way)) for way in WAYS),
                str(miou),
                str(ms),
            )
        )
    paper = ("paper, PSPNet50, Cityscapes, mIoU", "paper, ms")
    return Table(text=text, head=(*head, *paper), rows=tuple(cells), right_from=0)


def _all(rows: Sequence[Compressed], precision: str) -> Table:
    whole = next(network for network in rows if network.way == "uncompressed")
    return Table(
        text=(
            "Every network; epochs in all, lost against the uncompressed one, pixel accuracy. Right after pruning in "
            f"the training's own precision, {precision}."
        ),
        head=(
            "way",
            "keep",
            "width",
            "epochs",
            "mIoU right after pruning",
            "mIoU",
            "lost",
            "pixels",
        ),
        rows=tuple(
            (
                network.way,
                f"{network.keep:g}",
                f"{network.width:g}",
                str(network.epochs),
                "" if network.pruned_miou is None else f"{network.pruned_miou:.4f}",
                f"{network.miou:.4f}",
                "" if network is whole else f"{whole.miou - network.miou:+.4f}",
                f"{network.pixel_accuracy:.4f}",
            )
            for network in rows
        ),
    )


def _percent(network: Compressed | None) -> str:
    return "" if network is None else f"{100 * network.miou:.1f}"
