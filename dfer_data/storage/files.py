"""Atomic writes, file hashes, and canonical JSON."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

ORIGIN_NAME = ".origin.json"
"""File in a dataset of the URL cache that names its URL."""


def write_atomically(path: Path, data: bytes, *, work: Path) -> None:
    """Write a file that appears under its name whole and synced, or not at all; `work` is on the same disk."""
    temporary = work / (path.name + ".part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # frees the space on a full disk
        raise


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def canonical_json(value: Any) -> bytes:
    """Return the canonical UTF-8 form of a JSON value: sorted keys, no spaces, a final newline, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_url(root: Path | str) -> bool:
    """Return whether `root` is a URL, such as s3://bucket/dfew-retinaface, rather than a path."""
    return isinstance(root, str) and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", root) is not None
