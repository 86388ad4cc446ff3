"""Machine code for loops over pixels."""

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
