"""Folders for unfinished files next to the finished ones. Those of killed processes are removed by the next one."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock

from dfer_data.storage.walk import entries_of

_HELD_NAME = ".held"
"""File in each of these folders, locked by its process until that ends, however it dies."""


@contextlib.contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new folder `.dfer-NAME-...` in `parent`, for its owner alone, and delete it after the block.

    Folders of this name that killed processes have left in `parent` are deleted first.
    """
    prefix = f".dfer-{name}-"
    for leftover in (path for path in entries_of(parent) if path.name.startswith(prefix)):
        _remove_abandoned(leftover)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    held = filelock.FileLock(folder / _HELD_NAME)
    try:
        with held:
            yield folder
    finally:
        _delete(folder)


def _remove_abandoned(folder: Path) -> None:
    """Delete a folder of `scratch_folder` unless its process is running."""
    if not (folder / _HELD_NAME).is_file():
        return
    with contextlib.suppress(filelock.Timeout, OSError):  # in use; or another user's
        with filelock.FileLock(folder / _HELD_NAME, timeout=0):
            pass
        _delete(folder)


def _delete(folder: Path) -> None:
    """Delete a folder of `scratch_folder`, its lock last: without it, what a kill leaves would be no one's."""
    for path in entries_of(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != _HELD_NAME:
            with contextlib.suppress(OSError):
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
