"""What a machine offers: versions, processor, backends, GPUs, codecs, cameras."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("av", "numpy", "numba", "opencv-python", "openvino", "torch", "safetensors")
CODECS = {
    "decoders": ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg"),
    "encoders": ("libx264", "libx265", "libvpx-vp9", "ffv1", "h264_nvenc"),
}


def examine() -> dict[str, Any]:
    """Versions, processor, backends, codecs, and the choice of `auto` with its reason."""
    from streamseg.engine.choose import choose
    from streamseg.engine.processor import weight_bits
    from streamseg.version import __version__

    info = choose(calibrated=True)  # as the shipped model is
    reasons = {
        "torch": "a CUDA device is there" if info.device != "cpu" else "openvino is not installed",
        "openvino": "no CUDA device; OpenVINO is the fastest CPU backend",
    }
    precision = {
        "int8": f"the CPU is fast at it, with weights of {weight_bits()} bits; bf16 or fp32 for models without "
        "calibration",
        "bf16": "the CPU multiplies bf16 natively",
        "fp32": "the CPU has no bf16 units",
        "fp16": "GPU",
    }
    return {
        "streamseg": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "bf16": _units(),
        "cuda": _cuda_devices(),
        **_codecs(),
        "cameras": sorted(
            f"/dev/{name}" for name in os.listdir("/dev") if name.startswith("video")
        ),
        "auto picks": f"{info.backend} on {info.device} ({reasons[info.backend]}), "
        f"{info.precision} ({precision[info.precision]})",
        "fallbacks": list(info.fallbacks),
    }


def package_version(package: str) -> str:
    """What is installed, or "missing"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
        return names[0] if names else platform.processor()
    except OSError:
        return platform.processor()


def _units() -> list[str]:
    """Units for numbers of less than 32 bits, as /proc/cpuinfo names them."""
    from streamseg.engine.processor import cpu_flags

    flags = cpu_flags()
    known = ("avx512_bf16", "amx_bf16", "amx_int8", "avx512_vnni", "avx_vnni")
    return [flag for flag in known if flag in flags] if flags else ["unknown"]


def _cuda_devices() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _codecs() -> dict[str, list[str]]:
    import av

    found = {}
    for kind, names in CODECS.items():
        mode = "r" if kind == "decoders" else "w"
        found[kind] = [name for name in names if _has_codec(av, name, mode)]
    return found


def _has_codec(av: Any, name: str, mode: str) -> bool:
    try:
        av.codec.Codec(name, mode)
    except av.codec.codec.UnknownCodecError:
        return False
    return True
