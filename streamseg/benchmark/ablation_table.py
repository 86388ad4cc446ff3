"""Ablations as Markdown: a table per held-out drive, one over all, and what the changes are."""

from collections.abc import Iterable

from streamseg.benchmark.ablation_plan import SHOWN
from streamseg.benchmark.ablation_records import AblationRow, Ablations
from streamseg.benchmark.table import machine_text, markdown_table, versions_text
from streamseg.training.changes import CHANGES


def markdown(found: Ablations) -> str:
    """Heading, tables and legend; what was not run is not there."""
    parts = [_heading(found), _what_it_means(found)]
    if len(found.drives) > 1:
        parts.append(f"**All {len(found.drives)} drives**\n\n" + _table(found.rows()))
    for drive in found.drives:
        scored = next(run.scored_on for run in found.runs if run.hold_out == drive)
        parts.append(f"**{drive} held out** ({scored})\n\n" + _table(found.rows(drive)))
    words = {word for run in found.runs for word in run.variant.split("+")}
    parts.append(
        "\n".join(
            f"- {name}: {change.summary}" for name, change in CHANGES.items() if name in words
        )
    )
    return "\n\n".join(part for part in parts if part)


def _heading(found: Ablations) -> str:
    return (
        f"{machine_text(found.machine, found.load_average)}, {found.date}; `{found.command}`.\n\n"
        f"{versions_text(found.streamseg, found.python, found.machine)}"
    )


def _what_it_means(found: Ablations) -> str:
    epochs = ", ".join(map(str, sorted({run.epochs for run in found.runs})))
    return (
        f"**Changes to the recipe, scored on drives that were not trained on.** {epochs} epochs of the reduced "
        "recipe (smaller crops, a short schedule): the numbers say which changes help, not what a full run reaches, "
        "and strong augmentation shows less of its worth in a short run than in a long one. mIoU and IoU are "
        "fractions; difference: to the baseline of the same drive and seed; scatter: standard deviation over seeds. A "
        "difference below twice the scatter says nothing. Minutes: by the clock, and of all threads."
    )


def _table(rows: Iterable[AblationRow]) -> str:
    head = ["variant", "runs", "mIoU", "scatter", "difference", *SHOWN, "minutes", "of threads"]
    return markdown_table(
        head,
        [
            [
                row.variant,
                str(row.runs),
                f"{row.miou:.4f}",
                "" if row.scatter is None else f"{row.scatter:.4f}",
                "" if row.over_baseline is None else f"{row.over_baseline:+.4f}",
                *(_iou(row.iou.get(name)) for name in SHOWN),
                f"{row.minutes:.1f}",
                f"{row.processor_minutes:.1f}",
            ]
            for row in rows
        ],
        right_from=1,
    )


def _iou(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
