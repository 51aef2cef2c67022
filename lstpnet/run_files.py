"""Files of a run: locked, written whole, and checked by size and sha256; JSON documents carry a hash of themselves."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dfer_data.errors import CorruptDataError
from dfer_data.storage.files import own_sha256, sync_folder, write_atomically
from dfer_data.storage.folder_lock import hold_lock, holder_of

NEXT_STEP = "restore it from a copy, or train this run again with --force"
"""What to do about a damaged file of a run."""
_HEX_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class FileFacts:
    """Size and hash of a file. Raises ValueError for impossible values."""

    num_bytes: int
    """Size in bytes."""
    sha256: str
    """sha256 of its bytes, 64 hex digits."""

    def __post_init__(self) -> None:
        """Check both values."""
        if type(self.num_bytes) is not int or self.num_bytes < 0:
            raise ValueError(f"num_bytes = {self.num_bytes!r} must be a whole number, 0 or more")
        check_sha256("sha256", self.sha256)


Files = dict[str, FileFacts]
"""Path relative to the run folder -> facts."""


@contextlib.contextmanager
def locked_run(folder: Path) -> Iterator[None]:
    """Lock a run folder against other processes that write to it. Raises LockedError naming the one with the lock."""

    def in_use(holder: str) -> str:
        return f"another training writes to {folder} ({holder}); wait for it, or choose another --out"

    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(_lock_of(folder), in_use=in_use):
        yield


def run_holder(folder: Path) -> str | None:
    """Return who writes to a run folder, such as `process 12 on host`; None if no one does."""
    return holder_of(_lock_of(folder))


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def write_run_file(path: Path, data: bytes) -> None:
    """Write a file that appears whole and synced, or not at all, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data, work=path.parent)
    sync_folder(path.parent)


def check_sha256(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a sha256 as 64 hex digits."""
    if not isinstance(value, str) or len(value) != 64 or set(value) - _HEX_DIGITS:
        raise ValueError(f"{name} = {value!r} must be 64 hex digits")


def facts_of(content: bytes) -> FileFacts:
    """Return size and hash of a file's bytes."""
    return FileFacts(len(content), hashlib.sha256(content).hexdigest())


def files_of(document: Mapping[str, Any]) -> Files:
    """Return the facts in the `files` of a document. Raises ValueError, KeyError or TypeError if they are invalid."""
    files = {name: FileFacts(**facts) for name, facts in document["files"].items()}
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
            raise ValueError(f"it names a file outside its folder: {name!r}")
    return files


def with_own_sha256(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with its own hash in the field `sha256`."""
    return {**document, "sha256": own_sha256(document)}


def check_own_sha256(document: Mapping[str, Any]) -> None:
    """Raise ValueError if a document does not match its own field `sha256`, or has none."""
    if "sha256" not in document:
        raise ValueError("its own sha256 is missing")
    if document["sha256"] != own_sha256(document):
        raise ValueError("it does not match its own sha256")


def fault_of(content: bytes, facts: FileFacts) -> str:
    """Return how the bytes of a file differ from its facts; empty if they match."""
    if len(content) != facts.num_bytes:
        return f"has {len(content)} bytes, {facts.num_bytes} were written"
    return "" if facts_of(content) == facts else "does not match its sha256"


def check_file(path: Path, content: bytes, facts: FileFacts | None) -> bytes:
    """Return the bytes of a file after checking them; no check without facts.

    Raises CorruptDataError that names the file and the next step.
    """
    if facts is not None and (fault := fault_of(content, facts)):
        raise CorruptDataError(f"{path} is damaged: it {fault}; {NEXT_STEP}")
    return content
