"""Everything that only a GPU can show, one section after the other; `scripts/gpu-check` calls it.

    python -m streamseg.benchmark.gpu_check --json FILE --markdown FILE [--data CAMVID] [--quick]

After every section both files are written anew, so that a run cut short leaves what it has. Ends with 1 if a goal is
missed. Goals are those of the project's plan for one H200 at 1024x2048; another GPU may miss them and be right.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from streamseg.benchmark.copies import scaled_copy
from streamseg.benchmark.gpu_race import Race, race
from streamseg.benchmark.gpu_speed import (
    FileToFile,
    Forward,
    Throughput,
    decoded,
    file_to_file,
    forwards,
    throughput,
    timeline,
)
from streamseg.benchmark.table import machine_text, markdown_table, versions_text
from streamseg.datasets import LabelledImages, open_dataset
from streamseg.engine.choose import open_engine
from streamseg.engine.torch_engine import DTYPES
from streamseg.evaluation.confusion import Confusion
from streamseg.machine import examine
from streamseg.models.card import ModelFile
from streamseg.models.find import find_model
from streamseg.models.weights import load_for_inference
from streamseg.picture.pixels import Packed
from streamseg.sample import write_sample
from streamseg.segmenter import Segmenter, load

SIZE = (1024, 2048)
NETWORK_SIZE = (1025, 2049)
DEVICE = torch.device("cuda:0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Labels on the GPU against float32 on the CPU, on real frames at the network's size for them.

    Attributes:
        same: share of pixels with one label.
        miou_cpu, miou_gpu: on the same frames.
    """

    frames: int
    precision: str
    same: float
    miou_cpu: float
    miou_gpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A line of the plan."""

    text: str
    measured: str
    reached: bool


@dataclass(slots=True, kw_only=True, eq=False)
class Check:
    """What was found so far, and where it is written."""

    json_path: Path
    markdown_path: Path
    machine: dict[str, Any]
    found: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def add(self, name: str, result: Any, *goals: Goal) -> None:
        """Keep a section's result and write both files."""
        several = isinstance(result, list | tuple)
        plain = [dataclasses.asdict(one) for one in (result if several else [result])]
        self.found[name] = plain if several else plain[0]
        self.goals += goals
        head = {
            "date": date.today().isoformat(),
            "command": "scripts/gpu-check",
            "machine": self.machine,
        }
        goals_text = [dataclasses.asdict(goal) for goal in self.goals]
        values = {**head, "goals": goals_text, **self.found}
        self.json_path.write_text(json.dumps(values, indent=1) + "\n")
        self.markdown_path.write_text(self.markdown() + "\n")

    def markdown(self) -> str:
        rows = [
            (goal.text, goal.measured, "yes" if goal.reached else "**no**") for goal in self.goals
        ]
        gpu = ", ".join(self.machine["cuda"])
        return "\n\n".join(
            (
                "# GPU",
                f"{gpu}; {machine_text(self.machine, None)}, {date.today().isoformat()}; `scripts/gpu-check`. "
                f"{versions_text(self.machine['streamseg'], self.machine['python'], self.machine)}",
                markdown_table(("goal", "measured", "reached"), rows, right_from=3),
            )
        )


def main(words: Sequence[str] | None = None) -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--markdown", type=Path, required=True)
    parser.add_argument("--model", default="icnet-camvid")
    parser.add_argument("--data", type=Path, help="CamVid; without it accuracy is not compared")
    parser.add_argument("--precision", default="fp16", choices=("fp16", "bf16"))
    parser.add_argument("--quick", action="store_true", help="a tenth of the frames")
    args = parser.parse_args(words)
    if not torch.cuda.is_available():
        print("expected a CUDA device; torch sees none", file=sys.stderr)
        return 1
    check = Check(json_path=args.json, markdown_path=args.markdown, machine=examine())
    with tempfile.TemporaryDirectory() as folder:
        for name, section in sections(args, check, Path(folder)).items():
            tqdm.write(f"{name} ...", file=sys.stderr)
            section()
    print(check.markdown())
    return 0 if all(goal.reached for goal in check.goals) else 1


def sections(args: argparse.Namespace, check: Check, folder: Path) -> dict[str, Callable[[], None]]:
    """In the order in which they are worth having."""
    file = find_model(args.model)
    count = 1000 if args.quick else 10_000
    found: dict[str, Callable[[], None]] = {
        "race": lambda: _race(check),
        "network": lambda: _network(check, file, args.precision),
        "memory to memory": lambda: _in_memory(check, file, args, folder, count),
        "file to file": lambda: _files(check, file, args, folder),
    }
    if args.data is not None:
        dataset = open_dataset(args.data, "val")
        found["accuracy"] = lambda: _accuracy(check, file, dataset, args.precision)
    return found


def _race(check: Check) -> None:
    found: Race = race(DEVICE)
    check.add(
        "race", found,
        Goal(
            text="no upload is overwritten, and without the guard some are",
            measured=f"{found.wrong_with_guard} and {found.wrong_without_guard} of {found.pictures}",
            reached=found.wrong_with_guard == 0 < found.wrong_without_guard,
        ),
    )  # fmt: skip


