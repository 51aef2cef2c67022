"""Lock a URL for one writer: an object that only one run can create, that names the run, and that the run renews.

Unlike an operating system, a store does not remove the lock of a killed run. A run that finds a lock of the same
machine looks for its process; for another machine it watches whether the content of the lock is renewed, without
comparing clocks. A lock that is not renewed is taken over: two writers do no harm, because they write the same bytes,
and the one that lost its lock ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import uuid4

from dfer_data.errors import DferError, LockedError
from dfer_data.storage.folder_lock import PREFIX
from dfer_data.storage.url_files import UrlFiles

BEAT_SECONDS = 5.0
"""Time between two renewals."""
STALE_SECONDS = 60.0
"""A lock that is not renewed for this time has no holder."""
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Holder:
    """The holder of a lock, as stored in the lock object."""

    host: str
    """Name of the machine."""
    pid: int
    """Process id there."""
    machine: str
    """Id of the machine's boot and of its container; empty if unknown."""
    process_start: float
    """Seconds from the machine's boot to the start of the process; tells it from a later process with the same id."""
    token: str
    """Random; unique to this lock."""
    num_beats: int = 0
    """Renewals so far."""

    def __str__(self) -> str:
        """Return the holder as named in messages."""
        return f"process {self.pid} on {self.host}"


class Lease:
    """A lock that this process holds and renews from a thread."""

    def __init__(self, files: UrlFiles, name: str, holder: Holder) -> None:
        self.mark = name, holder.token
        """Identifies the lock for other processes of this run; see `confirm`."""
        self._files, self._name, self._holder = files, name, holder
        self._end = threading.Event()
        self._taken_by = ""
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def confirm(self) -> None:
        """Raise LockedError if another run held the lock at the last renewal."""
        if self._taken_by:
            raise _lost(self._files, self._taken_by)

    def release(self) -> None:
        """Stop the renewals and remove the lock if it is still this one."""
        self._end.set()
        self._thread.join()
        with contextlib.suppress(DferError):  # an unreachable store keeps the lock; it becomes stale
            if _other_holder(self._files, self._name, self._holder.token) is None:
                self._files.remove(self._name)

    def _renew(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            with contextlib.suppress(DferError):  # the next renewal may succeed
                if taken_by := _other_holder(self._files, self._name, self._holder.token):
                    self._taken_by = taken_by
                    return
                self._holder = replace(self._holder, num_beats=self._holder.num_beats + 1)
                self._files.put(self._name, _content(self._holder))


def url_holders(files: UrlFiles) -> tuple[str, ...]:
    """Return who holds the lock of a place, or locks of tasks in it; () if no one does.

    A lock of another machine is named without watching whether it is renewed.
    """
    names = [name for name in sorted(files.listing()) if name.startswith(PREFIX) and name.endswith(".json")]
    contents = [content for name in names if (content := _read(files, name)) is not None]
    holders = [holder for content in contents if (holder := _parsed(content)) is not None]
    words = []
    for holder in holders:
        if not holder.machine or holder.machine != _machine():
            words.append(f"{holder} (whether it is still running cannot be tested here)")
        elif _process_start(holder.pid) == holder.process_start:
            words.append(str(holder))
    return tuple(dict.fromkeys(words))


def confirm(files: UrlFiles, mark: tuple[str, str]) -> None:
    """Raise LockedError if another run holds the lock now."""
    name, token = mark
    if taken_by := _other_holder(files, name, token):
        raise _lost(files, taken_by)


def _lost(files: UrlFiles, taken_by: str) -> LockedError:
    return LockedError(
        f"the lock of {files.url} is now held by {taken_by}: this run stalled for too long, or its lock was removed; "
        "finished shards are kept, run the same command again later"
    )


@contextlib.contextmanager
def hold_url(files: UrlFiles, *, task_index: int | None, on_wait: Callable[[Holder], None]) -> Iterator[Lease]:
    """Hold the lock of the place for the block, or the lock of one task of an array.

    `on_wait` receives the holder of a lock while it is watched, which takes up to a minute. Raises LockedError naming
    the holder: the whole place and its tasks exclude each other; tasks with different indices do not.
    """
    whole = f"{PREFIX}.json"
    name = whole if task_index is None else f"{PREFIX}-task-{task_index:04d}.json"
    lock = _acquired(files, name, on_wait=on_wait)
    try:
        tasks = sorted(entry for entry in files.listing() if entry.startswith(f"{PREFIX}-task-"))
        for other in tasks if task_index is None else [whole]:
            _remove_stale(files, other, on_wait=on_wait)
        yield lock
    finally:
        lock.release()


def _acquired(files: UrlFiles, name: str, *, on_wait: Callable[[Holder], None]) -> Lease:
    holder = _this_process()
    while not files.create(name, _content(holder)):
        if _other_holder(files, name, holder.token) is None:
            break  # the first request succeeded, but its answer was lost
        _remove_stale(files, name, on_wait=on_wait)
    return Lease(files, name, holder)


def _remove_stale(files: UrlFiles, name: str, *, on_wait: Callable[[Holder], None]) -> None:
    """Remove a lock whose holder is gone; LockedError while the holder lives."""
    content = _read(files, name)
    if content is None:
        return
    holder = _parsed(content)
    if holder is not None and _is_alive(files, name, content, holder, on_wait=on_wait):
        raise LockedError(f"{files.url} is in use by {holder}; wait for it, or choose another --out")
    files.remove(name)


def _is_alive(files: UrlFiles, name: str, content: bytes, holder: Holder, *, on_wait: Callable[[Holder], None]) -> bool:
    if holder.machine and holder.machine == _machine():
        start = _process_start(holder.pid)
        return start is not None and start == holder.process_start
    on_wait(holder)
    deadline = time.monotonic() + STALE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(min(_POLL_SECONDS, STALE_SECONDS))
        current = _read(files, name)
        if current != content:
            return current is not None
    return False


def _other_holder(files: UrlFiles, name: str, token: str) -> str | None:
    """Return who else holds the lock; None if `token` does."""
    content = _read(files, name)
    holder = _parsed(content) if content is not None else None
    if holder is None:
        return "nobody" if content is None else "another run"
    return None if holder.token == token else str(holder)


def _read(files: UrlFiles, name: str) -> bytes | None:
    try:
        return files.read(name)
    except FileNotFoundError:
        return None


def _content(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), allow_nan=False).encode("utf-8")


def _parsed(content: bytes) -> Holder | None:
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        return None


def _this_process() -> Holder:
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, _machine(), _process_start(pid) or 0.0, uuid4().hex)


def _process_start(pid: int) -> float | None:
    """Return when a process started, in seconds since boot; None if there is none, or only its exit code is left.

    The clock of the machine can be set while a lock is held; the time since boot cannot.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _machine() -> str:
    """Return an id that two processes share if they see each other's process ids; empty if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
