"""Atomic writes, file hashes, and canonical JSON."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from dfer_data.errors import CorruptDataError, FormatVersionError, LockedError, UsageError

if sys.platform != "win32":
    import fcntl

ORIGIN_NAME = ".origin.json"
"""File in a dataset of the URL cache that names its URL."""
COMMIT_NAME = ".next/commit.json"
"""File of a place whose files are being changed together; see changeset.py."""


_MOST_NAME_BYTES = 255
_BLOCK_BYTES = 2**20
_WAIT_SECONDS, _PAUSE_SECONDS = 60.0, 0.02
_CLOSES_FIRST = sys.platform == "win32"
"""Windows moves and removes no open file."""


@contextlib.contextmanager
def atomic_file(path: Path, *, work: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name whole and synced when the block ends, or not at all.

    Two writers of one file take turns. `work`: folder of the unfinished file, on the same disk; None: the folder of
    `path`. Raises LockedError if another writer does not end.
    """
    temporary = (path.parent if work is None else work) / _temporary_name(path.name)
    with _open_alone(temporary) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if _CLOSES_FIRST:
                file.close()
            temporary.replace(path)
        except BaseException:
            if _CLOSES_FIRST:
                file.close()
            temporary.unlink(missing_ok=True)  # frees the space on a full disk
            raise


def _open_alone(temporary: Path) -> IO[bytes]:
    """Open an unfinished file, empty and locked, once no other writer has it open.

    The lock is on the file itself, so that no lock file stays next to it; filelock would empty the file of the other
    writer. Raises LockedError if the other writer takes over a minute.
    """
    stop = time.monotonic() + _WAIT_SECONDS
    while True:
        temporary.touch()
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
            file = stack.enter_context(temporary.open("r+b"))
            if _is_locked(file) and os.path.samestat(os.fstat(file.fileno()), temporary.stat()):
                file.truncate()
                stack.pop_all()
                return file
        if time.monotonic() > stop:
            raise LockedError(f"another process has been writing {temporary} for {_WAIT_SECONDS:.0f} s; does it hang?")
        time.sleep(_PAUSE_SECONDS)


def _is_locked(file: IO[bytes]) -> bool:
    """Lock an open file for this writer, until it is closed; False if another one holds it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system without locks
    return True


def write_atomically(path: Path, data: bytes, *, work: Path | None = None) -> None:
    """Write a file that appears under its name whole and synced, or not at all; `work`: as for `atomic_file`."""
    with atomic_file(path, work=work) as file:
        file.write(data)


def _temporary_name(name: str) -> str:
    """Return the name of the unfinished file, which is as long as a name may be at most."""
    if len(os.fsencode(name)) + len(".part") <= _MOST_NAME_BYTES:
        return name + ".part"
    return hashlib.sha256(os.fsencode(name)).hexdigest() + ".part"


def refuse_unwritable(folder: Path) -> None:
    """Raise UsageError unless a file can be created in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write into {folder}: {error.strerror or error}; check its permissions, or name another folder"
        ) from error


def read_regular(path: Path) -> bytes:
    """Return the bytes of a file. Raises OSError also for a folder, a named pipe or a device, which could never end."""
    with regular_file(path) as file:
        return file.read()


@contextlib.contextmanager
def regular_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading. Raises OSError as `read_regular`."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is a folder, a named pipe or a device, not a file", str(path))
        yield file


def read_regular_text(path: Path) -> str:
    """Return the UTF-8 text of a file with any line endings. Raises OSError as `read_regular`, UnicodeDecodeError."""
    return read_regular(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable, on systems that can open a folder; Windows cannot."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def canonical_json(value: Any) -> bytes:
    """Return the canonical UTF-8 form of a JSON value: sorted keys, no spaces, a final newline, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")


def own_sha256(document: Mapping[str, Any], *, field: str = "sha256") -> str:
    """Return the sha256 over the canonical JSON of a document without the field that holds its own hash."""
    body = {name: value for name, value in document.items() if name != field}
    return hashlib.sha256(canonical_json(body)).hexdigest()


def sealed_json(document: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON of a document with its own hash in the field `sha256`."""
    return canonical_json({**document, "sha256": own_sha256(document)})


def read_sealed(content: bytes, *, name: str, version: int, next_step: str) -> dict[str, Any]:
    """Return a document of `sealed_json` that states its format in the field `version`.

    Raises FormatVersionError for a newer version than `version`, CorruptDataError with `name` and `next_step` for
    changed bytes.
    """
    try:
        document: dict[str, Any] = json.loads(content)
        written_version = document["version"]
        is_intact = sealed_json(document) == content
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        written_version, is_intact = version, False
    if isinstance(written_version, int) and written_version > version:
        raise FormatVersionError(f"{name} has version {written_version}, this dfer reads {version}; update dfer")
    if not is_intact:
        raise CorruptDataError(f"{name} was changed, or is not of dfer; {next_step}")
    return document


def sha256_file(path: Path, *, on_block: Callable[[], None] = lambda: None) -> str:
    """Return the sha256 of a file as 64 hex digits; call `on_block` after each block, as a sign of progress."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            on_block()
    return digest.hexdigest()


def place_of(root: Path | str) -> Path | str:
    """Return the path of a folder, also of `file:///folder`, or the URL of a store, such as s3://bucket/dfew-retinaface.

    Raises UsageError for a file:// URL that names no folder of this machine.
    """
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", root) if isinstance(root, str) else None
    if scheme is None:
        return Path(root)
    if scheme[1].lower() != "file":
        return str(root)
    from urllib.request import url2pathname  # slow to import, for these alone

    host, slash, path = str(root)[scheme.end() :].partition("/")
    if not slash or host not in ("", "localhost"):
        raise UsageError(f"{root} names no folder of this machine: write file:///FOLDER, with the whole path")
    return Path(url2pathname(slash + path))
