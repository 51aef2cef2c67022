"""List what is in folders of users; a folder that cannot be read is an error, not an empty folder."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from dfer_data.errors import UsageError

_MOST_NAMED, _FEW_NAMED = 10, 3


def entries_of(folder: Path) -> list[Path]:
    """Return the sorted entries of a folder; [] if it does not exist or is no folder.

    Raises UsageError for a folder that cannot be read.
    """
    faults: list[str] = []
    names = [entry.name for entry in read_entries(folder, faults)]
    refuse_unread(faults)
    return [folder / name for name in names]


def paths_below(root: Path) -> list[Path]:
    """Return all files and folders below a folder, sorted, hidden ones too; links to folders are not followed.

    [] if it does not exist or is no folder. Raises UsageError with every folder that cannot be read.
    """
    faults: list[str] = []
    paths = sorted(_below(root, faults))
    refuse_unread(faults)
    return paths


def files_below(root: Path) -> list[Path]:
    """Return the files among `paths_below`, links to files included."""
    return [path for path in paths_below(root) if path.is_file()]


def matching(pattern: str) -> list[Path]:
    """Return the sorted paths that fit a pattern of the shell, `**` included, as `glob.glob` finds them.

    Raises UsageError with every folder that had to be read and cannot be.
    """
    faults: list[str] = []
    path = Path(pattern)
    parts = path.parts[1:] if path.anchor else path.parts
    found = set(_matching(Path(path.anchor), list(parts), faults))
    refuse_unread(faults)
    return sorted(found)


def first_below(folder: Path, pattern: str) -> str:
    """Return the first folders below a folder that hold a file of this pattern, for a message; empty without any."""
    found = [str(path.parent) for path in matching(f"{glob.escape(str(folder))}/{pattern}")]
    more = f" and {len(found) - _FEW_NAMED} more" if len(found) > _FEW_NAMED else ""
    return ", ".join(found[:_FEW_NAMED]) + more


def read_entries(folder: Path, faults: list[str]) -> list[os.DirEntry[str]]:
    """Return the entries of a folder by name; [] and a fault for one that cannot be read, [] if it is not there."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        with contextlib.suppress(FileNotFoundError):
            for entry in listed[:1]:
                entry.stat(follow_symlinks=False)  # fails in a folder that may be listed and not entered
        return listed
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        faults.append(f"{folder} ({error.strerror or error})")
        return []


def refuse_unread(faults: Iterable[str]) -> None:
    """Raise UsageError for folders that `read_entries` could not read."""
    if named := list(faults):
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        raise UsageError(
            f"cannot read {'the folder' if len(named) == 1 else f'{len(named)} folders:'} "
            f"{', '.join(named[:_MOST_NAMED])}{more}; make them readable (chmod u+rx), or move them elsewhere"
        )


def _below(folder: Path, faults: list[str]) -> Iterator[Path]:
    folders = [folder]
    while folders:
        parent = folders.pop()
        for entry in read_entries(parent, faults):
            path = parent / entry.name
            yield path
            if is_folder(entry):
                folders.append(path)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder itself, not a link to one."""
    return entry.is_dir(follow_symlinks=False)


def _matching(folder: Path, parts: list[str], faults: list[str]) -> Iterator[Path]:
    if not parts:
        if folder.exists():
            yield folder
        return
    first, rest = parts[0], parts[1:]
    if not glob.has_magic(first):
        yield from _matching(folder / first, rest, faults)
        return
    entries = [entry for entry in read_entries(folder, faults) if not _is_hidden(entry.name, first)]
    if first == "**":
        yield from _matching(folder, rest, faults) if rest else (folder / entry.name for entry in entries)
        for entry in entries:
            if is_folder(entry):
                yield from _matching(folder / entry.name, parts, faults)
        return
    for entry in entries:
        if fnmatch.fnmatchcase(entry.name, first) and (not rest or entry.is_dir()):
            yield from _matching(folder / entry.name, rest, faults)


def _is_hidden(name: str, pattern: str) -> bool:
    return name.startswith(".") and not pattern.startswith(".")
