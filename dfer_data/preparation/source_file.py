"""Read the files of a source: faults of its disk and files that were changed become ledger rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dfer_data.errors import VideoError
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.files import sha256_file
from dfer_data.video.image_folder import hash_of_pictures, picture_files

_Item = TypeVar("_Item")


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
        hint = "do not change the videos during a run; `--retry-code CHANGED_SOURCE` uses the new file"
        raise VideoError("CHANGED_SOURCE", message, hint=hint)
    return sha256
