"""What this processor multiplies natively in fewer than 32 bits."""

from streamseg.models.calibration import WeightBits

INT8_UNITS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""As /proc/cpuinfo calls them: they add products of 8-bit numbers in 32 bits."""


def int8_is_fast() -> bool:
    """Whether 8 bits are faster here than 32: with such units by far, and with AVX2 alone, too.

    Where the processor is not known int8 must be asked for.
    """
    return bool((INT8_UNITS | {"avx2"}) & cpu_flags())


def weight_bits() -> WeightBits:
    """How fine weights may be for int8 to be exact here: see `calibration.GREATEST`."""
    return 8 if INT8_UNITS & cpu_flags() else 7


def torch_has_bf16() -> bool:
    """Whether torch multiplies bf16 natively here (AVX512-BF16 or AMX), and does not do it in fp32 step by step."""
    import torch

    return bool(
        torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported()
    )


def cpu_flags() -> frozenset[str]:
    """What /proc/cpuinfo lists; empty where there is none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return frozenset(next(line for line in file if line.startswith("flags")).split())
    except (OSError, StopIteration):
        return frozenset()
