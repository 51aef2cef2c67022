"""State of an unfinished training on disk: written atomically, with a hash, and only tensors and plain values.

A file is what torch.save writes, then `dfer-sha` (8 bytes) and the sha256 of everything before these (32 bytes).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch

from dfer_data.errors import CorruptDataError
from dfer_data.storage.files import atomic_file

FOLDER = "state"
_MARK = b"dfer-sha"
_TAIL_BYTES = len(_MARK) + 32


def state_path(folder: Path, name: str) -> Path:
    """Return the path, in a run's folder, of the training state of the checkpoint `name`."""
    return folder / FOLDER / f"{name}.pt"


class _HashingFile:
    """A file open for writing that hashes what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write and hash bytes."""
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state atomically; a crash leaves the previous one intact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        hashing = _HashingFile(file)
        torch.save(dict(state), hashing)  # type: ignore[arg-type]  # it writes and flushes, nothing else
        file.write(_MARK + hashing.digest.digest())


def load_state(path: Path) -> dict[str, Any] | None:
    """Return a state, on the CPU; None if there is none. Raises CorruptDataError if its bytes are not those written."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(path, str(error)) from error
    body, tail = content[:-_TAIL_BYTES], content[-_TAIL_BYTES:]
    if not tail.startswith(_MARK):
        raise _damaged(path, "its sha256 is missing: it is cut off, or from dfer 0.1")
    if tail[len(_MARK) :] != hashlib.sha256(body).digest():
        raise _damaged(path, "it does not match its sha256")
    try:
        return dict(torch.load(io.BytesIO(body), map_location="cpu", weights_only=True))
    except Exception as error:  # torch's reader raises almost any exception on junk
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise _damaged(path, reason) from error


def _damaged(path: Path, reason: str) -> CorruptDataError:
    return CorruptDataError(f"{path} is damaged ({reason}); --force trains from the start")
