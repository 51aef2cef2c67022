"""One writer a folder, or one writer a task of an array; who it is stands beside the lock.

A lock is the operating system's own (flock): it ends with its process, however that dies, so a file that is left over
holds nobody up.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from dfer_data.errors import LockedError

PREFIX = ".lock"
"""All files of this module begin with it."""
_MOMENT_SECONDS = 1.0  # a task holds the folder's lock for an instant, to see whether it is free
_BRIEF_SECONDS = 60.0


@contextlib.contextmanager
def hold_folder(out: Path, *, task_index: int | None = None) -> Iterator[None]:
    """Hold the folder `out` while the block runs, or, of an array of tasks, the part of one.

    Raises LockedError naming the holder: the whole folder and its tasks exclude each other, tasks of different index do
    not.
    """
    with contextlib.ExitStack() as held:
        if task_index is None:
            held.enter_context(_held(out / PREFIX, out))
            for task in sorted(out.glob(f"{PREFIX}-task-????")):
                held.enter_context(_held(task, out))
        else:
            held.enter_context(_held(out / f"{PREFIX}-task-{task_index:04d}", out))
            with _held(out / PREFIX, out):
                pass
        yield


@contextlib.contextmanager
def hold_briefly(out: Path, name: str) -> Iterator[None]:
    """Wait for a lock of that name in `out` and hold it: for a step that takes an instant. Raises LockedError."""
    brief = filelock.FileLock(out / f"{PREFIX}-{name}")
    try:
        brief.acquire(timeout=_BRIEF_SECONDS)
    except filelock.Timeout:
        raise LockedError(f"{out}: another run has held its {name} for {_BRIEF_SECONDS:.0f} s; does it hang?") from None
    try:
        yield
    finally:
        brief.release()


@contextlib.contextmanager
def _held(path: Path, out: Path) -> Iterator[None]:
    lock = filelock.FileLock(path)
    holder = path.with_name(path.name + ".json")
    try:
        lock.acquire(timeout=_MOMENT_SECONDS)
    except filelock.Timeout:
        raise LockedError(f"{out} is in use by {_holder(holder)}; wait for it, or choose another --out") from None
    try:
        part = holder.with_suffix(".part")
        part.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}), encoding="utf-8")
        part.replace(holder)  # another run reads it whole or not at all
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return f"process {known['pid']} on {known['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
