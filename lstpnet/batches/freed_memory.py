"""Let a process keep the memory that a batch frees for the next one, while a network computes on a CPU.

glibc returns large blocks to the system as soon as they are freed. The next batch asks for them again, and the system
clears them page by page: at 224 px that is an eighth of a training step, and a fifth of a prediction in float32.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator

import torch

from dfer_data.loading.free_memory import free_host_bytes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # names of mallopt(3)
_DEFAULTS = ((_MMAP_MAX, 65536), (_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 64 << 20))
"""The values that glibc gives itself in a process that has freed a large block."""
_lock = threading.Lock()
_num_keeping = 0


@contextlib.contextmanager
def freed_memory(device: torch.device, *, is_kept: bool = True) -> Iterator[Callable[[], None]]:
    """Yield a function to call after a batch: from then on, the process keeps what it frees until the block ends.

    The function changes nothing unless `is_kept`, on other devices than a CPU, on systems without glibc, where the
    environment sets its allocator, or if less memory is free than the process has held so far: freed blocks do not
    always fit the next ones, so that a process that keeps them may hold a third more.
    """
    keeps = False

    def keep() -> None:
        nonlocal keeps
        if not keeps and is_kept and device.type == "cpu" and _can_be_kept():
            keeps = True
            _count(1)

    try:
        yield keep
    finally:
        if keeps:
            _count(-1)


def _can_be_kept() -> bool:
    is_set = any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ
    if is_set or _glibc() is None:
        return False
    import resource

    return free_host_bytes() > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _count(change: int) -> None:
    """Add to the number of blocks that keep memory; the first one begins to, the last one ends it."""
    global _num_keeping
    glibc = _glibc()
    assert glibc is not None
    with _lock:
        before, _num_keeping = _num_keeping, _num_keeping + change
        if before == 0:
            glibc.mallopt(_MMAP_MAX, 0)
            glibc.mallopt(_TRIM_THRESHOLD, -1)
        elif _num_keeping == 0:
            for name, value in _DEFAULTS:
                glibc.mallopt(name, value)
            glibc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
