"""Scan a dataset's folder once: videos, folders of pictures, other files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dfer_data.sources.base import OWNERS_FOLDERS, Layout, outsiders
from dfer_data.sources.catalog import catalog, not_there
from dfer_data.storage.walk import read_entries, refuse_unread
from dfer_data.video.frame_names import frames_of
from dfer_data.video.image_folder import PICTURE_EXTENSIONS, UNREAD_EXTENSIONS
from dfer_data.video.reader import VIDEO_EXTENSIONS
from dfer_data.wording import counted

_LFS_POINTER = b"version https://git-lfs"
_LFS_BYTES = 200  # a pointer has about 130
_JUNK = re.compile(
    r"__macosx|__pycache__|\$recycle\.bin|recycler|\$extend|system volume information|found\.\d{3}|lost\+found"
    r"|@eadir|@tmp|@recycle|#recycle|@recently-snapshot|[#~]snapshot",
    re.IGNORECASE,
)  # folders that archives, systems and network drives leave


@dataclass(frozen=True)
class Found:
    """A video, or a folder that holds pictures."""

    path: str
    """POSIX path below the root; `.` for the root itself."""
    num_bytes: int
    """Size of the file, or of the folder's frames together."""
    num_pictures: int = 0
    """Frames in the folder; 0 for a video."""
    strays: tuple[str, ...] = ()
    """Names of the folder's pictures that are no frames of its series."""
    fault: str = ""
    """Why the order of the folder's pictures is not known; empty if it is."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parent folders and of the item itself."""
        return PurePosixPath(self.path).parts

    @property
    def stem(self) -> str:
        """Name without extension."""
        return PurePosixPath(self.path).stem if not self.num_pictures else PurePosixPath(self.path).name


@dataclass(frozen=True)
class DatasetTree:
    """Everything below a folder, each field sorted by path; hidden files and folders of systems are ignored."""

    root: Path
    videos: tuple[Found, ...]
    """Files with a video extension."""
    pictures: tuple[Found, ...]
    """Folders that hold pictures."""
    files: tuple[str, ...]
    """POSIX paths below the root of all other files."""
    faults: tuple[str, ...]
    """One message per link to a folder that is not followed, and per name that is not UTF-8."""
    dangling: tuple[str, ...]
    """Videos that are links to files which do not exist, as git-annex leaves them before it fetches the files."""

    def named(self, *names: str) -> str | None:
        """Return the path of the first file with one of the names, ignoring case; None if there is none."""
        lowered = {name.lower() for name in names}
        return next((path for path in self.files if PurePosixPath(path).name.lower() in lowered), None)

    def ending(self, end: str) -> str | None:
        """Return the first path that ends with these folders and file name, ignoring case; None if there is none."""
        return next((path for path in self.files if f"/{path}".lower().endswith(f"/{end}".lower())), None)


def scan(root: Path, *, dataset: str) -> DatasetTree:
    """Scan everything below `root`; UsageError says how to get the dataset if the folder does not exist."""
    facts = catalog().get(dataset)
    title = facts.title if facts is not None and facts.terms != "yours" else ""
    if not root.is_dir():
        fault = "is not a folder" if root.exists() else "does not exist"
        raise not_there(dataset, f"no {title} at {root}: it {fault}" if title else f"{root} {fault}")
    videos: list[Found] = []
    pictures: list[Found] = []
    files: list[str] = []
    faults: list[str] = []
    dangling: list[str] = []
    unread: list[str] = []
    targets = [root.resolve()] if title else None
    for folder, entries in _folders(root, "", faults, unread, targets):
        images = {
            entry.name: entry
            for entry in entries
            if PurePosixPath(entry.name).suffix.lower() in PICTURE_EXTENSIONS and entry.is_file()
        }
        if images:
            frames = frames_of(images)
            num_bytes = sum(images[name].stat().st_size for name in frames.names)
            pictures.append(Found(folder or ".", num_bytes, len(frames.names), frames.strays, frames.fault))
        for entry in entries:
            path, suffix = f"{folder}/{entry.name}".lstrip("/"), PurePosixPath(entry.name).suffix.lower()
            if not entry.is_file():
                dangling += [path] if suffix in VIDEO_EXTENSIONS else []
            elif suffix in VIDEO_EXTENSIONS:
                videos.append(Found(path, entry.stat().st_size))
            elif suffix not in PICTURE_EXTENSIONS:
                files.append(path)
    refuse_unread(unread)
    not_utf8 = [item.path for item in (*videos, *pictures) if not is_text(item.path)]
    faults += [f"{path!r}: the name is not UTF-8; rename it" for path in not_utf8]
    return DatasetTree(
        root,
        tuple(sorted(videos, key=_path)),
        tuple(sorted(pictures, key=_path)),
        tuple(files),
        tuple(faults),
        tuple(dangling),
    )


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; other bytes, for example of a GBK archive, arrive as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _path(item: Found) -> str:
    return item.path


