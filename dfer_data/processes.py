"""Processes that dfer starts: they import nothing from the working folder, and end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait

_SAFE_PATH = "PYTHONSAFEPATH"


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def are_cores_busy() -> bool:
    """Return whether twice as many programs run, on average of the last minute, as there are cores for this one."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] >= 2 * num_cores()


@contextmanager
def safe_imports() -> Iterator[None]:
    """Keep processes started in the block from importing the working folder, which may hold untrusted code.

    multiprocessing starts them as `python -c`, which searches the working folder first.
    """
    previous = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if previous is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = previous


def end_with_parent() -> None:
    """Watch the parent process from a thread, and end this process when the parent is gone, whatever it is doing."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
