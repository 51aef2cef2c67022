"""Finds the videos and folders that other people's lists mean: their absolute or Windows paths lead nowhere here."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from dfer_data.sources.tree import Found


class Places:
    """What was found, by the ends of its paths."""

    def __init__(self, found: Iterable[Found]) -> None:
        """Keep the videos or folders."""
        self._by_path: dict[str, Found] = {}
        self._by_name: defaultdict[str, list[Found]] = defaultdict(list)
        for one in found:
            self._by_path[plain(one.path)] = one
            for name in {plain(PurePosixPath(one.path).name), plain(one.stem)}:
                self._by_name[name].append(one)

    def find(self, written: str) -> Found | list[Found] | None:
        """Return what a written path means: the path itself, else the one that ends most like it.

        None where nothing has its name, a list where several fit alike.
        """
        path = plain(written)
        if path in self._by_path:
            return self._by_path[path]
        parts = PurePosixPath(path).parts
        candidates = self._by_name.get(parts[-1] if parts else "", [])
        best = max((_num_common(parts, one) for one in candidates), default=0)
        fitting = [one for one in candidates if _num_common(parts, one) == best]
        return fitting[0] if len(fitting) == 1 else fitting or None


def plain(path: str) -> str:
    """Return a written path as POSIX in NFC: backslashes turned, no `./` before it, no slash after it."""
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/").removeprefix("./").rstrip("/"))


def _num_common(parts: tuple[str, ...], one: Found) -> int:
    """Return how many folders before the name are alike."""
    pairs = zip(reversed(parts[:-1]), reversed(PurePosixPath(plain(one.path)).parts[:-1]), strict=False)
    number = 0
    for written, there in pairs:
        if written != there:
            break
        number += 1
    return number
