"""Memory that was freed but is still held, and memory that runs out."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch


def give_back() -> None:
    """Returns freed memory to the system.

    glibc keeps what the differing sizes of batches left in its heaps: gigabytes after some hundred steps of a small model.
    Takes about a tenth of a second; other C libraries are left alone.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on whichever device. torch's allocator for the CPU has no class of its own for that."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def free_cache(device: torch.device) -> None:
    """Gives what an attempt that ran out of memory has left back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    else:
        give_back()
