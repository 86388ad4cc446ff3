"""Which engine is chosen, and what is said when it is not the one that was asked for."""

import ctypes
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from streamseg.engine import choose as module
from streamseg.engine.choose import (
    choose,
    has_bf16,
    num_cuda_devices,
    open_engine,
)
from streamseg.errors import BackendError
from streamseg.models.card import ModelFile


class Machine:
    """What the rules look at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gpus, self.openvino, self.bf16, self.int8 = 0, True, True, True
        self.bf16_asked_of: list[str] = []
        monkeypatch.setattr(module, "num_cuda_devices", lambda: self.gpus)
        monkeypatch.setattr(module, "find_spec", lambda name: self.openvino or None)
        monkeypatch.setattr(module, "has_bf16", self.has_bf16)
        monkeypatch.setattr(module, "int8_is_fast", lambda: self.int8)

    def has_bf16(self, backend: str) -> bool:
        self.bf16_asked_of.append(backend)
        return self.bf16


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def chosen(*wanted: str) -> tuple[str, str, str]:
    info = choose(*wanted)
    assert info.fallbacks == ()
    return info.backend, info.device, info.precision


@pytest.mark.parametrize(
    ("gpus", "bf16", "wanted", "expected"),
    [
        (0, True, ("auto", "auto", "auto"), ("openvino", "cpu", "bf16")),
        (0, False, ("auto", "auto", "auto"), ("openvino", "cpu", "fp32")),
        (0, True, ("torch", "auto", "auto"), ("torch", "cpu", "bf16")),
        (0, False, ("torch", "cpu", "auto"), ("torch", "cpu", "fp32")),
        (0, True, ("openvino", "cpu", "bf16"), ("openvino", "cpu", "bf16")),
        (0, True, ("auto", "cpu", "fp32"), ("openvino", "cpu", "fp32")),
        (2, True, ("auto", "auto", "auto"), ("torch", "cuda:0", "fp16")),
        (2, True, ("auto", "auto", "bf16"), ("torch", "cuda:0", "bf16")),
        (2, True, ("torch", "cuda", "fp32"), ("torch", "cuda:0", "fp32")),
        (2, True, ("auto", "cuda:1", "auto"), ("torch", "cuda:1", "fp16")),
        (2, True, ("auto", "cpu", "auto"), ("openvino", "cpu", "bf16")),
        (2, True, ("openvino", "auto", "auto"), ("openvino", "cpu", "bf16")),
        (2, True, ("torch", "cpu", "auto"), ("torch", "cpu", "bf16")),
    ],
)
def test_rules(machine, gpus, bf16, wanted, expected):
    machine.gpus, machine.bf16 = gpus, bf16
    assert chosen(*wanted) == expected


@pytest.mark.parametrize(
    ("int8", "calibrated", "wanted", "expected"),
    [
        (True, True, ("auto", "auto", "auto"), ("openvino", "cpu", "int8")),
        (True, False, ("auto", "auto", "auto"), ("openvino", "cpu", "bf16")),
        (False, True, ("auto", "auto", "auto"), ("openvino", "cpu", "bf16")),
        (False, True, ("auto", "auto", "int8"), ("openvino", "cpu", "int8")),
        (True, True, ("auto", "auto", "bf16"), ("openvino", "cpu", "bf16")),
        (True, True, ("torch", "auto", "auto"), ("torch", "cpu", "bf16")),
    ],
)
def test_int8_is_chosen_where_it_is_quick_and_as_good(machine, int8, calibrated, wanted, expected):
    machine.int8 = int8
    info = choose(*wanted, calibrated=calibrated)
    assert (info.backend, info.device, info.precision) == expected
    assert info.fallbacks == ()


def test_int8_leaves_the_gpu_alone(machine):
    machine.gpus = 1
    info = choose(precision="int8")
    assert (info.backend, info.device, info.precision) == ("openvino", "cpu", "int8")
    assert choose(calibrated=True).device == "cuda:0"


def test_int8_without_a_calibration_says_how_to_make_one(tiny):
    line = f"no tiny.int8.json beside {tiny.path}; make it: streamseg calibrate --model {tiny.path}"
    with pytest.raises(BackendError, match=re.escape(line)):
        open_engine(tiny, precision="int8")


def test_int8_of_foreign_files_is_refused(tiny):
    model = ModelFile(path=Path("net.onnx"), kind="onnx", card=tiny.card)
    with pytest.raises(BackendError, match=r"made from streamseg's own weights, got net\.onnx"):
        open_engine(model, precision="int8")


def test_compiling_is_of_torch_alone(tiny):
    with pytest.raises(BackendError, match="--compile is of --backend torch, got openvino"):
        open_engine(tiny, device="cpu", compile=True)


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_bf16_is_asked_of_the_backend_that_will_run(machine, backend):
    choose(backend, "cpu")
    assert machine.bf16_asked_of == [backend]


def test_missing_openvino_is_reported_where_it_was_not_asked_for(machine):
    machine.openvino = False
    info = choose()
    assert (info.backend, info.device) == ("torch", "cpu")
    assert info.fallbacks == (
        "backend auto, torch used, openvino, the faster one on CPUs, is not installed",
    )


def test_missing_bf16_is_reported_where_it_was_asked_for(machine):
    machine.bf16 = False
    info = choose(precision="bf16")
    assert info.precision == "fp32"
    assert info.fallbacks == ("precision bf16, fp32 used, this CPU has no bf16 units",)


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (("tensorrt",), "unknown backend 'tensorrt'; known: auto, openvino, torch"),
        (("auto", "auto", "fp8"), "unknown precision 'fp8'; known: auto, fp32, bf16, fp16, int8"),
        (("auto", "tpu"), "unknown device 'tpu'; known: auto, cpu, cuda, cuda:N"),
        (("auto", "cuda:"), "unknown device 'cuda:'; known: auto, cpu, cuda, cuda:N"),
        (("auto", "cuda:x"), "unknown device 'cuda:x'; known"),
        (("auto", "cuda:-1"), "unknown device 'cuda:-1'; known"),
        (("auto", "cpu:0"), "unknown device 'cpu:0'; known"),
        (("auto", "auto:0"), "unknown device 'auto:0'; known"),
        (("auto", ""), "unknown device ''; known"),
        (
            ("torch", "auto", "int8"),
            "int8 runs on OpenVINO and the CPU only, got --backend torch; drop it",
        ),
        (
            ("auto", "cuda:1", "int8"),
            "int8 runs on OpenVINO and the CPU only, got --device cuda:1; drop it",
        ),
        (("auto", "cpu", "fp16"), "fp16 runs on CUDA only; use bf16 or fp32 on the CPU"),
        (("auto", "auto", "fp16"), "fp16 runs on CUDA only; use bf16 or fp32 on the CPU"),
        (
            ("openvino", "cuda"),
            "the openvino backend runs on the CPU, got --device cuda; use torch",
        ),
        (("auto", "cuda"), "expected a CUDA device for --device cuda; torch sees 0"),
        (("torch", "cuda:3"), "expected a CUDA device for --device cuda:3; torch sees 0"),
    ],
)
def test_what_is_not_there_is_refused(machine, wanted, line):
    with pytest.raises(BackendError, match=re.escape(line)):
        choose(*wanted)


def test_openvino_that_was_asked_for_is_never_replaced(machine):
    machine.openvino = False
    with pytest.raises(BackendError, match="not installed; pip install openvino"):
        choose("openvino")


def test_without_a_driver_torch_is_not_asked_for_devices(monkeypatch):
    def no_driver(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", no_driver)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would fail
    assert num_cuda_devices() == 0


def test_with_a_driver_torch_is_asked_for_devices(monkeypatch):
    import torch

    monkeypatch.setattr(ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert num_cuda_devices() == 3


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs /proc/cpuinfo")
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_bf16_is_what_the_processor_says(backend):
    flags = Path("/proc/cpuinfo").read_text().split()
    assert has_bf16(backend) == bool({"avx512_bf16", "amx_bf16"} & set(flags))


@pytest.mark.parametrize("suffix", ["onnx", "xml"])
@pytest.mark.parametrize(
    ("options", "came"),
    [
        ({"backend": "torch"}, "--backend torch"),
        ({"device": "cuda"}, "--device cuda"),
        ({"backend": "torch", "device": "cuda:1"}, "--device cuda:1"),
    ],
)
def test_foreign_files_run_on_openvino_only(tiny, suffix, options, came):
    kind = {"onnx": "onnx", "xml": "openvino"}[suffix]
    model = ModelFile(path=Path(f"net.{suffix}"), kind=kind, card=tiny.card)
    line = f"net.{suffix} runs on OpenVINO and the CPU only, got {came}; drop it"
    with pytest.raises(BackendError, match=re.escape(line)):
        open_engine(model, **options)


@pytest.mark.parametrize("backend", ["openvino", "torch"])
@pytest.mark.parametrize("size", [(0, 0), (99999, 99999)])
def test_impossible_size_is_refused_when_opening(opened, tiny, backend, size):
    with pytest.raises(ValueError, match="from 1x1 to 8192x8192"):
        opened(tiny, backend, size=size)


def test_engine_carries_what_was_replaced(machine, tiny):
    machine.bf16 = False
    with_fallback = open_engine(tiny, backend="torch", device="cpu", precision="bf16")
    assert with_fallback.info.precision == "fp32"
    assert "bf16, fp32 used" in with_fallback.info.fallbacks[0]


def test_choosing_imports_no_torch():
    assert find_spec("openvino") is not None
    if num_cuda_devices():
        pytest.skip("with a GPU torch is what runs")
    script = "import sys; from streamseg.engine.choose import choose; choose(); print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
