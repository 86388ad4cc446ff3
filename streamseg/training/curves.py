"""A picture of a training run: loss and score over the epochs."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from streamseg.errors import BackendError


def check_curves() -> None:
    """Refuse now what could not be drawn after hours of training.

    Raises:
        BackendError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise BackendError(
            "expected matplotlib, for the curves; it is missing: pip install 'streamseg[train]'"
        )


def plot_curves(history: list[dict[str, Any]], path: Path) -> None:
    """Write a PNG, 960 x 540 px, with the loss of every epoch and mIoU where it was scored."""
    # Not pyplot: it would choose a backend for the whole process and keep the figure.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    loss_axis = figure.subplots()
    epochs = [record["epoch"] + 1 for record in history]
    loss_axis.plot(epochs, [record["loss"] for record in history], color="tab:blue")
    loss_axis.set_xlabel("epoch")
    loss_axis.set_ylabel("training loss", color="tab:blue")
    scored = [record for record in history if record.get("miou") is not None]
    if scored:
        score_axis = loss_axis.twinx()
        score_axis.plot(
            [record["epoch"] + 1 for record in scored],
            [record["miou"] for record in scored],
            color="tab:orange", marker=".",
        )  # fmt: skip
        score_axis.set_ylabel("validation mIoU", color="tab:orange")
        score_axis.set_ylim(0, 1)
    figure.savefig(path, dpi=120)
