"""What `prepare` and `verify` need of the place of a dataset; names are paths below it, with slashes."""

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
    """What `prepare` and `verify` ask of the place of a dataset; as text it is its path or URL."""

    disk: Path
    """What may fill up while it is written."""
    flag: str
    """The option that chooses `disk`."""
    work: Path
    """Folder for what is not finished, of one run."""
    stale: Path
    """`work`, or the folder above it that holds those of all tasks; cleared by who holds the lock."""

    def with_work(self, work: Path) -> Target:
        """Return the same place for another process, with a folder of its own for what is not finished."""
        ...

    def listing(self, folder: str = "") -> dict[str, int]:
        """Return name -> bytes of what lies in a folder; empty if there is none."""
        ...

    def files(self) -> dict[str, int]:
        """Return path -> bytes of all files, however deep."""
        ...

    def size(self, name: str) -> int | None:
        """Return a file's bytes; None if there is none."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's bytes; FileNotFoundError."""
        ...

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """Return the bytes of many small files, in their order; FileNotFoundError."""
        ...

    def local(self, name: str) -> AbstractContextManager[Path]:
        """Yield a file on a disk with these bytes, for the block; FileNotFoundError."""
        ...

    def shard_bytes(self, name: str) -> ShardBytes:
        """Return a shard's bytes, read where they lie."""
        ...

    def check(self) -> None:
        """Raise UsageError or RemoteError where nothing can be written."""
        ...

    def make_folders(self, *names: str) -> None:
        """Make the place, with these folders in it."""
        ...

    def hold(self, *, task_index: int | None, on_wait: OnWait) -> AbstractContextManager[None]:
        """Be the only writer, or the only one of a task. LockedError naming who else is."""
        ...

    def confirm(self) -> None:
        """Raise LockedError if another run has taken the lock since."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not be there yet; False, and nothing written, if it is."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        ...

    def put_file(self, name: str, path: Path, *, on_progress: Callable[[], None]) -> None:
        """Write a file from `work`, which may take it away."""
        ...

    def append(self, name: str, line: bytes) -> None:
        """Add to a log."""
        ...

    def sync(self, *folders: str) -> None:
        """Have what was written into these folders ('' is the place itself) lie there durably."""
        ...

    def remove(self, *names: str) -> None:
        """Remove files; those that are not there are none to remove."""
        ...

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it."""
        ...


def _work(folder: Path, task_index: int | None) -> tuple[Path, Path]:
    """Return the folder for what is not finished, and what is to be cleared of what a killed run left."""
    work = folder / ("all" if task_index is None else f"task-{task_index:04d}")
    return work, folder if task_index is None else work
