"""Read a CSV that a user names in an option: header, cells by column, and all its faults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfer_data.errors import UsageError
from dfer_data.storage.csv_text import composed, csv_rows, from_spreadsheet, separator_of
from dfer_data.storage.files import read_regular_text
from dfer_data.wording import counted

_SHOWN = 5
_IDS = ("clip_id", "clip_a", "clip_b")
"""Columns of ids of clips."""


@dataclass
class CsvTable:
    """The rows of a file, and what is wrong with them so far."""

    path: Path
    flag: str
    header: list[str]
    """Names of the columns; empty for an empty file."""
    rows: list[tuple[int, dict[str, str]]]
    """Line number, and column -> cell, of each row with as many cells as the header. Spaces around cells are removed,
    but those of ids of clips, which may be part of the id."""
    faults: list[str] = field(default_factory=list)
    """One line each, for `raise_faults`."""

    def require(self, *columns: str) -> None:
        """Raise UsageError that names all missing columns."""
        if missing := [name for name in columns if name not in self.header]:
            found = ", ".join(self.header) or "none"
            raise UsageError(f"{self.flag} {self.path} has no column {' and no '.join(missing)}; it has: {found}")

    def by_clip(self) -> Iterator[tuple[int, str, dict[str, str]]]:
        """Yield line number, clip id and cells of each row; a clip that was listed before becomes a fault instead."""
        seen: set[str] = set()
        for line, cells in self.rows:
            clip_id = cells["clip_id"]
            if clip_id in seen:
                self.faults.append(f"line {line}: clip {clip_id} is listed twice")
            else:
                yield line, clip_id, cells
            seen.add(clip_id)

    def raise_faults(self, *, ending: str = "") -> None:
        """Raise UsageError with the first faults and the number of the others, if there are any."""
        raise_faults(self.faults, path=self.path, flag=self.flag, ending=ending)


def raise_faults(faults: Sequence[str], *, path: Path, flag: str, ending: str = "") -> None:
    """Raise UsageError with the first faults of a file and the number of the others, if there are any."""
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UsageError(f"{flag} {path}: {'; '.join(faults[:_SHOWN])}{more}{ending}")


def read_csv_table(path: Path, *, flag: str) -> CsvTable:
    """Read a file, separated by commas, semicolons or tabs; rows with another number of cells become faults.

    Raises UsageError for a file that cannot be read or has a column twice.

    Cells are as `from_spreadsheet` returns them.
    """
    try:
        text = read_regular_text(path)
        lines = list(csv_rows(text, delimiter=separator_of(text, *_IDS)))
    except UnicodeDecodeError as error:
        raise UsageError(f"{flag} {path} cannot be read: it is not text in UTF-8; save it as `CSV UTF-8`") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{flag} {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    header = [cell.strip() for cell in lines[0][1]] if lines else []
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise UsageError(f"{flag} {path} has the column {' and the column '.join(twice)} twice")
    table = CsvTable(path, flag, header, [])
    for line, cells in lines[1:]:
        if len(cells) == len(header):
            row = {name: from_spreadsheet(cell) for name, cell in zip(header, cells, strict=True)}
            cells_by_name = {name: composed(cell) if name in _IDS else cell.strip() for name, cell in row.items()}
            table.rows.append((line, cells_by_name))
        else:
            counts = f"{counted(len(cells), 'cell')}, the header has {len(header)}"
            table.faults.append(f"line {line}: {counts}; quote names with commas")
    return table
