"""Which backend, device and precision: what was asked for, or what this machine does fastest."""

import ctypes
import os
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast, get_args

from streamseg.engine.engine import (
    Backend,
    Engine,
    EngineInfo,
    Precision,
    Progress,
    SizeChoice,
)
from streamseg.engine.processor import int8_is_fast, torch_has_bf16, weight_bits
from streamseg.errors import BackendError, ModelError
from streamseg.models.calibration import Calibration, calibration_path, read_calibration
from streamseg.models.registry import by_proposals
from streamseg.proposals.choice import Proposals

if TYPE_CHECKING:
    from streamseg.models.card import ModelFile

BACKENDS = ("auto", *get_args(Backend))
PRECISIONS = ("auto", *get_args(Precision))


def choose(
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    *,
    calibrated: bool = False,
) -> EngineInfo:
    """Resolve the three "auto"s.

    Rules: CUDA when there is a GPU (torch, fp16); else OpenVINO on the CPU, else torch. On OpenVINO int8 where the
    CPU is fast at it and the model was calibrated and lost next to nothing; else bf16 where the CPU
    multiplies that natively; else fp32.

    Args:
        calibrated: whether int8 of this model is as good as fp32.

    Raises:
        BackendError: a value is unknown, or what was asked for explicitly is not there.
    """
    for name, value, known in (
        ("backend", backend, BACKENDS),
        ("precision", precision, PRECISIONS),
    ):
        if value not in known:
            raise BackendError(f"unknown {name} {value!r}; known: {', '.join(known)}")
    if precision == "int8" and (backend == "torch" or device.startswith("cuda")):
        asked = f"--device {device}" if device.startswith("cuda") else "--backend torch"
        raise BackendError(f"int8 runs on OpenVINO and the CPU only, got {asked}; drop it")
    device = _device(device, "openvino" if precision == "int8" else backend)
    fallbacks: list[str] = []
    chosen = _backend("openvino" if precision == "int8" else backend, device, fallbacks)
    if device == "cpu":
        exact = _cpu_precision(precision, chosen, fallbacks, calibrated)
    else:
        exact = cast(Precision, "fp16" if precision == "auto" else precision)
    return EngineInfo(backend=chosen, device=device, precision=exact, fallbacks=tuple(fallbacks))


def _device(device: str, backend: str) -> str:
    kind, _, number = device.partition(":")
    if device not in ("auto", "cpu", "cuda") and not (kind == "cuda" and number.isdecimal()):
        raise BackendError(f"unknown device {device!r}; known: auto, cpu, cuda, cuda:N")
    if kind == "cpu" or (kind == "auto" and backend == "openvino"):
        return "cpu"
    if backend == "openvino":
        raise BackendError(
            f"the openvino backend runs on the CPU, got --device {device}; use torch"
        )
    count = num_cuda_devices()
    if kind == "auto":
        return "cuda:0" if count else "cpu"
    index = int(number or 0)
    if index >= count:
        raise BackendError(f"expected a CUDA device for --device {device}; torch sees {count}")
    return f"cuda:{index}"


def num_cuda_devices() -> int:
    """GPUs that torch can use. Without NVIDIA's driver none, and torch (1.5 s) is not imported to find out."""
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return 0
    import torch

    return torch.cuda.device_count()


def _backend(backend: str, device: str, fallbacks: list[str]) -> Backend:
    if backend == "torch" or device != "cpu":
        return "torch"
    if find_spec("openvino") is not None:
        return "openvino"
    if backend == "openvino":
        raise BackendError("the openvino backend is not installed; pip install openvino")
    fallbacks.append("backend auto, torch used, openvino, the faster one on CPUs, is not installed")
    return "torch"


def _cpu_precision(
    precision: str, backend: Backend, fallbacks: list[str], calibrated: bool
) -> Precision:
    if precision == "fp32":
        return "fp32"
    quick = precision == "auto" and backend == "openvino" and calibrated and int8_is_fast()
    if precision == "int8" or quick:
        return "int8"
    if precision == "fp16":
        raise BackendError("fp16 runs on CUDA only; use bf16 or fp32 on the CPU")
    if has_bf16(backend):
        return "bf16"
    if precision == "bf16":
        fallbacks.append("precision bf16, fp32 used, this CPU has no bf16 units")
    return "fp32"


def has_bf16(backend: Backend) -> bool:
    """Whether this CPU multiplies bf16 natively (AVX512-BF16 or AMX), as the backend sees it."""
    if backend == "openvino":
        import openvino as ov

        # Its default precision. Its "capabilities" list BF16 for every AVX-512 CPU, where it is emulated and slow.
        default: ov.Type = ov.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")
        return bool(default == ov.Type.bf16)
    return torch_has_bf16()


