"""A prepared dataset in a folder on a disk."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from dfer_data.errors import UsageError
from dfer_data.storage import folder_lock as lock
from dfer_data.storage.base import WORK, OnWait, _work
from dfer_data.storage.files import sync_folder, write_atomically
from dfer_data.storage.shard_bytes import LocalBytes, ShardBytes
from dfer_data.storage.walk import entries_of, files_below


class FolderTarget:
    """A folder on a disk; files are written to a temporary name, synced and renamed."""

    flag = "--out"

    def __init__(self, root: Path, *, task_index: int | None = None) -> None:
        self.root = self.disk = root
        self.work, self.stale = _work(root / WORK, task_index)

    def __str__(self) -> str:
        """Return the path."""
        return str(self.root)

    def with_work(self, work: Path) -> FolderTarget:
        """Return the same folder, by its absolute path."""
        other = FolderTarget(self.root.absolute())
        other.work = work
        return other

    def listing(self, folder: str = "") -> dict[str, int]:
        """Return the entries of a folder; see Target."""
        sizes = {}
        for path in entries_of(self.root / folder):
            with contextlib.suppress(FileNotFoundError):  # removed by another task
                sizes[path.name] = path.lstat().st_size
        return sizes

    def files(self) -> dict[str, int]:
        """Return the sizes of all files."""
        sizes = {}
        for path in files_below(self.root):
            with contextlib.suppress(FileNotFoundError):
                sizes[path.relative_to(self.root).as_posix()] = path.stat().st_size
        return sizes

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes."""
        try:
            return (self.root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):  # the place itself may be a file
            return None

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        return (self.root / name).read_bytes()

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """Return the bytes of many files."""
        return [self.read(name) for name in names]

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Yield the file itself."""
        yield self.root / name

    def shard_bytes(self, name: str) -> ShardBytes:
        """Return the file's bytes."""
        return LocalBytes(self.root / name)

    def check(self) -> None:
        """Raise UsageError if the path is a file."""
        if self.root.exists() and not self.root.is_dir():
            raise UsageError(f"{self.root} is a file; choose another --out")

    def make_folders(self, *names: str) -> None:
        """Create the folders."""
        for name in names:
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def hold(self, *, task_index: int | None, on_wait: OnWait) -> AbstractContextManager[None]:
        """Hold the folder's lock."""
        return lock.hold_folder(self.root, task_index=task_index)

    def holders(self) -> tuple[str, ...]:
        """Return who holds the folder's lock, or locks of tasks."""
        return lock.folder_holders(self.root)

    def confirm(self) -> None:
        """Do nothing: the operating system's lock cannot be taken away."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless it exists."""
        with lock.hold_briefly(self.root, Path(name).stem):
            if (self.root / name).exists():
                return False
            self.put(name, content)
        return True

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        write_atomically(self.root / name, content, work=self.work)

    def put_file(self, name: str, path: Path, *, on_progress: Callable[[], None]) -> None:
        """Move a file into the folder."""
        path.replace(self.root / name)

    def move(self, name: str, new_name: str) -> None:
        """Rename a file."""
        (self.root / name).replace(self.root / new_name)

    def append(self, name: str, line: bytes) -> None:
        """Append to a log."""
        with (self.root / name).open("ab") as file:
            file.write(line)

    def sync(self, *folders: str) -> None:
        """Sync the folders that are there."""
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                sync_folder(self.root / folder)

    def remove(self, *names: str) -> None:
        """Remove files."""
        for name in names:
            (self.root / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        """Remove a folder."""
        shutil.rmtree(self.root / name, ignore_errors=True)
