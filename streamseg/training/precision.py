"""What numbers a network trains in."""

from streamseg.engine.processor import torch_has_bf16

PRECISIONS = ("auto", "bf16", "fp32")


def in_bf16(precision: str, device: str) -> bool:
    """Whether to train under bf16 autocast: if asked, or, with "auto", where `device` multiplies it natively.

    A processor without bf16 units computes it all the same, in several times fp32's time.

    Raises:
        ValueError: a precision that is none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if precision == "auto":
        return device != "cpu" or torch_has_bf16()
    return precision == "bf16"
