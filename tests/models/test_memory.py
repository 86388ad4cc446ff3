"""What networks need of memory, what there is, and what is said when that is less."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from model_files import write_model
from torch import Tensor, nn

from streamseg.errors import ModelError
from streamseg.models import memory
from streamseg.models.find import find_model
from streamseg.models.memory import (
    MemoryNeed,
    allocation_failures,
    available_memory,
    memory_needed,
    require_memory,
    weightless,
)
from streamseg.models.operations import gflop
from streamseg.models.registry import build
from streamseg.models.state import is_auxiliary
from streamseg.models.weights import load_for_inference, load_model, read_card, save_weights


class Maps(nn.Module):
    """A convolution, and maps that live for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y = F.relu(self.conv(x_BCHW), inplace=True)
        z = F.relu(y)
        del y
        return F.max_pool2d(z, 2)


def test_maps_are_counted_while_they_are_alive() -> None:
    need = memory_needed(weightless(Maps), (10, 20), batch=2)
    pixels = 2 * 10 * 20
    assert need.weights == 4 * (3 * 8 + 8)
    # The input, which its caller keeps; the convolution's, and the second ReLU's, when the first of them goes.
    assert need.maps == 4 * pixels * (3 + 8 + 8)
    assert memory_needed(weightless(Maps)).maps == 0


def test_training_keeps_maps_for_gradients() -> None:
    network = weightless(lambda: build("fcn32s", 5, width=1 / 16))
    assert (
        memory_needed(network.train(), (64, 64), 2).maps
        > 3 * memory_needed(network.eval(), (64, 64), 2).maps
    )


@pytest.mark.parametrize(
    ("name", "size", "width", "row"),
    [
        ("deconvnet", (224, 224), 1.0, "| 1 | 251.79 | 65.5 | 1.01 | 2.02 | 1.46 |"),
        ("deconvnet", (224, 224), 1 / 4, "| 1/4 | 15.74 | 4.2 | 0.06 | 0.13 | 0.10 |"),
        ("fcn8s", (512, 512), 1.0, "| fcn8s | 134.39 | 221.7 | 0.54 | 1.36 | 1.09 |"),
        ("fcn32s", (512, 512), 1.0, "| fcn32s | 134.36 | 221.6 | 0.54 | 1.36 | 1.09 |"),
        ("fcn8s", (512, 512), 1 / 4, "| fcn8s, width 1/4 | 8.44 | 14.1 | 0.03 | 0.09 | 0.10 |"),
    ],
)
def test_the_documentation_says_what_is_counted(
    name: str, size: tuple[int, int], width: float, row: str
) -> None:
    network = weightless(lambda: build(name, 21, width=width))
    need = memory_needed(network, size)
    parameters = sum(
        one.numel() for key, one in network.named_parameters() if not is_auxiliary(key)
    )
    gigabytes = [f"{one / 1e9:.2f}" for one in (need.weights, need.loading, need.running)]
    counted = [f"{parameters / 1e6:.2f}", f"{gflop(network, size):.1f}", *gigabytes]
    assert row.split(" | ", 1)[1] == " | ".join(counted) + " |"
    assert row in (Path(__file__).parents[2] / "docs" / "networks.md").read_text()


def test_the_greatest_tensor_is_counted_beside_all() -> None:
    need = MemoryNeed(weights=100, reading=70, folding=80, maps=5)
    assert (need.loading, need.running) == (180, 145)


@pytest.mark.parametrize("name", ["icnet", "icnet-deconv5", "hrnet-ocr-ms", "deconvnet", "fcn8s"])
def test_weightless_networks_have_the_shapes_of_real_ones(name: str) -> None:
    def make() -> nn.Module:
        return build(name, 3, width=1 / 16)

    state = weightless(make).state_dict()
    assert all(tensor.is_meta for tensor in state.values())
    real = make().state_dict()
    assert {key: one.shape for key, one in state.items()} == {
        key: one.shape for key, one in real.items()
    }


