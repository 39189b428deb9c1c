"""Memory that was freed but is still held."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Returns freed memory to the system.

    glibc keeps what the differing sizes of batches left in its heaps: gigabytes after some hundred steps of a small model.
    Takes about a tenth of a second; other C libraries are left alone.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
