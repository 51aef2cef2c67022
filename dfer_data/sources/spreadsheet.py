"""Read the rows of an annotation file in Excel format, each with its line number."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from dfer_data.errors import AnnotationError

SheetRow = tuple[int, tuple[str, ...]]


def read_rows(path: Path, name: str) -> Iterator[SheetRow]:
    """Yield (line, cells as text without outer spaces) per row of the first sheet; empty lines are skipped.

    Whole numbers have no decimal point, however the file stores them. Raises AnnotationError, with `name` as the name
    of the file, for anything but an Excel file.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True)
        rows = list(book.worksheets[0].iter_rows(values_only=True))
        book.close()
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, IndexError, OSError, SyntaxError) as error:
        raise AnnotationError([f"{name}: not a readable Excel file: {error}"]) from error
    for number, cells in enumerate(rows, start=1):
        words = tuple(_text(cell) for cell in cells)
        if any(words):
            yield number, words


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell).strip()
