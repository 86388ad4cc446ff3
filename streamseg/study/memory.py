"""Memory that one network takes while it runs, in a process that does nothing else.

    python -m streamseg.study.memory WEIGHTS --size 577x769 [--branch sub4] [--device cpu] [--precision auto]

prints {"network_mb", "process_mb"} of `records.Memory`; null where this system does not say. The graph comes from the
cache of converted graphs, if the network ran before, so that converting it, which torch does, is not counted.
"""

import argparse
import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamseg.benchmark.records import Size
from streamseg.engine.choose import open_engine
from streamseg.engine.entry import Entry
from streamseg.engine.graph_cache import cache_folder
from streamseg.errors import BackendError
from streamseg.models.find import find_model
from streamseg.picture.pixels import Packed
from streamseg.study.records import Memory

PICTURES = 3
"""Labelled before memory is read, and while it is."""


def measure_memory(
    path: Path, size: Size, *, branch: str | None, device: str, precision: str
) -> Memory | None:
    """Run the program above for one network; None where this system does not say.

    Raises:
        BackendError: the process failed.
    """
    words = [sys.executable, "-m", __name__, str(path), "--size", f"{size[0]}x{size[1]}"]
    words += ["--device", device, "--precision", precision]
    words += ["--branch", branch] if branch else []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BackendError(f"measuring the memory of {path.name} failed: {last}")
    found = json.loads(done.stdout)
    if found["network_mb"] is None:
        return None
    return Memory(size=size, **found)


def main(words: Sequence[str] | None = None) -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--size", required=True)
    parser.add_argument("--branch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args(words)
    height, width = (int(side) for side in args.size.split("x"))
    file = find_model(args.weights, branch=args.branch)
    picture = Packed(pixels=np.zeros((height, width, 3), np.uint8))
    _load_libraries(args.device)
    # Compiles, in memory that is not the network's, what brings pictures into its form.
    Entry(picture, file.card.input, (height, width))(picture)
    before = status_mb("VmRSS")
    engine = open_engine(
        file,
        device=args.device, precision=args.precision, size=(height, width),
    )  # fmt: skip
    network_input = engine.prepare(picture)
    for _ in range(PICTURES):
        engine.infer(network_input)
    cleared = forget_peak()
    for _ in range(PICTURES):
        engine.infer(network_input)
    peak = status_mb("VmHWM") if cleared else None
    network = None if peak is None or before is None else round(peak - before, 1)
    if engine.info.device != "cpu":
        import torch

        network = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    print(json.dumps({"network_mb": network, "process_mb": peak and round(peak, 1)}))
    return 0


def _load_libraries(device: str) -> None:
    """What would else count as the network's."""
    import cv2  # noqa: F401
    import openvino

    openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")  # loads its plugin
    if device != "cpu" or cache_folder() is None:
        import torch  # noqa: F401


def forget_peak() -> bool:
    """Let the greatest resident memory begin at what is in use now; whether this system can."""
    try:
        # What was freed after conversion may still be the process's own.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return False
    return True


def status_mb(name: str) -> float | None:
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.findall(rf"{name}:\s+([0-9]+) kB", status)[0]) * 1024 / 1e6
    except (OSError, IndexError):
        return None


if __name__ == "__main__":
    sys.exit(main())
