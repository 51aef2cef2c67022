"""Lock a folder for one writer, or for one writer per task of an array; a file next to the lock names the holder.

The lock is one of the operating system (flock): it ends with its process, however that dies, so a leftover file blocks
no other run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from dfer_data.errors import LockedError
from dfer_data.storage.walk import entries_of

PREFIX = ".lock"
"""The names of all files of this module begin with it."""
_MOMENT_SECONDS = 1.0  # a task takes the folder's lock for a moment, to check that it is free
_BRIEF_SECONDS = 60.0


@contextlib.contextmanager
def hold_folder(out: Path, *, task_index: int | None = None, flag: str = "--out") -> Iterator[None]:
    """Hold the lock of the folder `out` for the block, or the lock of one task of an array; `flag` chooses the folder.

    Raises LockedError naming the holder: the whole folder and its tasks exclude each other; tasks with different
    indices do not.
    """
    with contextlib.ExitStack() as stack:
        if task_index is None:
            stack.enter_context(_locked(out / PREFIX, out, flag))
            for task in (path for path in entries_of(out) if re.fullmatch(r".lock-task-\d{4}", path.name)):
                stack.enter_context(_locked(task, out, flag))
        else:
            stack.enter_context(_locked(out / f"{PREFIX}-task-{task_index:04d}", out, flag))
            with _locked(out / PREFIX, out, flag):
                pass
        yield


@contextlib.contextmanager
def hold_briefly(out: Path, name: str) -> Iterator[None]:
    """Wait for the named lock in `out` and hold it, for a step that takes a moment. Raises LockedError."""
    lock = filelock.FileLock(out / f"{PREFIX}-{name}")
    try:
        lock.acquire(timeout=_BRIEF_SECONDS)
    except filelock.Timeout:
        raise LockedError(
            f"{out}: another run has locked its {name} for {_BRIEF_SECONDS:.0f} s; does that run hang?"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def hold_lock(path: Path, *, in_use: Callable[[str], str], timeout_seconds: float = _MOMENT_SECONDS) -> Iterator[None]:
    """Hold a lock for the block; a file next to it, which ends in `.json`, names this process.

    Raises LockedError with the message of `in_use`, which receives the holder's name.
    """
    lock = filelock.FileLock(path)
    holder = path.with_name(path.name + ".json")
    try:
        held = lock.acquire(timeout=timeout_seconds)
    except filelock.Timeout:
        raise LockedError(in_use(_holder_name(holder))) from None
    with held:  # given back also where the holder's file cannot be deleted
        try:
            temporary = holder.with_suffix(".part")
            facts = {"host": socket.gethostname(), "pid": os.getpid()}
            temporary.write_text(json.dumps(facts, allow_nan=False), encoding="utf-8")
            temporary.replace(holder)  # another run reads the whole file or none
            yield
        finally:
            holder.unlink(missing_ok=True)


def holder_of(path: Path) -> str | None:
    """Return who holds a lock of `hold_lock`, such as `process 12 on host`; None if no one does.

    The lock is tried, for a moment, only where a holder is named, so that no starting run is kept out.
    """
    holder = path.with_name(path.name + ".json")
    if not (path.is_file() and holder.is_file()):
        return None
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return _holder_name(holder)
    except OSError:  # someone else's folder, which must not be written
        return f"{_holder_name(holder)} (whether it is still running cannot be tested here)"
    lock.release()
    return None  # it was killed


def folder_holders(out: Path) -> tuple[str, ...]:
    """Return who holds the lock of a folder, or locks of tasks in it; () if no one does."""
    names = [path for path in entries_of(out) if re.fullmatch(r"\.lock(-task-\d{4})?", path.name)]
    holders = [holder_of(path) for path in names]
    return tuple(dict.fromkeys(holder for holder in holders if holder is not None))


def _locked(path: Path, out: Path, flag: str) -> contextlib.AbstractContextManager[None]:
    def in_use(holder: str) -> str:
        return f"{out} is in use by {holder}; wait for it, or choose another {flag}"

    return hold_lock(path, in_use=in_use)


def _holder_name(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return f"process {content['pid']} on {content['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
