"""Files behind a URL, through fsspec: list, read, write atomically, create exclusively; errors are one line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from dfer_data.errors import DferError, RemoteError, UsageError
from dfer_data.extras import install_command

SCHEMES = frozenset({"s3", "gs", "gcs", "az", "abfs", "abfss", "http", "https"})
"""Allowed schemes of a URL. Other protocols of fsspec read files of this machine, or open what the URL's content
names."""
FIRST_ANSWER_SECONDS = 45.0
"""After this time an unresponsive store is reported as an error; its own retries may take minutes."""
_SIGN_SECONDS = 5.0
_NUM_AT_ONCE = 8
_NEXT = "check network, endpoint and credentials, then run the same command again"

_T = TypeVar("_T")


def check_url(url: str) -> None:
    """Raise UsageError unless the URL has one of SCHEMES and names one place, without `..` and without a chain."""
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in sorted(SCHEMES))
        raise UsageError(f"{url[:200]} cannot be opened: one of {known} is needed")
    if "::" in url or ".." in url.split("/"):
        raise UsageError(f"{url[:200]} cannot be opened: a URL of one place is needed, without `::` and `..`")


class UrlFiles:
    """The files below a URL; names are paths below it. A copy in another process opens its own connections.

    Raises UsageError for a URL that cannot be opened here, RemoteError for one that cannot be read or written, and
    FileNotFoundError where that is an answer.
    """

    def __init__(self, url: str) -> None:
        check_url(url)
        self.url = url.rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        """Exclude open connections."""
        return {key: value for key, value in self.__dict__.items() if key != "_opened"}

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs

            files, path = url_to_fs(self.url)
        except ImportError as error:
            raise UsageError(f"{self.url} needs a package: {install_command('remote')} ({error})") from error
        except ValueError as error:
            raise UsageError(
                f"{self.url} cannot be opened: {error}; s3://, gs://, az:// and others are supported"
            ) from error
        return files, str(path).rstrip("/")

    def _at(self, name: str) -> str:
        return f"{self._opened[1]}/{name}" if name else self._opened[1]

    def __truediv__(self, name: str) -> str:
        """Return the URL of a file."""
        return f"{self.url}/{name}"

    def is_file(self) -> bool:
        """Return whether the URL is that of a file; asked first, to detect an unresponsive store early. RemoteError."""
        with self._faults("", "read"):
            files, path = self._opened
            try:
                entry = answered(lambda: files.info(path), limit_seconds=FIRST_ANSWER_SECONDS)
            except FileNotFoundError:
                return False
            return bool(entry["type"] == "file" and entry["size"])

    def listing(self, folder: str = "") -> dict[str, int]:
        """Return name -> size in bytes of the entries of a folder; empty if there is none."""
        with self._faults(folder, "read"):
            files, where = self._opened[0], self._at(folder)
            files.invalidate_cache()
            try:
                entries = files.ls(where, detail=True)
            except FileNotFoundError:
                return {}
            sizes = {str(entry["name"]).rstrip("/"): int(entry["size"] or 0) for entry in entries}
            sizes.pop(where, None)  # an empty object that some tools create for a folder
            return {name.rpartition("/")[2]: num_bytes for name, num_bytes in sizes.items()}

    def files(self) -> dict[str, int]:
        """Return path -> size in bytes of all files, at any depth."""
        with self._faults("", "read"):
            files, path = self._opened
            files.invalidate_cache()
            entries = files.find(path, detail=True)
            sizes = {str(name)[len(path) + 1 :]: int(entry["size"]) for name, entry in sorted(entries.items())}
            return {name: num_bytes for name, num_bytes in sizes.items() if name and not name.endswith("/")}

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes; None if there is none."""
        with self._faults(name, "read"):
            files, _ = self._opened
            files.invalidate_cache()
            try:
                return int(files.info(self._at(name))["size"])
            except FileNotFoundError:
                return None

    def read(
        self,
        name: str,
        *,
        start: int | None = None,
        stop: int | None = None,
        limit_seconds: float | None = None,
    ) -> bytes:
        """Return a file's bytes, or a range; FileNotFoundError. `limit_seconds`: longest wait for the answer."""
        with self._faults(name, "read"):
            files, where = self._opened[0], self._at(name)
            if limit_seconds is None:
                return bytes(files.cat_file(where, start=start, end=stop))
            return bytes(answered(lambda: files.cat_file(where, start=start, end=stop), limit_seconds=limit_seconds))

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """Return the bytes of many small files, in their order; FileNotFoundError."""
        with ThreadPoolExecutor(_NUM_AT_ONCE) as pool:
            return list(pool.map(self.read, names))

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not exist yet; False, and nothing written, if it does."""
        with self._faults(name, "written"):
            files, _ = self._opened
            try:
                files.pipe_file(self._at(name), content, mode="create")
            except FileNotFoundError:
                raise
            except OSError:  # not every store refuses with a FileExistsError
                if self.size(name) is None:
                    raise
                return False
            return True

    def put(self, name: str, content: bytes) -> None:
        """Write a file that appears whole or not at all."""
        with self._faults(name, "written"):
            self._opened[0].pipe_file(self._at(name), content)

    def put_file(self, name: str, path: Path, *, on_progress: Callable[[], None] = lambda: None) -> None:
        """Write a local file in one request, or, from 100 MB on, in parts that appear together."""
        with self._faults(name, "written"):
            files, _ = self._opened
            answered(lambda: files.put_file(str(path), self._at(name)), on_wait=on_progress)
        num_bytes, num_expected = self.size(name), path.stat().st_size
        if num_bytes != num_expected:
            raise RemoteError(f"{self / name} has {num_bytes} bytes after {num_expected} were written; {_NEXT}")

    def fetch_file(self, name: str, path: Path) -> None:
        """Download a file to a local path; FileNotFoundError."""
        with self._faults(name, "read"):
            self._opened[0].get_file(self._at(name), str(path))

    def move(self, name: str, new_name: str) -> None:
        """Copy a file to another name inside the store, then remove it; FileNotFoundError."""
        with self._faults(name, "moved"):
            files, _ = self._opened
            files.cp_file(self._at(name), self._at(new_name))
        self.remove(name)

    def remove(self, *names: str) -> None:
        """Remove files; missing ones are ignored."""
        with ThreadPoolExecutor(_NUM_AT_ONCE) as pool:
            list(pool.map(self._remove, names))

    def _remove(self, name: str) -> None:
        with self._faults(name, "removed"):
            try:
                self._opened[0].rm_file(self._at(name))
            except FileNotFoundError:
                return

    @contextmanager
    def _faults(self, name: str, action: str) -> Iterator[None]:
        """Turn the errors of a store into one line; each kind of store has its own error classes."""
        where = self / name if name else self.url
        try:
            yield
        except DferError:
            raise
        except FileNotFoundError as error:
            if action == "written":
                raise UsageError(f"{where} cannot be written: {_one_line(error)}; create the bucket first") from error
            raise
        except Exception as error:
            raise RemoteError(f"{where} cannot be {action}: {_one_line(error)}; {_NEXT}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or repr(error)


def answered(
    call: Callable[[], _T], *, limit_seconds: float = float("inf"), on_wait: Callable[[], None] = lambda: None
) -> _T:
    """Return the result of a slow call or raise its error; run `on_wait` every few seconds meanwhile. TimeoutError."""
    future: Future[_T] = Future()

    def body() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=body, daemon=True).start()  # a call that hangs must not keep the process alive
    deadline = time.monotonic() + limit_seconds
    while True:
        try:
            return future.result(timeout=min(_SIGN_SECONDS, max(0.0, deadline - time.monotonic())))
        except TimeoutError:
            if future.done():
                raise
            if time.monotonic() >= deadline:
                raise TimeoutError(f"no answer in {limit_seconds:.0f} s") from None
            on_wait()
