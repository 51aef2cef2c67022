"""Match the paths in third-party lists, which may be absolute or Windows paths, to local videos and folders."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from dfer_data.sources.class_labels import EMOTIONS, emotion
from dfer_data.sources.tree import Found
from dfer_data.video.reader import VIDEO_EXTENSIONS

Likeness = Literal["path", "spelling", "name"]
"""How a written path and a file agree: `path`, folders and name; `spelling`, the same but for upper and lower case,
extension or leading zeros; `name`, the name alone."""

_End = tuple[str, ...]
"""Name of a file without extension, case and leading zeros, then its folders, the nearest first."""
_RowNumbers = npt.NDArray[np.int64]
_AFTER_ALL = "\U0010ffff"
_FOREIGN = "\0"
"""Replaces every folder of a written path that no item has; no name can contain it."""


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
        ends: list[tuple[_End, str, str]] = []
        for item in found:
            path, stem = plain(item.path), plain(item.stem)
            self._by_path[path] = item
            names = {_name_key(path.rpartition("/")[2]), _name_key(stem)}
            ends += [((name, *_folders(path)), path, stem) for name in names]
        ends.sort()
        # Paths with a common end are neighbours, so that a search does not look at all files of one name.
        self._ends = [end for end, _, _ in ends]
        self._rows = _Rows([path for _, path, _ in ends], [stem for _, _, stem in ends])
        self._local_names = _distinguishing(self._by_path)
        written = list(dict.fromkeys(map(plain, written)))
        self._rows.close(_distinguishing(written))
        self._folders_agree = any(self._has_local_folder(path) for path in written)
        self._meanings: dict[str, list[Found]] = {}

    def find(self, written: str) -> Match | list[Found] | None:
        """Return what a written path means: the same path, else the item with the longest common end.

        None if no item fits; if several fit equally well, a list of the first two by path.
        """
        path = plain(written)
        if path in self._by_path:
            return Match(self._by_path[path], "path")
        path = self._without_foreign_folders(path)
        if path not in self._meanings:
            self._meanings[path] = self._nearest(path)
        items = self._meanings[path]
        return Match(items[0], _likeness(path, items[0])) if len(items) == 1 else items or None

    def _without_foreign_folders(self, written: str) -> str:
        """Return a path with one word for all folders that no item has, so that alike paths are searched for once."""
        *folders, name = written.split("/")
        is_kept = (_is_root(part) or self._rows.knows(part) or emotion(part) in EMOTIONS for part in folders)
        return "/".join([*(part if kept else _FOREIGN for part, kept in zip(folders, is_kept, strict=True)), name])

    def _nearest(self, written: str) -> list[Found]:
        """Return the items that fit best; those in other folders than the nearest written one only if none is in it."""
        least = 1 if self._has_local_folder(written) else 0
        for num_common in range(len(_folders(written)), least - 1, -1):
            rows = np.concatenate([self._fitting(written, key, num_common) for key in sorted(_name_keys(written))])
            if len(rows):
                scores = self._rows.scores(rows, written)
                best = self._rows.paths(rows[scores == scores.max()])
                return [self._by_path[path] for path in best]
        return []

    def _fitting(self, written: str, name: str, num_common: int) -> _RowNumbers:
        """Return the rows of a name with that many common folders that may be the same place on another machine."""
        theirs = _folders(written)
        end = (name, *theirs[:num_common])
        first = bisect_left(self._ends, end)
        if num_common == len(theirs):
            return np.arange(first, self._last(end))
        if theirs[num_common] in self._local_names:  # the written folder is here, so only paths that end before it fit
            return np.arange(first, bisect_right(self._ends, end))
        rows = np.arange(first, self._last(end))
        is_whole = self._rows.depth[rows] == num_common
        is_other = self._rows.is_open(rows, num_common) & ~self._rows.agree(rows, num_common, theirs[num_common])
        if num_common == 0:
            is_other &= self._may_be_renamed(written, rows)
        fitting: _RowNumbers = rows[is_whole | is_other]
        return fitting

    def _may_be_renamed(self, written: str, rows: _RowNumbers) -> npt.NDArray[np.bool_]:
        """Whether a path of another machine may mean an item in a folder of another name, for each row."""
        is_absolute = written.startswith("/") or written[1:2] == ":"
        if not is_absolute or self._folders_agree:
            return np.zeros(len(rows), np.bool_)
        theirs = _folders(written)
        are_labels = self._rows.is_label[rows] & (emotion(theirs[0]) in EMOTIONS)
        are_siblings = np.zeros(len(rows), np.bool_)
        for level, folder in enumerate(theirs[1:], 1):
            are_siblings |= self._rows.agree(rows, level, folder)
        return ~(are_labels | are_siblings)

    def _has_local_folder(self, written: str) -> bool:
        """Whether an item of the written name is in a folder with the name of the nearest written one."""
        nearest = _folders(written)[:1]
        ends = [(key, *nearest) for key in _name_keys(written)] if nearest else []
        return any(bisect_left(self._ends, end) < self._last(end) for end in ends)

    def _last(self, end: _End) -> int:
        return bisect_left(self._ends, (*end, _AFTER_ALL))


class _Rows:
    """The folders and names of items as numbers, a row per item and end, so that thousands are compared at once."""

    def __init__(self, paths: Sequence[str], stems: Sequence[str]) -> None:
        self._paths = paths
        self._numbers: dict[str, int] = {}
        folders = [_exact_folders(path) for path in paths]
        self.depth = np.array([len(names) for names in folders], np.int32)
        """(R,) number of folders of each row's item."""
        deepest = int(self.depth.max(initial=0))
        padded = [(*names, *[""] * (deepest - len(names))) for names in folders]
        self._exact = [self._coded(column) for column in zip(*padded, strict=True)]
        self._folded = [self._coded(map(str.casefold, column)) for column in zip(*padded, strict=True)]
        names = [path.rpartition("/")[2] for path in paths]
        self._name, self._folded_name = self._coded(names), self._coded(map(str.casefold, names))
        self._stem = self._coded(stems)
        self.is_label = np.array([bool(names) and emotion(names[0].casefold()) in EMOTIONS for names in folders], bool)
        """(R,) whether the nearest folder is named like an emotion."""
        self._known = frozenset(name.casefold() for names in folders for name in names)
        self._is_named = np.zeros(0, np.bool_)

    def _coded(self, words: Iterable[str]) -> npt.NDArray[np.int32]:
        return np.array([self._numbers.setdefault(word, len(self._numbers)) for word in words], np.int32)

    def _number(self, word: str) -> int:
        return self._numbers.get(word, -1)

    def close(self, written_names: Iterable[str]) -> None:
        """Take the names of folders by which the list tells its paths apart."""
        self._is_named = np.zeros(len(self._numbers) + 1, np.bool_)
        self._is_named[[self._number(name) for name in written_names if name in self._numbers]] = True

    def knows(self, folder: str) -> bool:
        """Whether an item is in a folder of this name, ignoring case."""
        return folder.casefold() in self._known

    def agree(self, rows: _RowNumbers, level: int, folder: str) -> npt.NDArray[np.bool_]:
        """Whether the items' folders at this distance from the name have this name, ignoring case."""
        if level >= len(self._folded):
            return np.zeros(len(rows), np.bool_)
        return np.asarray((self._folded[level][rows] == self._number(folder)) & (self.depth[rows] > level))

    def is_open(self, rows: _RowNumbers, level: int) -> npt.NDArray[np.bool_]:
        """Whether the items have a folder at this distance whose name the list never uses to tell paths apart."""
        if level >= len(self._folded):
            return np.zeros(len(rows), np.bool_)
        return np.asarray((self.depth[rows] > level) & ~self._is_named[self._folded[level][rows]])

    def scores(self, rows: _RowNumbers, written: str) -> npt.NDArray[np.int64]:
        """Return how exactly the rows' items fit a written path: folders first, then the name's spelling."""
        num_exact = np.zeros(len(rows), np.int64)
        for column, folder in zip(self._exact, _exact_folders(written), strict=False):
            num_exact += column[rows] == self._number(folder)
        name = written.rpartition("/")[2]
        is_name = self._name[rows] == self._number(name)
        is_folded = self._folded_name[rows] == self._number(name.casefold())
        is_stem = np.isin(self._stem[rows], [self._number(name), self._number(_without_extension(name))])
        return np.asarray(8 * num_exact + 4 * is_name + 2 * is_folded + is_stem, np.int64)

    def paths(self, rows: _RowNumbers) -> list[str]:
        """Return the first two different paths of the rows, in order."""
        numbers = rows[:4]  # an item has at most two ends
        return sorted({self._paths[number] for number in numbers.tolist()})[:2]


