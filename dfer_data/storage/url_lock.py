"""One writer a URL: an object that one run alone can create, that names it, and that it renews while it lives.

Nothing takes away the lock of a run that was killed, as an operating system does. Who finds one on the machine it names
looks for that process; elsewhere he watches whether it is renewed, by its content and not by any clock. A lock that is
not renewed is taken over: two writers do no harm, they write the same bytes, and the one that lost its lock ends.
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

import psutil

from dfer_data.errors import DferError, LockedError
from dfer_data.storage.folder_lock import PREFIX
from dfer_data.storage.url_files import UrlFiles

BEAT_SECONDS = 5.0
"""Between two renewals."""
STALE_SECONDS = 60.0
"""Without one, a lock is nobody's."""
_LOOK_SECONDS = 1.0
_CLOCK_SECONDS = 5.0  # a machine that sets its clock tells other starts of the same process


@dataclass(frozen=True)
class Holder:
    """Content of a lock object: who holds it."""

    host: str
    """Name of its machine."""
    pid: int
    """Of its process there."""
    machine: str
    """Which start of which machine, and which of its containers; empty where that cannot be told."""
    process_start: float
    """When the process began, by that machine's clock; for telling it from a later one with its number."""
    token: str
    """Random; of this lock alone."""
    num_beats: int = 0
    """Renewals so far."""

    def __str__(self) -> str:
        """Return it as messages name it."""
        return f"process {self.pid} on {self.host}"


class Lease:
    """A lock that this process holds, renewed from a thread."""

    def __init__(self, files: UrlFiles, name: str, holder: Holder) -> None:
        self.mark = name, holder.token
        """Says to other processes of this run which lock is theirs; see `confirm`."""
        self._files, self._name, self._holder = files, name, holder
        self._end = threading.Event()
        self._taken_by = ""
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def confirm(self) -> None:
        """Raise LockedError if the lock was another's at the last renewal."""
        if self._taken_by:
            raise _lost(self._files, self._taken_by)

    def release(self) -> None:
        """End the renewals and remove the lock, if it is still this one."""
        self._end.set()
        self._thread.join()
        with contextlib.suppress(DferError):  # a store that is gone keeps it; it goes stale
            if _owner(self._files, self._name, self._holder.token) is None:
                self._files.remove(self._name)

    def _renew(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            with contextlib.suppress(DferError):  # the next one may get through
                if taken_by := _owner(self._files, self._name, self._holder.token):
                    self._taken_by = taken_by
                    return
                self._holder = replace(self._holder, num_beats=self._holder.num_beats + 1)
                self._files.put(self._name, _content(self._holder))


def confirm(files: UrlFiles, mark: tuple[str, str]) -> None:
    """Raise LockedError if the lock is another's now."""
    name, token = mark
    if taken_by := _owner(files, name, token):
        raise _lost(files, taken_by)


def _lost(files: UrlFiles, taken_by: str) -> LockedError:
    return LockedError(
        f"the lock of {files.url} is held by {taken_by} by now: this run stood still for too long, or its lock was "
        "removed; finished shards are kept, run the same command again later"
    )


@contextlib.contextmanager
def hold_url(files: UrlFiles, *, task_index: int | None, on_wait: Callable[[Holder], None]) -> Iterator[Lease]:
    """Hold the place while the block runs, or, of an array of tasks, the part of one.

    `on_wait` is told whose lock is watched, which takes up to a minute. Raises LockedError naming the holder: the whole
    place and its tasks exclude each other, tasks of different index do not.
    """
    whole = f"{PREFIX}.json"
    own = whole if task_index is None else f"{PREFIX}-task-{task_index:04d}.json"
    held = _acquired(files, own, on_wait=on_wait)
    try:
        tasks = sorted(name for name in files.listing() if name.startswith(f"{PREFIX}-task-"))
        for other in tasks if task_index is None else [whole]:
            _end_stale(files, other, on_wait=on_wait)
        yield held
    finally:
        held.release()


def _acquired(files: UrlFiles, name: str, *, on_wait: Callable[[Holder], None]) -> Lease:
    holder = _this_process()
    while not files.create(name, _content(holder)):
        if _owner(files, name, holder.token) is None:
            break  # the answer to the first try was lost on the way
        _end_stale(files, name, on_wait=on_wait)
    return Lease(files, name, holder)


def _end_stale(files: UrlFiles, name: str, *, on_wait: Callable[[Holder], None]) -> None:
    """Remove a lock whose holder is gone; LockedError while it lives."""
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
        return start is not None and abs(start - holder.process_start) < _CLOCK_SECONDS
    on_wait(holder)
    end = time.monotonic() + STALE_SECONDS
    while time.monotonic() < end:
        time.sleep(min(_LOOK_SECONDS, STALE_SECONDS))
        now = _read(files, name)
        if now != content:
            return now is not None
    return False


def _owner(files: UrlFiles, name: str, token: str) -> str | None:
    """Return who else has the lock; None if it is that of `token`."""
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
    return json.dumps(asdict(holder)).encode("utf-8")


def _parsed(content: bytes) -> Holder | None:
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        return None


def _this_process() -> Holder:
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, _machine(), _process_start(pid) or 0.0, uuid4().hex)


def _process_start(pid: int) -> float | None:
    """Return when a process began; None if there is none, or only its exit code is left."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def _machine() -> str:
    """Return what two processes have in common that see each other's numbers; empty where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
