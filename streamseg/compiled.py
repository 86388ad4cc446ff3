"""Machine code for loops over pixels, and how many threads can run it."""

import os
from typing import Any

import numba


def compiled(function: Any, **options: Any) -> Any:
    """Machine code on first use, without the GIL; kept on disk where a folder can be written.

    Args:
        options: numba's own.
    """
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # numba found no folder for its cache
        return numba.njit(nogil=True, **options)(function)


def num_cpus() -> int:
    """Logical CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