def _network(check: Check, file: ModelFile, precision: str) -> None:
    network = load_for_inference(file)
    found: list[Forward] = forwards(network, NETWORK_SIZE, DTYPES[precision], DEVICE, 200)
    goals = []
    for batch, limit in ((1, 1.2), (8, 0.6)):
        best = min((one for one in found if one.batch == batch), key=lambda one: one.milliseconds)
        how = ", torch.compile" if best.compiled else ""
        goals.append(
            Goal(
                text=f"network, batch {batch}, 1025x2049: {limit} ms a picture",
                measured=f"{best.milliseconds:.3f} ms ({precision}{how}; {best.of_floor:.2f} of the floor)",
                reached=best.milliseconds <= limit,
            )
        )
    check.add("network", found, *goals)


def _in_memory(
    check: Check, file: ModelFile, args: argparse.Namespace, folder: Path, count: int
) -> None:
    frames = decoded(_clip(folder), 32)
    # Compiled kernels are worth their wait where they won.
    best = min(check.found["network"], key=lambda one: one["milliseconds"])
    engine = open_engine(
        file, device="cuda:0", precision=args.precision, size="native", compile=best["compiled"]
    )
    labels = file.card.labels
    every = throughput(engine, labels, frames, count, policy="every")
    alone = throughput(engine, labels, frames, count // 4, policy="alone")
    share = timeline(
        lambda: throughput(engine, labels, frames, 200, policy="every"), folder / "timeline.json"
    )
    engine.close()
    every = dataclasses.replace(every, copied_beside_kernels=share)
    check.add(
        "memory_to_memory", [every, alone],
        _rate_goal(every),
        Goal(
            text="copies run beside kernels",
            measured=f"{100 * share:.0f} % of their time",
            reached=share > 0.5,
        ),
        Goal(
            text=f"no growth of device memory over {every.frames} frames after the first tenth",
            measured=f"{every.grown_mb:.0f} MB",
            reached=every.grown_mb <= 0,
        ),
        Goal(
            text="latency alone: p99 at most 1.5 times p50",
            measured=f"{alone.latency_ms['p50']:.2f} and {alone.latency_ms['p99']:.2f} ms",
            reached=alone.latency_ms["p99"] <= 1.5 * alone.latency_ms["p50"],
        ),
    )  # fmt: skip


def _rate_goal(every: Throughput) -> Goal:
    return Goal(
        text="decoded frames in memory to painted frames in memory, 1024x2048: 600 frames/s",
        measured=f"{every.frames_per_second:.0f} frames/s",
        reached=every.frames_per_second >= 600,
    )


def _files(check: Check, file: ModelFile, args: argparse.Namespace, folder: Path) -> None:
    clip = folder / "files.mp4"
    scaled_copy(_clip(folder), SIZE, clip, 300)
    with load(file.path, device="cuda:0", precision=args.precision, size="native") as segmenter:
        found: FileToFile = file_to_file(segmenter, clip, folder)
    check.add(
        "file_to_file", found,
        Goal(
            text="file to file: 0.9 of the slower of decoding and encoding alone",
            measured=f"{found.whole:.0f} frames/s; decoding {found.decode:.0f}, encoding {found.encode:.0f}",
            reached=found.of_slowest >= 0.9,
        ),
    )  # fmt: skip


def _accuracy(check: Check, file: ModelFile, dataset: LabelledImages, precision: str) -> None:
    with (
        load(file.path, backend="torch", device="cpu", precision="fp32") as exact,
        load(file.path, device="cuda:0", precision=precision) as fast,
    ):
        found = agreement(exact, fast, dataset, precision)
    check.add(
        "accuracy", found,
        Goal(
            text="labels as float32 on the CPU: 99 % of pixels",
            measured=f"{100 * found.same:.3f} % on {found.frames} frames",
            reached=found.same >= 0.99,
        ),
        Goal(
            text="mIoU within 0.003",
            measured=f"{found.miou_gpu:.4f} for {found.miou_cpu:.4f}",
            reached=abs(found.miou_gpu - found.miou_cpu) <= 0.003,
        ),
    )  # fmt: skip


def agreement(
    exact: Segmenter, fast: Segmenter, dataset: LabelledImages, precision: str
) -> Agreement:
    """Both label all of the data set's images."""
    first, second = Confusion(len(dataset.labels)), Confusion(len(dataset.labels))
    same = []
    for index in tqdm(range(len(dataset)), "accuracy", leave=False, disable=None):
        image, truth = dataset.load(index)
        expected, found = (one(Packed(pixels=image).pixels).labels for one in (exact, fast))
        first.add(truth, expected)
        second.add(truth, found)
        same.append((expected == found).mean())
    return Agreement(
        frames=len(same),
        precision=precision,
        same=float(np.mean(same)),
        miou_cpu=first.miou(),
        miou_gpu=second.miou(),
    )


def _clip(folder: Path) -> Path:
    """The rendered street at `SIZE`."""
    path = folder / "street.mp4"
    if not path.exists():
        write_sample(path, seconds=2, size=SIZE, fps=25)
    return path


if __name__ == "__main__":
    sys.exit(main())
