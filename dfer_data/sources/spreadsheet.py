"""Read the rows of an annotation file in Excel format, each with its line number."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from dfer_data.errors import AnnotationError

SheetRow = tuple[int, tuple[str, ...]]
_MAX_CELLS = 2_000_000
_MAX_UNPACKED_BYTES = 2**29
"""An Excel file is a zip of XML, and a small zip can unpack to more than the memory."""
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError),  # RuntimeError: marked as encrypted
    *(KeyError, ValueError, IndexError, TypeError, AttributeError, SyntaxError),
)
"""What damaged bytes raise in the zip, in its XML and in openpyxl."""


def read_rows(path: Path, name: str) -> Iterator[SheetRow]:
    """Yield (line, cells as text without outer spaces) per row of the first sheet; empty lines are skipped.

    Whole numbers have no decimal point, however the file stores them. Raises AnnotationError, with `name` as the name
    of the file, for anything but an Excel file.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(path) as archive:  # it reads no member beyond its declared size
            if sum(member.file_size for member in archive.infolist()) > _MAX_UNPACKED_BYTES:
                raise ValueError(f"it unpacks to more than {_MAX_UNPACKED_BYTES // 2**20} MiB")
        with path.open("rb") as file:  # openpyxl leaves a faulty file open
            book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
            rows = list(_within_limit(book.worksheets[0].iter_rows(values_only=True)))
            book.close()
    except (*_DAMAGE, InvalidFileException) as error:
        raise AnnotationError([f"{name}: not a readable Excel file: {error}"]) from error
    for number, cells in enumerate(rows, start=1):
        words = tuple(_text(cell) for cell in cells)
        if any(words):
            yield number, words


def _within_limit(rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    """Yield the rows. Raises ValueError as soon as there are more rows and filled cells than an annotation has."""
    size = 0
    for cells in rows:
        size += 1 + sum(cell is not None for cell in cells)
        if size > _MAX_CELLS:
            raise ValueError(f"it has more than {_MAX_CELLS:,} rows and cells, which no annotation has")
        yield cells


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell).strip()
