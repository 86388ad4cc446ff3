"""Memory that a network takes, and memory that there is. Comes in: a network without weights. Goes out: bytes, or one
clear line before anything is allocated.

What is counted is the least that can do: weights in float32, what reading them takes beside them, and the maps that are
alive at once. Libraries' own memory comes on top.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

GB = 1e9

READING_BYTES = 5
"""For each number of the greatest tensor: a file's fp16 is looked through for inf and nan."""

FAILURES = ("can't allocate memory", "out of memory", "not enough memory", "bad_alloc")
"""What torch, CUDA and OpenVINO say, in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """Bytes.

    Attributes:
        weights: parameters and statistics of batch norm, float32.
        reading: beside them, while a file of fp16 is read into them.
        folding: beside them, while batch norms are folded: the greatest kernel twice more.
        maps: beside them, while one batch runs: all maps that are alive at once.
    """

    weights: int
    reading: int
    folding: int
    maps: int

    @property
    def loading(self) -> int:
        """At the most while it is loaded."""
        return self.weights + max(self.reading, self.folding)

    @property
    def running(self) -> int:
        """At the most while it runs: a library rearranges the greatest kernel for its own use."""
        return self.weights + self.folding // 2 + self.maps


def weightless(make: Callable[[], "nn.Module"]) -> "nn.Module":
    """What `make` makes, in eval mode and with shapes but no numbers: nothing is allocated.

    Random numbers are not drawn either: torch would import 800 modules to draw them where there is nothing to fill.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class NoNumbers(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if function in (torch.Tensor.normal_, torch.nn.init.normal_):
                return args[0] if args else kwargs["tensor"]
            return function(*args, **(kwargs or {}))

    with torch.device("meta"), NoNumbers():
        return make().eval()


def memory_needed(
    network: "nn.Module", size: tuple[int, int] | None = None, batch: int = 1
) -> MemoryNeed:
    """What `network` needs to be loaded and to run `batch` pictures of `size`, in float32.

    Args:
        network: as `weightless` makes it; in training mode, maps that gradients need are counted, too. Unchanged.
        size: (height, width) of its input; None leaves its maps out.
    """
    numbers = [
        tensor.numel() for tensor in network.state_dict().values() if tensor.is_floating_point()
    ]
    total, greatest = sum(numbers), max(numbers, default=0)
    return MemoryNeed(
        weights=4 * total,
        reading=2 * total + READING_BYTES * greatest,
        folding=8 * greatest,
        maps=0 if size is None else _greatest_maps(network, (batch, 3, *size)),
    )


def require_memory(needed: int, doing: str, *, available: tuple[int, str] | None = None) -> None:
    """Refuse to begin what cannot be ended.

    Args:
        needed: bytes.
        doing: "load deconvnet at width 1".
        available: by default `available_memory()`.

    Raises:
        ModelError: there is less.
    """
    found = available or available_memory()
    if found is not None and needed > found[0]:
        raise ModelError(
            f"expected {needed / GB:.2f} GB of free memory to {doing}, got {found[0] / GB:.2f} GB ({found[1]}); "
            f"take weights of a smaller width, or free memory"
        )


@contextmanager
def allocation_failures(doing: str) -> Iterator[None]:
    """Make one clear line of an allocation that fails within.

    Raises:
        ModelError: there was not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if not isinstance(error, MemoryError) and not any(words in text for words in FAILURES):
            raise
        raise ModelError(
            f"not enough memory to {doing}; take a smaller --size, weights of a smaller width, or free memory"
        ) from error


def available_memory(root: Path = Path("/")) -> tuple[int, str] | None:
    """Bytes that this process may still allocate, and what sets that limit; None where the system does not say.

    The least of what Linux has left (MemAvailable), of what this process's control groups leave it, and of its
    address space (RLIMIT_AS).

    Args:
        root: where /proc and /sys are.
    """
    found = [*_of_system(root), *_of_control_groups(root), *_of_address_space(root)]
    return min(found, default=None)


def _of_system(root: Path) -> Iterator[tuple[int, str]]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024, "MemAvailable"


def _of_control_groups(root: Path) -> Iterator[tuple[int, str]]:
    """Of the group and all above it: /proc/self/cgroup has a line per hierarchy, `number:controllers:path`."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, limit, used = "sys/fs/cgroup", "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            mount, limit, used = (
                "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
            )  # fmt: skip
        else:
            continue
        # Within a container the path may be one outside of it: what is not there limits nothing.
        group = root / mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root / mount):
                break
            at_most, in_use = _number(folder / limit), _number(folder / used)
            if at_most is not None and in_use is not None:
                free = max(0, at_most - in_use + _reclaimable(folder))
                yield free, "limit of the control group"


def _reclaimable(folder: Path) -> int:
    """Bytes of files that the kernel keeps in memory for as long as nobody needs it."""
    for line in _lines(folder / "memory.stat"):
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0


def _of_address_space(root: Path) -> Iterator[tuple[int, str]]:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = "".join(_lines(root / "proc/self/statm")).split()
    if limit != resource.RLIM_INFINITY and pages:
        in_use = int(pages[0]) * os.sysconf("SC_PAGE_SIZE")
        yield max(0, limit - in_use), "limit of the address space"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    """None where there is no such file, or it says "max"."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None


def _greatest_maps(network: "nn.Module", shape: tuple[int, ...]) -> int:
    """Bytes of all maps, input included, that are alive at once, counted where torch makes them."""
    import copy
    import weakref

    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    alive: dict[int, int] = {}
    most = 0

    class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal most
            made = function(*args, **(kwargs or {}))
            for tensor in tree_leaves(made):
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()
                    if storage._cdata not in own and storage._cdata not in alive:
                        alive[storage._cdata] = storage.nbytes()
                        weakref.finalize(storage, alive.pop, storage._cdata, None)
            most = max(most, sum(alive.values()))
            return made

    counted: Any = copy.deepcopy(network)
    if not network.training:
        from streamseg.models.blocks import fold_batch_norms

        counted = fold_batch_norms(counted)
    # Weights are counted elsewhere.
    own = {tensor.untyped_storage()._cdata for tensor in counted.state_dict().values()}
    with torch.inference_mode(not network.training), Counting():  # type: ignore[no-untyped-call]
        counted(torch.empty(shape, device="meta"))
    return most