def open_engine(
    model: "ModelFile",
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    size: SizeChoice = "auto",
    compile: bool = False,
    proposals: Proposals | None = None,
    progress: Progress | None = None,
) -> Engine:
    """Load `model` on the engine that `choose` names; one that runs by proposals, on torch.

    Args:
        compile: let torch compile the network; of the torch backend only.
        proposals: where a network that runs by proposals looks; None for the default, and for all others.
        progress: told how many proposals of a picture are done.

    Raises:
        BackendError: see `choose`; or this backend cannot run this kind of file, or not in int8.
        ModelError: the file cannot be used; or proposals are asked of a network that looks at whole pictures.
        ValueError: no such network size.
    """
    if runs_by_proposals(model):
        from streamseg.engine.proposal_engine import ProposalEngine

        info = _choose_by_proposals(model, backend, device, precision)
        return ProposalEngine(
            model, info, size, proposals or Proposals(), compile=compile, progress=progress
        )
    if proposals is not None:
        raise ModelError(
            f"proposals are of networks that look at one object at a time, such as deconvnet, and {model.card.name} is "
            f"{model.card.architecture}; drop --proposals, --aggregate and --edge-model"
        )
    own = model.is_torch
    if not own and (backend == "torch" or device.startswith("cuda")):
        asked = f"--device {device}" if device.startswith("cuda") else "--backend torch"
        raise BackendError(
            f"{model.path.name} runs on OpenVINO and the CPU only, got {asked}; drop it"
        )
    calibration = _calibration(model, precision)
    wanted = (backend if own else "openvino", device, precision)
    info = choose(*wanted, calibrated=calibration is not None and calibration.good(weight_bits()))
    if calibration and precision == "auto" and info.precision == "int8":
        info = _unless_outdated(calibration, model, info, choose(*wanted))
    if compile and info.backend != "torch":
        raise BackendError(f"--compile is of --backend torch, got {info.backend}; drop one of them")
    if not own and "auto" == backend == device and num_cuda_devices():
        reason = f"device auto, cpu used, {model.path.suffix} files run on OpenVINO only"
        info = replace(info, fallbacks=(*info.fallbacks, reason))
    engine: Engine
    if info.backend == "openvino":
        from streamseg.engine.openvino_engine import OpenVINOEngine

        engine = OpenVINOEngine(
            model, info, size, calibration if info.precision == "int8" else None
        )
    elif info.device != "cpu":
        engine = _cuda_engine(model, info, size, compile)
    else:
        from streamseg.engine.torch_engine import TorchEngine

        engine = TorchEngine(model, info, size, compile=compile)
    engine.network_size(
        engine.card.input.size
    )  # a size that cannot be is refused now, not at the first frame
    return engine


def _cuda_engine(model: "ModelFile", info: EngineInfo, size: SizeChoice, compile: bool) -> Engine:
    from streamseg.engine.cuda_engine import CudaEngine

    if find_spec("triton") is None:
        reason = "drawing on the GPU, drawing on the CPU used, triton is not installed"
        return CudaEngine(
            model, replace(info, fallbacks=(*info.fallbacks, reason)), size, compile=compile
        )
    from streamseg.engine.triton_paint import TritonPainter

    return CudaEngine(model, info, size, compile=compile, painter=TritonPainter)


def runs_by_proposals(model: "ModelFile") -> bool:
    """Whether it looks at parts of a picture, one after the other."""
    return model.is_torch and by_proposals(model.card.architecture)


def _choose_by_proposals(
    model: "ModelFile", backend: str, device: str, precision: str
) -> EngineInfo:
    if backend == "openvino" or precision == "int8":
        asked = "--backend openvino" if backend == "openvino" else "--precision int8"
        raise BackendError(
            f"{model.card.name} runs by proposals, on torch only, got {asked}; drop it"
        )
    return choose("torch" if backend == "auto" else backend, device, precision)


def _calibration(model: "ModelFile", precision: str) -> Calibration | None:
    """What lies beside the weights, if this precision could use it."""
    if precision not in ("auto", "int8"):
        return None
    found = read_calibration(model.path) if model.is_torch else None
    if precision == "int8" and found is None:
        where = f"beside {model.path}"
        if not model.is_torch:
            raise BackendError(
                f"int8 is made from streamseg's own weights, got {model.path.name}; quantize such a file "
                f"before (it then runs in 8 bits by itself)"
            )
        raise BackendError(
            f"int8 needs the range of every activation, and there is no {calibration_path(model.path).name} "
            f"{where}; make it: streamseg calibrate --model {model.path} --data DIR"
        )
    return found


def _unless_outdated(
    calibration: Calibration, model: "ModelFile", int8: EngineInfo, other: EngineInfo
) -> EngineInfo:
    """`int8`; `other`, and a note, if the weights were replaced after they were calibrated, as training does."""
    from streamseg.engine.graph_cache import file_digest

    if calibration.weights == file_digest(model.path):
        return int8
    reason = (
        f"precision auto, {other.precision} used, {calibration_path(model.path).name} was made for other "
        f"weights (streamseg calibrate makes it anew)"
    )
    return replace(other, fallbacks=(*other.fallbacks, reason))