def _folders(
    root: Path, folder: str, faults: list[str], unread: list[str], targets: list[Path] | None
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield (path below root, files and links to nothing in it) per folder, in order.

    Links to folders of the dataset's owners are followed if they lead to none of the `targets`, which grow with each;
    None follows no link.
    """
    entries = [entry for entry in read_entries(root / folder, unread) if not entry.name.startswith(".")]
    yield folder, [entry for entry in entries if entry.is_file() or (entry.is_symlink() and not entry.is_dir())]
    for entry in entries:
        path = f"{folder}/{entry.name}".lstrip("/")
        if _JUNK.fullmatch(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _folders(root, path, faults, unread, targets)
        elif entry.is_dir() and targets is not None and _is_new_folder(root / path, targets):
            targets.append((root / path).resolve())
            yield from _folders(root, path, faults, unread, targets)
        elif entry.is_dir():
            faults.append(
                f"{path}: is a link to a folder, which is not followed; copy the folder there, or give it as source"
            )


def _is_new_folder(link: Path, targets: list[Path]) -> bool:
    """Whether a link is named like a folder of a dataset's owners, and neither holds nor is in one of the targets."""
    target = link.resolve()
    overlaps = any(target.is_relative_to(other) or other.is_relative_to(target) for other in targets)
    return link.name.lower() in OWNERS_FOLDERS and not overlaps


def of_kind(tree: DatasetTree, layout: Layout, *, crops: str | None) -> tuple[Found, ...]:
    """Return the videos or the folders of pictures; `crops` keeps only those inside a folder of this name."""
    if layout == "videos":
        return tree.videos
    return tuple(item for item in tree.pictures if crops is None or crops in item.parts)


def by_clip(
    tree: DatasetTree, found: Iterable[Found], key: Callable[[Found], str | None], faults: list[str]
) -> dict[str, Found]:
    """Return clip id -> video or folder; `key` returns the id, or None for an item that is no clip of the dataset.

    Faults: a clip in two places (two sources are never mixed), links out of the root, Git LFS pointers, folders whose
    pictures have no order.
    """
    clips: dict[str, Found] = {}
    duplicates: list[str] = []
    for item in found:
        clip_id = key(item)
        if clip_id is not None and (first := clips.setdefault(clip_id, item)) is not item:
            duplicates.append(f"{item.path}: clip {clip_id} is also in {first.path}")
    if duplicates:
        more = f", the same for {counted(len(duplicates) - 1, 'more clip')}" if len(duplicates) > 1 else ""
        hint = "; choose the folder with --crops NAME" if clips and next(iter(clips.values())).num_pictures else ""
        faults.append(f"{duplicates[0]}{more}; two sources are not mixed: keep one of them{hint}")
    faults += outsiders(tree.root, (item.path for item in clips.values()))
    faults += _pointer_faults(tree, clips.values())
    if disordered := [item for item in clips.values() if item.fault]:
        more = f", the same for {counted(len(disordered) - 1, 'more folder')}" if len(disordered) > 1 else ""
        faults.append(f"{disordered[0].path}: {disordered[0].fault}{more}")
    return clips


def stray_notes(tree: DatasetTree, items: Iterable[Found]) -> tuple[str, ...]:
    """Return notes about the pictures that are left out of the folders of clips; empty if none are."""
    strays = [f"{item.path}/{name}" for item in items for name in item.strays]
    unread = [path for path in tree.files if PurePosixPath(path).suffix.lower() in UNREAD_EXTENSIONS]
    facts = {
        "copies, or of other names than the frames": strays,
        "in a format that is not read": unread,
    }
    return tuple(
        f"left out: {counted(len(paths), 'picture')}, {fact}: {', '.join(paths[:3])}{'...' if len(paths) > 3 else ''}"
        for fact, paths in facts.items()
        if paths
    )


def five_digits(one: Found) -> str | None:
    """Return the five-digit id of a clip whose file or folder is named by a number, with or without leading zeros."""
    return f"{int(one.stem):05d}" if one.stem.isdecimal() else None


def _pointer_faults(tree: DatasetTree, items: Iterable[Found]) -> list[str]:
    """Return one fault for all videos that are Git LFS pointers, as in a ZIP download of a repository."""
    small_files = (item.path for item in items if not item.num_pictures and 0 < item.num_bytes < _LFS_BYTES)
    pointers = [path for path in small_files if (tree.root / path).read_bytes().startswith(_LFS_POINTER)]
    if not pointers:
        return []
    more = f" and {len(pointers) - 1} more" if len(pointers) > 1 else ""
    return [f"{pointers[0]}{more}: a Git LFS pointer, not a video; clone the repository and run `git lfs pull`"]
