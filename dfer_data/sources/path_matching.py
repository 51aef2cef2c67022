"""Match the paths in third-party lists, which may be absolute or Windows paths, to local videos and folders."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from dfer_data.sources.tree import Found


class Places:
    """Index of videos or folders by the ends of their paths."""

    def __init__(self, found: Iterable[Found]) -> None:
        """Index the videos or folders by path and by name."""
        self._by_path: dict[str, Found] = {}
        self._by_name: defaultdict[str, list[Found]] = defaultdict(list)
        for item in found:
            self._by_path[plain(item.path)] = item
            for name in {plain(PurePosixPath(item.path).name), plain(item.stem)}:
                self._by_name[name].append(item)

    def find(self, written: str) -> Found | list[Found] | None:
        """Return the item that a written path means: the same path, else the one with the longest common end.

        None if no item has its name; a list if several fit equally well.
        """
        path = plain(written)
        if path in self._by_path:
            return self._by_path[path]
        parts = PurePosixPath(path).parts
        candidates = self._by_name.get(parts[-1] if parts else "", [])
        best = max((_num_common(parts, item) for item in candidates), default=0)
        matches = [item for item in candidates if _num_common(parts, item) == best]
        return matches[0] if len(matches) == 1 else matches or None


def plain(path: str) -> str:
    """Return a written path as POSIX in NFC: slashes for backslashes, no leading `./`, no trailing slash."""
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/").removeprefix("./").rstrip("/"))


def _num_common(parts: tuple[str, ...], item: Found) -> int:
    """Return the number of equal folders directly before the name."""
    pairs = zip(reversed(parts[:-1]), reversed(PurePosixPath(plain(item.path)).parts[:-1]), strict=False)
    num_equal = 0
    for written_folder, local_folder in pairs:
        if written_folder != local_folder:
            break
        num_equal += 1
    return num_equal
