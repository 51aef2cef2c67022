"""The interface of the place of a dataset; names are paths below it, with slashes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from dfer_data.storage import url_lock as lease
from dfer_data.storage.shard_bytes import ShardBytes

WORK = ".work"


OnWait = Callable[[lease.Holder], None]


class Target(Protocol):
    """The place of a dataset, as `prepare` and `verify` use it; `str()` gives its path or URL."""

    disk: Path
    """The folder whose disk may fill up during writing."""
    flag: str
    """The option that sets `disk`."""
    work: Path
    """Folder for the unfinished files of one run."""
    stale: Path
    """`work`, or the folder above it with those of all tasks; the holder of the lock clears it."""

    def __hash__(self) -> int:
        """Return a number of this object."""
        ...

    def with_work(self, work: Path) -> Target:
        """Return the same place for another process, with its own folder for unfinished files."""
        ...

    def listing(self, folder: str = "") -> dict[str, int]:
        """Return name -> size in bytes of the entries of a folder; empty if there is none."""
        ...

    def files(self) -> dict[str, int]:
        """Return path -> size in bytes of all files, at any depth."""
        ...

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes; None if there is none."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's bytes; FileNotFoundError."""
        ...

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """Return the bytes of many small files, in their order; FileNotFoundError."""
        ...

    def local(self, name: str) -> AbstractContextManager[Path]:
        """Yield a local file with these bytes, for the block; FileNotFoundError."""
        ...

    def shard_bytes(self, name: str) -> ShardBytes:
        """Return a shard's bytes, which are read where they are."""
        ...

    def check(self) -> None:
        """Raise UsageError or RemoteError where nothing can be written."""
        ...

    def make_folders(self, *names: str) -> None:
        """Create the place with these folders."""
        ...

    def hold(self, *, task_index: int | None, on_wait: OnWait) -> AbstractContextManager[None]:
        """Hold the lock of the only writer, or of the only one of a task. LockedError naming its holder."""
        ...

    def holders(self) -> tuple[str, ...]:
        """Return who holds the lock, or locks of tasks, such as `process 12 on host`; () if no one does."""
        ...

    def confirm(self) -> None:
        """Raise LockedError if another run has taken the lock meanwhile."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not exist yet; False, and nothing written, if it does."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        ...

    def put_file(self, name: str, path: Path, *, on_progress: Callable[[], None]) -> None:
        """Write a file from `work`; it may be moved."""
        ...

    def move(self, name: str, new_name: str) -> None:
        """Rename a file, in place of the one with the new name, if any; FileNotFoundError."""
        ...

    def append(self, name: str, line: bytes) -> None:
        """Append to a log."""
        ...

    def sync(self, *folders: str) -> None:
        """Make durable what was written into these folders ('' is the place itself)."""
        ...

    def remove(self, *names: str) -> None:
        """Remove files; missing ones are ignored."""
        ...

    def remove_folder(self, name: str) -> None:
        """Remove a folder and its contents."""
        ...


def _work(folder: Path, task_index: int | None) -> tuple[Path, Path]:
    """Return the folder for unfinished files, and the folder to clear after a killed run."""
    work = folder / ("all" if task_index is None else f"task-{task_index:04d}")
    return work, folder if task_index is None else work
