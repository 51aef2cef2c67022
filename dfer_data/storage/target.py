"""Where a prepared dataset is written: a folder, or behind a URL. Names are paths below it, with slashes.

What is not finished lies on this machine's disk in any case. A file appears under its name whole or not at all.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from dfer_data.errors import UsageError
from dfer_data.shards.reader import LocalBytes, RangeBytes, ShardBytes
from dfer_data.storage import folder_lock as lock
from dfer_data.storage import url_lock as lease
from dfer_data.storage.cache_folder import cache_root
from dfer_data.storage.files import sync_folder, write_atomically
from dfer_data.storage.url_files import UrlFiles, is_url

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


class FolderTarget:
    """A folder on a disk; files are written aside, synced and renamed."""

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
        """Return what lies there; see Target."""
        try:
            return {path.name: path.lstat().st_size for path in (self.root / folder).iterdir()}
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def files(self) -> dict[str, int]:
        """Return all files."""
        paths = (path for path in sorted(self.root.rglob("*")) if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.stat().st_size for path in paths}

    def size(self, name: str) -> int | None:
        """Return a file's bytes."""
        try:
            return (self.root / name).stat().st_size
        except FileNotFoundError:
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
        """Raise UsageError where the folder's name is a file's."""
        if self.root.exists() and not self.root.is_dir():
            raise UsageError(f"{self.root} is a file; choose another --out")

    def make_folders(self, *names: str) -> None:
        """Make the folders."""
        for name in names:
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def hold(self, *, task_index: int | None, on_wait: OnWait) -> AbstractContextManager[None]:
        """Hold the folder's lock."""
        return lock.hold(self.root, task_index=task_index)

    def confirm(self) -> None:
        """Do nothing: the operating system's lock cannot be taken away."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless it is there."""
        with lock.hold_briefly(self.root, Path(name).stem):
            if (self.root / name).exists():
                return False
            self.put(name, content)
        return True

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        write_atomically(self.root / name, content, work=self.work)

    def put_file(self, name: str, path: Path, *, on_progress: Callable[[], None]) -> None:
        """Move a file here."""
        path.replace(self.root / name)

    def append(self, name: str, line: bytes) -> None:
        """Add to a log."""
        with (self.root / name).open("ab") as file:
            file.write(line)

    def sync(self, *folders: str) -> None:
        """Sync the folders."""
        for folder in folders:
            sync_folder(self.root / folder)

    def remove(self, *names: str) -> None:
        """Remove files."""
        for name in names:
            (self.root / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        """Remove a folder."""
        shutil.rmtree(self.root / name, ignore_errors=True)


class UrlTarget(UrlFiles):
    """A place behind a URL: nothing is renamed there; one request writes a file, and what was written stays."""

    flag = "--work"

    def __init__(self, url: str, *, work: Path | None = None, task_index: int | None = None) -> None:
        """`work`: where unfinished shards of all URLs lie; None: in the cache."""
        super().__init__(url)
        self.disk = cache_root() / "prepare" if work is None else work
        name = hashlib.sha256(self.url.encode("utf-8")).hexdigest()[:16]
        self.work, self.stale = _work(self.disk / name / socket.gethostname(), task_index)
        self._lease: lease.Lease | None = None
        self._mark: tuple[str, str] | None = None

    def __str__(self) -> str:
        """Return the URL."""
        return self.url

    def __getstate__(self) -> dict[str, object]:
        """Leave the renewing of the lock with the process that holds it."""
        return super().__getstate__() | {"_lease": None}

    def with_work(self, work: Path) -> UrlTarget:
        """Return the same place, whose lock is held here and looked at there."""
        other = copy.copy(self)
        other.work = work
        return other

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Yield a copy of the file."""
        self.disk.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.disk, prefix="copy-") as folder:
            path = Path(folder) / "copy"
            self.fetch_file(name, path)
            yield path

    def shard_bytes(self, name: str) -> ShardBytes:
        """Return the file's bytes, asked for when they are read."""
        return RangeBytes(self / name, lambda start, stop: self.read(name, start=start, stop=stop))

    def check(self) -> None:
        """See that the store answers. UsageError where the URL is a file's."""
        if self.is_file():
            raise UsageError(f"{self.url} is a file; choose another --out")

    def make_folders(self, *names: str) -> None:
        """Do nothing: a store has no folders, but names with slashes."""

    @contextlib.contextmanager
    def hold(self, *, task_index: int | None, on_wait: OnWait) -> Iterator[None]:
        """Hold the lock object."""
        with lease.hold(self, task_index=task_index, on_wait=on_wait) as self._lease:
            self._mark = self._lease.mark
            yield

    def confirm(self) -> None:
        """Raise LockedError if another run has taken the lock since."""
        if self._lease is not None:
            self._lease.confirm()
        elif self._mark is not None:  # in a worker
            lease.confirm(self, self._mark)

    def append(self, name: str, line: bytes) -> None:
        """Add to a log, by writing it anew: of two runs that add at the same moment one line is lost."""
        before = self.read(name) if self.size(name) is not None else b""
        self.put(name, before + line)

    def sync(self, *folders: str) -> None:
        """Do nothing: what a store has answered for is durable."""

    def remove_folder(self, name: str) -> None:
        """Remove all files below a name."""
        self.remove(*(path for path in self.files() if path.startswith(name + "/")))


def _work(folder: Path, task_index: int | None) -> tuple[Path, Path]:
    """Return the folder for what is not finished, and what is to be cleared of what a killed run left."""
    work = folder / ("all" if task_index is None else f"task-{task_index:04d}")
    return work, folder if task_index is None else work


def target_at(place: Path | str, *, work: Path | None = None, task_index: int | None = None) -> Target:
    """Return the place of a dataset, a path or a URL; nothing is asked of it yet. UsageError.

    `work`: of a URL alone, where unfinished shards lie on this machine.
    """
    if isinstance(place, str) and place.startswith("file://"):
        place = Path(place.removeprefix("file://"))
    if isinstance(place, str) and is_url(place):
        return UrlTarget(place, work=work, task_index=task_index)
    if work is not None:
        raise UsageError(f"--work is for a URL: unfinished shards of {place} lie in it")
    return FolderTarget(Path(place), task_index=task_index)
