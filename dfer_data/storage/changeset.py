"""Change several files of a place together: after a kill at any moment, either all of them changed or none.

New contents are written below `.next`. The file `.next/commit.json`, which lists all moves and removals, decides: once
it is there, the change is carried out, if need be by the next run; without it, `.next` is cleared.
"""

from __future__ import annotations

import json
from typing import Any

from dfer_data.errors import CorruptDataError
from dfer_data.storage.base import Target
from dfer_data.storage.files import COMMIT_NAME, canonical_json

NEXT = ".next"


class Changeset:
    """Collects changes of the files of a place, whose lock the caller holds; `commit` makes them."""

    def __init__(self, out: Target) -> None:
        """Begin without changes; what an uncommitted change left is cleared."""
        self._out = out
        self._moves: list[tuple[str, str]] = []
        self._removed: list[str] = []
        out.remove_folder(NEXT)

    def put(self, name: str, content: bytes) -> None:
        """Write a file, in place of the one with this name, if any."""
        staged = f"{NEXT}/{len(self._moves):06d}"
        self._out.make_folders(NEXT)
        self._out.put(staged, content)
        self._moves.append((staged, name))

    def move(self, name: str, new_name: str) -> None:
        """Rename a file; no other change of this set may touch either name."""
        self._moves.append((name, new_name))

    def remove(self, *names: str) -> None:
        """Remove files."""
        self._removed += names

    def commit(self) -> None:
        """Make all changes."""
        if self._moves or self._removed:
            self._out.make_folders(NEXT)
            self._out.sync(NEXT)
            self._out.put(COMMIT_NAME, canonical_json({"moves": self._moves, "removed": self._removed}))
            self._out.sync(NEXT)
        finish_change(self._out)


def is_interrupted(out: Target) -> bool:
    """Return whether a committed change is not carried out to its end."""
    return out.size(COMMIT_NAME) is not None


def finish_change(out: Target) -> bool:
    """Carry out a committed change that was interrupted, or clear an uncommitted one; return whether there was one.

    The caller holds the place's lock. Raises CorruptDataError for a list of changes that no dfer writes.
    """
    if not is_interrupted(out):
        if out.listing(NEXT):
            out.remove_folder(NEXT)
        return False
    moves, removed = _read(out)
    out.remove(*removed)
    for name, new_name in moves:
        if out.size(name) is not None:
            out.make_folders(*([new_name.rpartition("/")[0]] if "/" in new_name else []))
            out.move(name, new_name)
    out.sync(*sorted({name.rpartition("/")[0] for pair in moves for name in pair} | {""}))
    out.remove(COMMIT_NAME)
    out.remove_folder(NEXT)
    return True


def _read(out: Target) -> tuple[list[tuple[str, str]], list[str]]:
    """Return moves and removals; all names must stay inside the place."""
    try:
        content: Any = json.loads(out.read(COMMIT_NAME))
        moves = [(str(old), str(new)) for old, new in content["moves"]]
        removed = [str(name) for name in content["removed"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(f"{out}/{COMMIT_NAME} is not a list of changes of dfer; remove it") from error
    for name in (*removed, *(name for pair in moves for name in pair)):
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise CorruptDataError(f"{out}/{COMMIT_NAME} names {name!r:.200}, outside of the dataset; remove it")
    return moves, removed
