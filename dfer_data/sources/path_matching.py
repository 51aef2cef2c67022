"""Match the paths in third-party lists, which may be absolute or Windows paths, to local videos and folders."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Literal

from dfer_data.sources.class_labels import EMOTIONS, emotion
from dfer_data.sources.tree import Found
from dfer_data.video.reader import VIDEO_EXTENSIONS

Likeness = Literal["path", "spelling", "name"]
"""How a written path and a file agree: `path`, folders and name; `spelling`, the same but for upper and lower case,
extension or leading zeros; `name`, the name alone."""

_End = tuple[str, ...]
"""Name of a file without extension, case and leading zeros, then its folders, the nearest first."""
_AFTER_ALL = "\U0010ffff"


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
        ends: list[tuple[_End, Found]] = []
        for item in found:
            path = plain(item.path)
            self._by_path[path] = item
            names = {_name_key(path.rpartition("/")[2]), _name_key(item.stem)}
            ends += [((name, *_folders(path)), item) for name in names]
        ends.sort(key=itemgetter(0))
        # Paths with a common end are neighbours, so that a search does not look at all files of one name.
        self._ends, self._items = [end for end, _ in ends], [item for _, item in ends]
        self._local_names = _distinguishing(self._by_path)
        written = list(dict.fromkeys(map(plain, written)))
        self._written_names = _distinguishing(written)
        self._folders_agree = any(self._has_local_folder(path) for path in written)
        self._open_ends: dict[_End, list[int]] = {}
        self._meanings: dict[str, Match | list[Found] | None] = {}

    def find(self, written: str) -> Match | list[Found] | None:
        """Return what a written path means: the same path, else the item with the longest common end.

        None if no item fits; a list if several fit equally well.
        """
        path = plain(written)
        if path not in self._meanings:
            self._meanings[path] = Match(self._by_path[path], "path") if path in self._by_path else self._nearest(path)
        return self._meanings[path]

    def _nearest(self, written: str) -> Match | list[Found] | None:
        """Return the item that fits best; those in other folders than the nearest written one only if none is in it."""
        least = 1 if self._has_local_folder(written) else 0
        for num_common in range(len(_folders(written)), least - 1, -1):
            fitting = {
                item.path: item for key in _name_keys(written) for item in self._fitting(written, key, num_common)
            }
            ranks = [(_rank(written, item), item) for item in fitting.values()]
            best = max((rank for rank, _ in ranks), default=())
            matches = [item for rank, item in ranks if rank == best]
            if matches:
                return Match(matches[0], _likeness(written, matches[0])) if len(matches) == 1 else matches
        return None

    def _fitting(self, written: str, name: str, num_common: int) -> Iterator[Found]:
        """Yield the items of a name with that many common folders that may be the same place on another machine."""
        theirs = _folders(written)
        end = (name, *theirs[:num_common])
        if num_common == len(theirs):
            yield from self._items[self._first(end) : self._last(end)]
            return
        if theirs[num_common] in self._local_names:  # the written folder is here, so only paths that end before it fit
            yield from self._items[self._first(end) : bisect_right(self._ends, end)]
            return
        for index in self._open(end):
            ours = self._ends[index][1:]
            is_whole = len(ours) == num_common
            if is_whole or (
                ours[num_common] != theirs[num_common] and (num_common or self._may_be_renamed(written, ours))
            ):
                yield self._items[index]

    def _open(self, end: _End) -> list[int]:
        """Return the indices of the items with this end whose next folder, if they have one, the list never names."""
        if end not in self._open_ends:
            depth = len(end)
            self._open_ends[end] = [
                index
                for index in range(self._first(end), self._last(end))
                if len(self._ends[index]) == depth or self._ends[index][depth] not in self._written_names
            ]
        return self._open_ends[end]

    def _may_be_renamed(self, written: str, ours: tuple[str, ...]) -> bool:
        """Whether a path of another machine may mean an item in a folder of another name."""
        is_absolute = written.startswith("/") or written[1:2] == ":"
        if not is_absolute or self._folders_agree:
            return False
        theirs = _folders(written)
        are_labels = emotion(theirs[0]) in EMOTIONS and emotion(ours[0]) in EMOTIONS
        are_siblings = any(theirs[i] == ours[i] for i in range(1, min(len(theirs), len(ours))))
        return not (are_labels or are_siblings)

    def _has_local_folder(self, written: str) -> bool:
        """Whether an item of the written name is in a folder with the name of the nearest written one."""
        nearest = _folders(written)[:1]
        ends = [(key, *nearest) for key in _name_keys(written)] if nearest else []
        return any(self._first(end) < self._last(end) for end in ends)

    def _first(self, end: _End) -> int:
        return bisect_left(self._ends, end)

    def _last(self, end: _End) -> int:
        return bisect_left(self._ends, (*end, _AFTER_ALL))


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


@lru_cache(maxsize=2**18)
def _name_keys(path: str) -> frozenset[str]:
    """Return the keys of a plain path's name, with and without extension."""
    name = path.rpartition("/")[2]
    return frozenset((_name_key(name), _name_key(_without_extension(name))))


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
