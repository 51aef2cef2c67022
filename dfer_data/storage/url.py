"""A prepared dataset behind a URL."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

from dfer_data.errors import UsageError
from dfer_data.storage import url_lock as lease
from dfer_data.storage.base import OnWait, _work
from dfer_data.storage.cache_folder import cache_root
from dfer_data.storage.scratch_folder import scratch_folder
from dfer_data.storage.shard_bytes import RangeBytes, ShardBytes
from dfer_data.storage.url_files import UrlFiles


class UrlTarget(UrlFiles):
    """A place behind a URL: nothing is renamed there; one request writes a file, and what is written stays."""

    flag = "--work"

    def __init__(self, url: str, *, work: Path | None = None, task_index: int | None = None) -> None:
        """`work`: folder for unfinished shards of all URLs; None: in the cache."""
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
        """Exclude the lease: only the process that holds the lock renews it."""
        return super().__getstate__() | {"_lease": None}

    def with_work(self, work: Path) -> UrlTarget:
        """Return the same place for another process; it checks the lock that this process holds."""
        other = copy.copy(self)
        other.work = work
        return other

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Yield a local copy of the file."""
        self.disk.mkdir(parents=True, exist_ok=True)
        with scratch_folder(self.disk, "copy") as folder:
            path = folder / "copy"
            self.fetch_file(name, path)
            yield path

    def shard_bytes(self, name: str) -> ShardBytes:
        """Return the file's bytes, which are requested when they are read."""
        return RangeBytes(self / name, lambda start, stop: self.read(name, start=start, stop=stop))

    def check(self) -> None:
        """Check that the store answers. UsageError if the URL is that of a file."""
        if self.is_file():
            raise UsageError(f"{self.url} is a file; choose another --out")

    def make_folders(self, *names: str) -> None:
        """Do nothing: a store has no folders, only names with slashes."""

    @contextlib.contextmanager
    def hold(self, *, task_index: int | None, on_wait: OnWait) -> Iterator[None]:
        """Hold the lock object."""
        with lease.hold_url(self, task_index=task_index, on_wait=on_wait) as self._lease:
            self._mark = self._lease.mark
            yield

    def holders(self) -> tuple[str, ...]:
        """Return who holds the lock object, or those of tasks."""
        return lease.url_holders(self)

    def confirm(self) -> None:
        """Raise LockedError if another run has taken the lock meanwhile."""
        if self._lease is not None:
            self._lease.confirm()
        elif self._mark is not None:  # in a worker
            lease.confirm(self, self._mark)

    def append(self, name: str, line: bytes) -> None:
        """Append to a log by rewriting it: if two runs append at the same moment, one line is lost."""
        before = self.read(name) if self.size(name) is not None else b""
        self.put(name, before + line)

    def sync(self, *folders: str) -> None:
        """Do nothing: what a store has acknowledged is durable."""

    def remove_folder(self, name: str) -> None:
        """Remove all files below the folder's name."""
        self.remove(*(path for path in self.files() if path.startswith(name + "/")))