def plain(path: str) -> str:
    """Return a written path as POSIX in NFC: slashes for backslashes, no leading `./`, no trailing slash."""
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/").removeprefix("./").rstrip("/"))


@lru_cache(maxsize=2**18)
def _folders(path: str) -> tuple[str, ...]:
    """Return the folders of a plain path without case, the nearest first, without root and drive."""
    return tuple(map(str.casefold, _exact_folders(path)))


def _exact_folders(path: str) -> tuple[str, ...]:
    """Return the folders of a plain path, the nearest first, without root and drive."""
    return tuple(part for part in path.split("/")[-2::-1] if not _is_root(part))


def _is_root(part: str) -> bool:
    """Whether a part of a path is no folder, but a root, a drive or a dot."""
    return part in ("", ".") or (len(part) == 2 and part.endswith(":"))


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


def _likeness(written: str, item: Found) -> Likeness:
    local, name = plain(item.path), written.rpartition("/")[2]
    num_common = _num_common(written, local)
    if not num_common and (_folders(written) or _folders(local)):
        return "name"
    pairs = zip(_exact_folders(written), _exact_folders(local), strict=False)
    num_exact = sum(theirs == ours for theirs, ours in pairs)
    has_extension = _without_extension(name) != name
    is_stem = plain(item.stem) in (name, _without_extension(name))
    is_name = local.rpartition("/")[2] == name
    return "path" if num_exact >= num_common and (is_name or (is_stem and not has_extension)) else "spelling"
