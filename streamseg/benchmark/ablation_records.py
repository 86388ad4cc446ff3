"""What an ablation finds: runs on held-out drives, and what they come to."""

import dataclasses
import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamseg.errors import DataError
from streamseg.training.changes import BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRun:
    """One variant, trained without one drive and scored on it.

    Attributes:
        variant: its changes, joined by "+".
        hold_out: the drive.
        seed, epochs: of the run.
        trained_on, scored_on: the images.
        miou, pixel_accuracy: on the drive, 0..1.
        iou: per class; None for one that neither occurs nor was predicted.
        minutes: by the clock; one that was stopped for a while took longer.
        processor_minutes: of all threads together.
        threads, torch, date: how, with what and when it was trained.
        recipe: in full.
    """

    variant: str
    hold_out: str
    seed: int
    epochs: int
    trained_on: str
    scored_on: str
    miou: float
    pixel_accuracy: float
    iou: dict[str, float | None]
    minutes: float
    processor_minutes: float
    threads: int
    torch: str
    date: str
    recipe: str

    @classmethod
    def read(cls, path: Path) -> "AblationRun":
        """
        Raises:
            DataError: unreadable, or no such record.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(
                f"expected the result of a run at {path}: {error}. Delete it to run it again"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRow:
    """A variant on one drive, or over several: the mean of its runs.

    Attributes:
        runs: how many.
        miou: mean.
        scatter: standard deviation over the seeds of one drive; None for one seed or several drives.
        over_baseline: mean difference to the baseline of the same drive and seed; None where there is no such pair.
        iou: per class, mean over the runs that have a value.
        minutes, processor_minutes: mean of a run.
    """

    variant: str
    runs: int
    miou: float
    scatter: float | None
    over_baseline: float | None
    iou: dict[str, float | None]
    minutes: float
    processor_minutes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablations:
    """All runs that are there, with what they were run on last.

    Attributes:
        command: how to run this again.
        machine: processor, cores, units for short numbers, packages, system.
    """

    streamseg: str
    date: str
    command: str
    python: str
    load_average: float | None
    machine: dict[str, Any]
    runs: tuple[AblationRun, ...]

    @property
    def drives(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run.hold_out for run in self.runs))

    def rows(self, drive: str | None = None) -> tuple[AblationRow, ...]:
        """Of one drive; of all together, of the variants that were run on each of them, if None."""
        found = []
        for variant in dict.fromkeys(run.variant for run in self.runs):
            runs = [run for run in self.runs if run.variant == variant]
            if drive is not None:
                runs = [run for run in runs if run.hold_out == drive]
            elif {run.hold_out for run in runs} != set(self.drives):
                continue
            if runs:
                found.append(self._row(variant, runs, one_drive=drive is not None))
        return tuple(found)

    def _row(self, variant: str, runs: list[AblationRun], *, one_drive: bool) -> AblationRow:
        baseline = {
            (run.hold_out, run.seed): run.miou for run in self.runs if run.variant == BASELINE
        }
        mious = [run.miou for run in runs]
        differences = [
            run.miou - baseline[run.hold_out, run.seed]
            for run in runs
            if variant != BASELINE and (run.hold_out, run.seed) in baseline
        ]
        return AblationRow(
            variant=variant,
            runs=len(runs),
            miou=statistics.fmean(mious),
            scatter=statistics.stdev(mious) if one_drive and len(mious) > 1 else None,
            over_baseline=statistics.fmean(differences) if differences else None,
            iou={name: _mean(run.iou[name] for run in runs) for name in runs[0].iou},
            minutes=statistics.fmean(run.minutes for run in runs),
            processor_minutes=statistics.fmean(run.processor_minutes for run in runs),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json`, with the rows of every drive and, under "all", of all together."""
        rows = {drive: self.rows(drive) for drive in self.drives}
        if len(self.drives) > 1:
            rows["all"] = self.rows()
        return {
            **dataclasses.asdict(self),
            "rows": {key: [dataclasses.asdict(row) for row in of] for key, of in rows.items()},
        }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
