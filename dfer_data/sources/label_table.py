"""Read the CSV of a dataset's owners: rows by column name, all faults with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dfer_data.sources.annotation import decoded
from dfer_data.storage.csv_text import csv_rows, separator_of
from dfer_data.wording import counted


def label_rows(
    root: Path, name: str, columns: tuple[str, ...], faults: list[str]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield (`file:line`, column -> cell) per row; a missing column or cell is a fault."""
    text = decoded(root, name, faults)
    try:
        table = list(csv_rows(text, delimiter=separator_of(text, *columns))) if text is not None else []
    except ValueError as error:
        faults.append(f"{name}: is not CSV ({error}); check the quotes around this line")
        return
    header = [cell.strip() for cell in (table[0][1] if table else [])]
    if missing := [column for column in columns if column not in header]:
        faults.append(f"{name}: no column {' and no '.join(missing)}; it has: {', '.join(header) or 'none'}")
        return
    for line, cells in table[1:]:
        if len(cells) == len(header):
            yield f"{name}:{line}", {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
        else:
            faults.append(f"{name}:{line}: {counted(len(cells), 'cell')}, the header has {len(header)}")
