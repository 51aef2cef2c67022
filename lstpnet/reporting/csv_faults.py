"""Faults of a CSV file about clips, collected so that one error reports them all."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from dfer_data.errors import AnnotationError
from dfer_data.wording import counted

_MAX_FAULTS_PER_KIND = 50


class CsvFaults:
    """Collects the faults of a file, each with its line."""

    def __init__(self, path: Path) -> None:
        """`path`: the file, as messages name it."""
        self._path = path
        self._by_kind: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_kind)

    def add(self, kind: str, line: int, text: str) -> None:
        """Add a fault; those of one `kind` are limited together."""
        self._by_kind.setdefault(kind, []).append(f"{self._path}:{line}: {text}")

    def raise_all(self) -> None:
        """Raise AnnotationError for any faults, limited per kind: a file of another fold would flood the screen."""
        lines = []
        for faults in self._by_kind.values():
            lines += faults[:_MAX_FAULTS_PER_KIND]
            if len(faults) > _MAX_FAULTS_PER_KIND:
                lines.append(
                    f"{self._path}: and {counted(len(faults) - _MAX_FAULTS_PER_KIND, 'more fault')} like the last one"
                )
        if lines:
            raise AnnotationError(lines)


def unknown_clip(clip_id: str, known: Container[str]) -> str:
    """Return the words for an id that is not one of the known ids; zeros that a spreadsheet removed are named."""
    padded = clip_id.zfill(5)
    hint = f" (the zeros of {padded} are missing)" if padded in known else ""
    return f"unknown clip {clip_id!r}{hint}"


def exact_or_stripped(cell: str, known: Container[str]) -> str:
    """Return a cell unchanged if it is one of the known names, else without white space around it."""
    return cell if cell in known else cell.strip()