def test_counting_draws_no_random_numbers_where_there_are_none() -> None:
    """Drawing them on the meta device imports torch's compiler: seconds."""
    code = (
        "import sys; from streamseg.models.memory import weightless, memory_needed\n"
        "from streamseg.models.registry import build\n"
        "for name in ('icnet', 'icnet-deconv3', 'fcn8s', 'deconvnet'):\n"
        "    memory_needed(weightless(lambda: build(name, 2, width=1 / 16)))\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable:   5000000 kB\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/meminfo": MEMINFO}, (5_120_000_000, "MemAvailable")),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/user/app\n",
                "sys/fs/cgroup/user/app/memory.max": "max\n",
                "sys/fs/cgroup/user/app/memory.current": "7\n",
                "sys/fs/cgroup/user/memory.max": "1000000\n",
                "sys/fs/cgroup/user/memory.current": "400000\n",
                "sys/fs/cgroup/user/memory.stat": "anon 1\ninactive_file 50000\n",
            },
            (650_000, "limit of the control group"),
        ),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "9:name=systemd:/\n4:memory:/outside/of/it\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "9999\n",
            },
            (0, "limit of the control group"),
        ),
    ],
)  # fmt: skip
def test_what_there_is_is_the_least_of_all_limits(
    tmp_path: Path, files: dict[str, str], expected: tuple[int, str] | None
) -> None:
    assert available_memory(machine(tmp_path, files)) == expected


def test_this_machine_has_some_memory() -> None:
    found = available_memory()
    assert found is None or found[0] > 1 << 20


def test_too_little_is_one_line_before_anything_is_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = find_model(write_model(tmp_path / "mine.safetensors", "deconvnet"))
    monkeypatch.setattr(memory, "available_memory", lambda: (3_000_000, "MemAvailable"))

    def never(*_: object) -> None:
        raise AssertionError("something was read")

    monkeypatch.setattr("streamseg.models.weights.load_weights", never)
    line = (
        r"expected 0\.01 GB of free memory to load mine\.safetensors "
        r"\(deconvnet of width 0\.0625, 1\.0 M parameters\), "
        r"got 0\.00 GB \(MemAvailable\); take weights of a smaller width, or free memory"
    )
    with pytest.raises(ModelError, match=line):
        load_model(file)


def test_enough_is_enough() -> None:
    require_memory(10, "run", available=(10, "MemAvailable"))
    with pytest.raises(
        ModelError, match=r"expected 2\.50 GB of free memory to run, got 1\.25 GB \(a fake\)"
    ):
        require_memory(2_500_000_000, "run", available=(1_250_000_000, "a fake"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("Exception from src/inference: std::bad_alloc"),
        MemoryError(),
    ],
)  # fmt: skip
def test_failed_allocations_are_one_line(error: Exception) -> None:
    with (
        pytest.raises(
            ModelError, match="not enough memory to load it; take a smaller --size"
        ) as found,
        allocation_failures("load it"),
    ):
        raise error
    assert found.value.__cause__ is error


def test_other_failures_are_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="sizes differ"), allocation_failures("load it"):
        raise RuntimeError("sizes differ")


LIMITED = """
import resource, sys
from pathlib import Path
from streamseg.models.find import find_model
from streamseg.models.weights import load_for_inference

small, large = (find_model(Path(word)) for word in sys.argv[1:])
load_for_inference(small)  # libraries are there now
_, hard = resource.getrlimit(resource.RLIMIT_AS)
for spare in (2_000_000_000, 20_000_000):
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + spare, hard))
    try:
        load_for_inference(large)
        print("loaded")
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS as Linux has it")
def test_a_limit_of_the_address_space_is_seen(tmp_path: Path) -> None:
    """In a process of its own, which may take so many bytes more than it has."""
    small = write_model(tmp_path / "small.safetensors", "deconvnet")
    network = build("deconvnet", 11, width=1 / 8)  # 32 MB to load
    large = tmp_path / "large.safetensors"
    save_weights(large, network.state_dict(), replace(read_card(small), width=1 / 8))
    words = [sys.executable, "-c", LIMITED, str(small), str(large)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert re.fullmatch(
        r"loaded\nModelError expected 0\.03 GB of free memory to load large\.safetensors \(deconvnet of width 0\.125, "
        r"3\.9 M parameters\), got 0\.0[12] GB \(limit of the address space\); take weights of a smaller width, .*\n",
        done.stdout,
    ), done.stdout


def test_loading_and_running_as_before(tmp_path: Path) -> None:
    file = find_model(write_model(tmp_path / "fcn.safetensors", "fcn8s"))
    network = load_for_inference(file)
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 32, 64)).shape == (1, 11, 4, 8)
