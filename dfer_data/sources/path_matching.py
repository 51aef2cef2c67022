"""Match the paths in third-party lists, which may be absolute or Windows paths, to local videos and folders."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from dfer_data.sources.class_labels import EMOTIONS, emotion
from dfer_data.sources.tree import Found
from dfer_data.video.reader import VIDEO_EXTENSIONS

Likeness = Literal["path", "spelling", "name"]
"""How a written path and a file agree: `path`, folders and name; `spelling`, the same but for upper and lower case,
extension or leading zeros; `name`, the name alone."""


@dataclass(frozen=True)
class Match:
    """The file or folder that a written path means."""

    item: Found
    likeness: Likeness


class Places:
    """Videos or folders, to be found by the paths that a list writes for them.

    A written path may begin with the folders of another machine, but its nearest folder must be the nearest folder of
    the file. The name alone suffices where one of them has no folder, or where the path is absolute and no path of the
    list agrees in a folder.
    """

    def __init__(self, found: Iterable[Found], written: Sequence[str]) -> None:
        """Index the videos or folders; `written`: all paths of the list, which show whether its folders are local."""
        self._by_path: dict[str, Found] = {}
        self._by_name: defaultdict[str, list[Found]] = defaultdict(list)
        self._by_folder: defaultdict[tuple[str, str], list[Found]] = defaultdict(list)
        for item in found:
            path = plain(item.path)
            self._by_path[path] = item
            for name in {_name_key(path.rpartition("/")[2]), _name_key(item.stem)}:
                self._by_name[name].append(item)
                self._by_folder["".join(_folders(path)[:1]), name].append(item)
        self._local_names = _distinguishing(self._by_path)
        self._written_names = _distinguishing(map(plain, written))
        self._folders_agree = any(_num_common(path, plain(item.path)) for path in written for item in self._named(path))

    def find(self, written: str) -> Match | list[Found] | None:
        """Return what a written path means: the same path, else the item with the longest common end.

        None if no item fits; a list if several fit equally well.
        """
        path = plain(written)
        if path in self._by_path:
            return Match(self._by_path[path], "path")
        ranks = [(_rank(path, item), item) for item in self._named(path) if self._fits(path, plain(item.path))]
        best = max((rank for rank, _ in ranks), default=())
        matches = [item for rank, item in ranks if rank == best]
        return Match(matches[0], _likeness(path, matches[0])) if len(matches) == 1 else matches or None

    def _named(self, written: str) -> list[Found]:
        """Return the items whose name, with or without extension, case and leading zeros, is the written one.

        Those in the nearest written folder, if there are any.
        """
        name = plain(written).rpartition("/")[2]
        keys = {_name_key(name), _name_key(_without_extension(name))}
        folder = "".join(_folders(plain(written))[:1])
        nearest = {item.path: item for key in keys for item in self._by_folder.get((folder, key), ())} if folder else {}
        return list((nearest or {item.path: item for key in keys for item in self._by_name.get(key, ())}).values())

    def _fits(self, written: str, local: str) -> bool:
        """Whether the folders of two paths of one name may be the same place on two machines."""
        theirs, ours = _folders(written), _folders(local)
        num_common = _num_common(written, local)
        if num_common == min(len(theirs), len(ours)):
            return True
        their_folder, our_folder = theirs[num_common], ours[num_common]
        if their_folder in self._local_names or our_folder in self._written_names:
            return False  # both exist, so they are two places
        if num_common:
            return True
        are_labels = emotion(their_folder) in EMOTIONS and emotion(our_folder) in EMOTIONS
        are_siblings = any(theirs[i] == ours[i] for i in range(1, min(len(theirs), len(ours))))
        is_absolute = written.startswith("/") or written[1:2] == ":"
        return is_absolute and not (self._folders_agree or are_labels or are_siblings)


def plain(path: str) -> str:
    """Return a written path as POSIX in NFC: slashes for backslashes, no leading `./`, no trailing slash."""
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/").removeprefix("./").rstrip("/"))


@lru_cache(maxsize=2**18)
def _folders(path: str) -> tuple[str, ...]:
    """Return the folders of a plain path without case, the nearest first, without root and drive."""
    parts = path.casefold().split("/")[-2::-1]
    return tuple(part for part in parts if part not in ("", ".") and not (len(part) == 2 and part.endswith(":")))


def _distinguishing(paths: Iterable[str]) -> frozenset[str]:
    """Return the names of the folders that are in some of the paths, but not in all."""
    sets = [frozenset(_folders(path)) for path in paths]
    return frozenset().union(*sets) - (sets[0].intersection(*sets) if sets else frozenset())


def _num_common(written: str, local: str) -> int:
    """Return the number of equal folders directly before the name, without case."""
    pairs = list(zip(_folders(plain(written)), _folders(local), strict=False))
    return next((index for index, (theirs, ours) in enumerate(pairs) if theirs != ours), len(pairs))


def _name_key(name: str) -> str:
    """Return a name without case, and a number without leading zeros."""
    folded = plain(name).casefold()
    stem = _without_extension(folded)
    return (str(int(stem)) if stem.isdecimal() else stem) + folded[len(stem) :]


def _without_extension(name: str) -> str:
    stem, point, extension = name.rpartition(".")
    return stem if stem and (point + extension).lower() in VIDEO_EXTENSIONS else name


def _rank(written: str, item: Found) -> tuple[int, ...]:
    """Return how well an item fits, the number of common folders first."""
    local, name = plain(item.path), written.rpartition("/")[2]
    local_name = local.rpartition("/")[2]
    folders = zip(reversed(written.split("/")[:-1]), reversed(local.split("/")[:-1]), strict=False)
    num_exact = sum(theirs == ours for theirs, ours in folders)
    is_stem = plain(item.stem) in (name, _without_extension(name))
    return (
        _num_common(written, local),
        num_exact,
        local_name == name,
        local_name.casefold() == name.casefold(),
        is_stem,
    )


def _likeness(written: str, item: Found) -> Likeness:
    num_common, num_exact, is_name, _, is_stem = _rank(written, item)
    if not num_common and (_folders(written) or _folders(plain(item.path))):
        return "name"
    name = written.rpartition("/")[2]
    has_extension = _without_extension(name) != name
    return "path" if num_exact >= num_common and (is_name or (is_stem and not has_extension)) else "spelling"
