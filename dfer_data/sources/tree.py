"""What lies below a dataset's folder, looked at once: videos, folders of pictures, other files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dfer_data.sources.base import Layout, outsiders
from dfer_data.sources.catalog import catalog, not_there
from dfer_data.video.image_folder import PICTURE_EXTENSIONS
from dfer_data.video.reader import VIDEO_EXTENSIONS

_LFS_POINTER = b"version https://git-lfs"
_LFS_BYTES = 200  # a pointer has about 130
_JUNK = ("__MACOSX",)  # what unzipping an archive of a Mac leaves beside each file


@dataclass(frozen=True)
class Found:
    """A video, or a folder that holds pictures."""

    path: str
    """POSIX path below the root; `.` for the root itself."""
    num_bytes: int
    """Of the file, or of the folder's pictures."""
    num_pictures: int = 0
    """In the folder; 0 for a video."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the folders on the way, and its own."""
        return PurePosixPath(self.path).parts

    @property
    def stem(self) -> str:
        """Own name without extension."""
        return PurePosixPath(self.path).stem if not self.num_pictures else PurePosixPath(self.path).name


@dataclass(frozen=True)
class DatasetTree:
    """Everything below a folder, each part in the order of paths; hidden files are passed over."""

    root: Path
    """The folder."""
    videos: tuple[Found, ...]
    """Files with a video's extension."""
    pictures: tuple[Found, ...]
    """Folders that hold JPEG or PNG files."""
    files: tuple[str, ...]
    """POSIX paths below the root of all other files."""
    faults: tuple[str, ...]
    """Links to folders, which are not followed."""

    def named(self, *names: str) -> str | None:
        """Return the path of the first file with one of the names, upper or lower case; None where there is none."""
        wanted = {name.lower() for name in names}
        return next((path for path in self.files if PurePosixPath(path).name.lower() in wanted), None)

    def ending(self, end: str) -> str | None:
        """Return the first path of a file that ends with these folders and name, upper or lower case; None: none."""
        return next((path for path in self.files if f"/{path}".lower().endswith(f"/{end}".lower())), None)


def scan(root: Path, *, dataset: str) -> DatasetTree:
    """Look at everything below `root`; UsageError says how to get the dataset where there is no such folder."""
    if not root.is_dir():
        is_own = catalog()[dataset].terms == "yours"
        raise not_there(dataset, f"{root} is not a folder" if is_own else f"no {catalog()[dataset].title} at {root}")
    videos: list[Found] = []
    pictures: list[Found] = []
    files: list[str] = []
    faults: list[str] = []
    for folder, entries in _folders(root, "", faults):
        shown = [entry for entry in entries if PurePosixPath(entry.name).suffix.lower() in PICTURE_EXTENSIONS]
        if shown:
            pictures.append(Found(folder or ".", sum(entry.stat().st_size for entry in shown), len(shown)))
        for entry in entries:
            path, suffix = f"{folder}/{entry.name}".lstrip("/"), PurePosixPath(entry.name).suffix.lower()
            if suffix in VIDEO_EXTENSIONS:
                videos.append(Found(path, entry.stat().st_size))
            elif suffix not in PICTURE_EXTENSIONS:
                files.append(path)
    unreadable = [one.path for one in (*videos, *pictures) if not is_text(one.path)]
    faults += [f"{path!r}: the name is not UTF-8; rename it" for path in unreadable]
    return DatasetTree(
        root, tuple(sorted(videos, key=_path)), tuple(sorted(pictures, key=_path)), tuple(files), tuple(faults)
    )


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; other bytes, of an archive made in GBK, arrive as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _path(found: Found) -> str:
    return found.path


def _folders(root: Path, folder: str, faults: list[str]) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield (path below root, files in it) of each folder, in order."""
    with os.scandir(root / folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    yield folder, [entry for entry in entries if entry.is_file()]
    for entry in entries:
        path = f"{folder}/{entry.name}".lstrip("/")
        if entry.is_dir(follow_symlinks=False) and entry.name not in _JUNK:
            yield from _folders(root, path, faults)
        elif entry.is_dir():
            faults.append(f"{path}: is a link to a folder, which is not followed; copy it there, or give that folder")


def of_kind(tree: DatasetTree, layout: Layout, *, crops: str | None) -> tuple[Found, ...]:
    """Return the videos, or the folders of pictures, with `crops` those that lie in a folder of this name alone."""
    if layout == "videos":
        return tree.videos
    return tuple(one for one in tree.pictures if crops is None or crops in one.parts)


def by_clip(
    tree: DatasetTree, found: Iterable[Found], key: Callable[[Found], str | None], faults: list[str]
) -> dict[str, Found]:
    """Return clip id -> what was found; `key` gives the id, None for what is no clip of the dataset.

    Faults: a clip that lies in two places (two sources are never mixed), links out of the root, Git LFS pointers.
    """
    places: dict[str, Found] = {}
    twice: list[str] = []
    for one in found:
        clip_id = key(one)
        if clip_id is not None and (other := places.setdefault(clip_id, one)) is not one:
            twice.append(f"{one.path}: clip {clip_id} lies in {other.path} too")
    if twice:
        more = f", and {len(twice) - 1} more clips lie in two places" if len(twice) > 1 else ""
        choice = (
            "; name the folder to take with --crops NAME" if places and next(iter(places.values())).num_pictures else ""
        )
        faults.append(f"{twice[0]}{more}; two sources are not mixed: keep one of them{choice}")
    faults += outsiders(tree.root, (one.path for one in places.values()))
    faults += _pointer_faults(tree, places.values())
    return places


def five_digits(one: Found) -> str | None:
    """Return the id of a clip whose file or folder is called by a number, with or without leading zeros."""
    return f"{int(one.stem):05d}" if one.stem.isdecimal() else None


def _pointer_faults(tree: DatasetTree, found: Iterable[Found]) -> list[str]:
    """Return one fault for all videos that are Git LFS pointers: what a ZIP download of a repository holds."""
    small = (one.path for one in found if not one.num_pictures and 0 < one.num_bytes < _LFS_BYTES)
    pointers = [path for path in small if (tree.root / path).read_bytes().startswith(_LFS_POINTER)]
    if not pointers:
        return []
    more = f" and {len(pointers) - 1} more" if len(pointers) > 1 else ""
    return [f"{pointers[0]}{more}: a Git LFS pointer, not a video; clone the repository and run `git lfs pull`"]
