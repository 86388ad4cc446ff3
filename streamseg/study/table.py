"""A study's result as Markdown: machine, schedule and command, then its tables, the paper's numbers beside ours."""

from streamseg.benchmark.table import machine_text, markdown_table, versions_text
from streamseg.study.records import StudyResult, Table, Trained
from streamseg.study.studies import STUDIES

REDUCED = (
    "**This is the reduced schedule (`--quick`): its networks are hardly trained, on a part of the images and at a "
    "small size, so that its accuracy means little.** It shows that everything runs, and what the numbers look like."
)

PAPERS = {
    "icnet": (
        "Columns of the paper (Zhao et al., ECCV 2018) are of **another data set** and machine: Cityscapes' validation "
        "split at 1024x2048, Caffe on one TitanX. How rows relate may be compared, their height may not."
    ),
    "attention": (
        "Columns of the paper (Tao, Sapra, Catanzaro 2020) are of **another data set**, other networks and another "
        "machine: each table says which. How rows relate may be compared, their height may not."
    ),
}
"""What is to be said of the numbers of each paper, see `Study.paper`."""


def markdown(result: StudyResult) -> str:
    """The whole document."""
    parts = [f"# {result.study}", _heading(result)]
    parts += [REDUCED] if result.quick else []
    if any("paper" in column for table in result.tables for column in table.head):
        parts.append(PAPERS[STUDIES[result.study].paper])
    if result.caveat:
        parts.append(f"{result.scored_on.partition(',')[0]} is {result.caveat}.")
    parts += result.warnings
    parts += [table_text(table) for table in result.tables]
    parts += (
        ["\n".join(f"![{name}]({name})" for name in result.pictures)] if result.pictures else []
    )
    parts.append(_networks(result.networks))
    return "\n\n".join(parts)


def table_text(table: Table) -> str:
    """One table, with what stands above it."""
    return f"{table.text}\n\n" + markdown_table(table.head, table.rows, right_from=table.right_from)


def _heading(result: StudyResult) -> str:
    return (
        f"{machine_text(result.machine, result.load_average)}, {result.date}; `{result.command}`; trained on "
        f"{result.trained_on} ({result.device}, {result.precision}, seed {result.seed}), scored on "
        f"{result.scored_on}.\n\n{versions_text(result.streamseg, result.python, result.machine)}"
    )


def _networks(networks: tuple[Trained, ...]) -> str:
    rows = [
        (
            network.name,
            network.architecture,
            "" if network.width is None else f"{network.width:g}",
            "" if network.epochs is None else str(network.epochs),
            "" if network.minutes is None else f"{network.minutes:.1f}",
            "" if network.threads is None else str(network.threads),
            f"given: {network.trained_on}" if network.given else network.trained_on,
        )
        for network in networks
    ]
    return table_text(
        Table(
            text="**Networks** that took part; single runs, and another seed moves mIoU, too.",
            head=("network", "architecture", "width", "epochs", "minutes", "threads", "trained on"),
            rows=tuple(rows),
            right_from=2,
        )
    )
