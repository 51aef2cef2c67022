"""Read the files of a source: faults of its disk and files that were changed become ledger rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dfer_data.errors import VideoError
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.files import sha256_file
from dfer_data.video.image_folder import hash_of_pictures, picture_files

_Item = TypeVar("_Item")
Stamp = tuple[tuple[int, int], ...]
"""Size and time of change, in nanoseconds, of a video or of each picture of a folder."""
_CHANGED_HINT = "do not change the videos during a run; `--retry-code CHANGED_SOURCE` uses the new file"


def reading(items: Iterator[_Item], path: Path) -> Iterator[_Item]:
    """Yield what is read from the source; raise VideoError READ_ERROR where its disk or its permissions fail."""
    try:
        yield from items
    except OSError as error:
        raise _read_error(path, error) from error


def _read_error(path: Path, error: OSError) -> VideoError:
    hint = "make it readable, then `--retry-code READ_ERROR`"
    return VideoError("READ_ERROR", f"{path.name} cannot be read: {error.strerror or error}", hint=hint)


def exists_in_source(path: Path) -> bool:
    """Return whether a path exists; VideoError READ_ERROR where that cannot be seen."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _read_error(path, error) from error
    return True


def refuse_lost_source(source: Path) -> None:
    """Raise VideoError READ_ERROR if a source folder, which had videos, is gone or empty: its disk is not mounted."""
    try:
        is_lost = next(source.iterdir(), None) is None
    except FileNotFoundError:
        is_lost = True
    except OSError as error:
        raise _read_error(source, error) from error
    if is_lost:
        hint = "mount its disk again, then `--retry-code READ_ERROR`"
        raise VideoError("READ_ERROR", f"the source folder {source.name} is gone or empty", hint=hint)


def pictures_sha256(folder: Path) -> str:
    """Return the sha256 of shipped crops; VideoError if one cannot be read."""
    try:
        return hash_of_pictures(folder)[1]
    except OSError as error:
        raise _read_error(folder, error) from error


def source_file_sha256(path: Path, video: SourceVideo, *, on_progress: Callable[[int, int], None]) -> str:
    """Return the sha256 of a video; VideoError if it cannot be read to its end, or is not the planned file."""

    def beat() -> None:
        on_progress(0, 0)

    try:
        if path.is_dir() and picture_files(path):
            num_bytes, sha256 = hash_of_pictures(path, on_picture=beat)
        else:
            num_bytes, sha256 = path.stat().st_size, sha256_file(path, on_block=beat)
    except OSError as error:
        raise _read_error(path, error) from error
    if num_bytes != video.num_bytes:
        message = f"{path.name} has {num_bytes} bytes, but had {video.num_bytes} when the run was planned"
        raise VideoError("CHANGED_SOURCE", message, hint=_CHANGED_HINT)
    return sha256


def stamp_of(path: Path) -> Stamp:
    """Return what shows that a video was written to; empty where the system does not say."""
    try:
        files = picture_files(path) if path.is_dir() else [path]
        facts = [file.stat() for file in files]
    except (OSError, VideoError):
        return ()
    return tuple((fact.st_size, fact.st_mtime_ns) for fact in facts)


def refuse_new_bytes(path: Path, *, before: Stamp, sha256: str) -> None:
    """Raise VideoError CHANGED_SOURCE if a video was given other bytes since it had this stamp and hash.

    A video that is gone by now was read to its end.
    """
    if stamp_of(path) in (before, ()):
        return
    with contextlib.suppress(OSError):
        if (hash_of_pictures(path)[1] if path.is_dir() else sha256_file(path)) != sha256:
            message = f"{path.name} was changed while it was read"
            raise VideoError("CHANGED_SOURCE", message, hint=_CHANGED_HINT)
