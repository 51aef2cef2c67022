"""What an export is: export.json, and SHA256SUMS with the hash of every other file.

`sha256sum -c SHA256SUMS` checks an export without dfer. export.json holds the hash of SHA256SUMS and its own, and is
written last: a folder without it is no finished export.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfer_data.errors import CorruptDataError
from dfer_data.storage.files import place_of, read_regular, read_sealed, sha256_file
from dfer_data.storage.walk import files_below

EXPORT_NAME, SUMS_NAME, EXPORT_CLIPS_NAME, EXPORT_WORK = "export.json", "SHA256SUMS", "clips.csv", ".dfer-export"
EXPORT_VERSION = 1
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


def read_export(root: Path) -> dict[str, Any]:
    """Return export.json of a folder. Raises CorruptDataError for changed bytes, FormatVersionError, OSError."""
    path = root / EXPORT_NAME
    step = "delete this folder and export again"
    return read_sealed(read_regular(path), name=str(path), version=EXPORT_VERSION, next_step=step)


def sums_bytes(hashes: Mapping[str, str]) -> bytes:
    """Return SHA256SUMS: path -> sha256, in the order of paths."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(hashes.items())).encode("utf-8")


def parse_sums(content: bytes, *, is_cut: bool = False) -> dict[str, str]:
    """Return path -> sha256 of SHA256SUMS; `is_cut`: a kill may have cut the last line. ValueError for another form."""
    hashes = {}
    for line in content.decode("utf-8").splitlines(keepends=True):
        match = _LINE.fullmatch(line.removesuffix("\n"))
        if match is None or not line.endswith("\n"):
            if is_cut:
                break
            raise ValueError(f"{line!r:.100} is not a hash and a path")
        hashes[match[2]] = match[1]
    return hashes


def is_exported(root: Path | str) -> bool:
    """Return whether a folder is an export, finished or not; a URL is none."""
    place = place_of(root)
    return isinstance(place, Path) and ((place / EXPORT_NAME).is_file() or (place / EXPORT_WORK).is_dir())


@dataclass(frozen=True)
class ExportVerification:
    """What `verify_export` found."""

    num_files: int
    damages: tuple[tuple[str, str], ...]
    """File and fault of each file that differs."""


def verify_export(root: Path, *, on_file: Callable[[int, int], None] = lambda done, total: None) -> ExportVerification:
    """Hash every file of a finished export. Raises FormatVersionError for one of a newer dfer."""
    try:
        document = read_export(root)
    except CorruptDataError as error:
        return ExportVerification(0, ((EXPORT_NAME, str(error)),))
    try:
        content = read_regular(root / SUMS_NAME)
        hashes = parse_sums(content)
    except (OSError, ValueError) as error:
        return ExportVerification(0, ((SUMS_NAME, f"cannot be read: {error}"),))
    damages = []
    if hashlib.sha256(content).hexdigest() != document["sums_sha256"]:
        damages.append((SUMS_NAME, f"does not match its sha256 in {EXPORT_NAME}"))
    for number, (name, sha256) in enumerate(hashes.items(), start=1):
        if fault := file_fault(root, name, sha256):
            damages.append((name, fault))
        on_file(number, len(hashes))
    names = (path.relative_to(root).as_posix() for path in files_below(root))
    extra = sorted(set(names) - {*hashes, SUMS_NAME, EXPORT_NAME})
    damages += [(name, "is not part of the export") for name in extra if not name.startswith(EXPORT_WORK)]
    return ExportVerification(len(hashes) + 2, tuple(damages))


def file_fault(root: Path, name: str, sha256: str) -> str:
    """Return what is wrong with a file of an export; empty if nothing is."""
    if name.startswith("/") or ".." in name.split("/"):
        return "is outside of the export"
    path = root / name
    try:
        if not path.is_file():
            return "is missing"
        return "" if sha256_file(path) == sha256 else "does not match its sha256"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
