"""A comparison of ways to compress as Markdown: in the paper's form first, its numbers beside, then in full."""

from streamseg.benchmark.table import machine_text, markdown_table, size_text, versions_text
from streamseg.study.compression_plan import Compressed, CompressionResult, Way

PAPER = {1.0: (71.7, 446), 0.5: (67.9, 170), 0.25: (59.4, 72)}
"""Of share kept: mIoU in % and ms a frame of the paper's PSPNet50, pruned progressively."""

WAYS: tuple[Way, ...] = ("progressive", "one-shot", "from scratch")


def markdown(result: CompressionResult) -> str:
    """Both tables, with machine, versions and command above."""
    return "\n\n".join([_heading(result), _what_it_means(result), _summary(result), _all(result)])


def _heading(result: CompressionResult) -> str:
    return (
        f"{machine_text(result.machine, None)}, {result.date}; `{result.command}`; "
        f"trained on {result.trained_on} ({result.device}, {result.precision}, seed {result.seed}); scored on "
        f"{result.scored_on} ({result.scored_by}, network {size_text(result.network_size)}).\n\n"
        f"{versions_text(result.streamseg, result.python, result.machine)}"
    )


def _what_it_means(result: CompressionResult) -> str:
    first = f"trained here, epochs: {result.epochs}" if result.epochs else "trained before this run"
    trial = "**A trial, too short for its scores to mean anything.** " if result.quick else ""
    return trial + (
        "**Compression: accuracy against size.** mIoU in % of networks that keep so much of every layer's filters of "
        f"{result.model} ({first}). Progressive: pruned in steps, fine-tuned after each; one-shot: pruned "
        "once, fine-tuned for as many epochs as all those steps; from scratch: trained at that width from random "
        "weights, for as many epochs as training and fine-tuning together. "
        f"Single runs: training with another seed moves mIoU, too. The paper's column is **another network on another "
        "data set**, PSPNet50 on Cityscapes' validation split at 1024x2048 on a TitanX: its slope may be "
        "compared, its height may not."
    )


def _summary(result: CompressionResult) -> str:
    head = ["keep", "parameters (M)", "GMAC", "ms", *(f"{way}, mIoU" for way in WAYS)]
    head += ["paper, PSPNet50, Cityscapes, mIoU", "paper, ms"]
    rows = []
    for keep in sorted({network.keep for network in result.networks}, reverse=True):
        found = {network.way: network for network in result.networks if network.keep == keep}
        whole = found.get("uncompressed")
        first = whole or next(iter(found.values()))
        cells = [_percent(whole or found.get(way)) for way in WAYS]
        miou, ms = PAPER.get(keep, ("", ""))
        cost = [f"{first.parameters / 1e6:.2f}", f"{first.gmac:.2f}", f"{first.milliseconds:.1f}"]
        rows.append([f"{keep:g}", *cost, *cells, str(miou), str(ms)])
    return markdown_table(head, rows, right_from=0)


def _all(result: CompressionResult) -> str:
    head = ["way", "keep", "width", "epochs", "mIoU right after pruning", "mIoU", "lost", "pixels"]
    whole = next(network for network in result.networks if network.way == "uncompressed")
    rows = [
        [
            network.way,
            f"{network.keep:g}",
            f"{network.width:g}",
            str(network.epochs),
            "" if network.pruned_miou is None else f"{network.pruned_miou:.4f}",
            f"{network.miou:.4f}",
            "" if network is whole else f"{whole.miou - network.miou:+.4f}",
            f"{network.pixel_accuracy:.4f}",
        ]
        for network in result.networks
    ]
    return (
        "Every network; epochs in all, lost against the uncompressed one, pixel accuracy. Right after pruning in "
        f"the training's own precision, {result.precision}.\n\n"
        + markdown_table(head, rows, right_from=1)
    )


def _percent(network: Compressed | None) -> str:
    return "" if network is None else f"{100 * network.miou:.1f}"
