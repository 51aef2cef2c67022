"""CSV as text: exact for programs, with harmless cells for spreadsheets.

A program reads back the cells that were written, whatever they contain. A spreadsheet runs a cell that begins with
`=`, `+`, `-`, `@`, a tab or a carriage return as a formula, so tables for people have an apostrophe before such cells.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_SEPARATORS = ",;\t"
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_HARMLESS = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?([; ]+[-+]?[0-9.]+(e[-+]?[0-9]+)?)*")  # numbers


class _Lines(list[str]):
    r"""Collects the rows of a csv writer; it quotes `\r` and `\n` only where both end its lines."""

    def write(self, line: str) -> int:
        self.append(line.removesuffix("\r\n") + "\n")
        return len(line)


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    r"""Return rows as CSV with `\n` after each; only cells that need quotes have them."""
    lines = _Lines()
    csv.writer(lines).writerows(rows)
    return "".join(lines)


def csv_rows(text: str, *, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the row's first line, cells) per row that is not empty.

    Raises ValueError for an open quote, for text after a closing quote, and for a cell of over 128 kB.
    """
    reader, line = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {line}: {error}") from error


def separator_of(text: str, *columns: str) -> str:
    """Return what separates the cells of a table that has one of these columns: a comma, a semicolon or a tab.

    Spreadsheets write semicolons where the comma is the decimal sign. Without any of the columns, the most frequent one
    of the first line is returned, so that a message can list the columns that there are.
    """
    wanted = {name.lower() for name in columns}
    for separator in _SEPARATORS:
        with contextlib.suppress(ValueError):
            if wanted.intersection(cell.strip().lower() for cell in _first_row(text, separator)):
                return separator
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    return max(_SEPARATORS, key=first_line.count)


def _first_row(text: str, separator: str) -> list[str]:
    return next(csv_rows(text, delimiter=separator), (0, list[str]()))[1]


def composed(text: str) -> str:
    """Return text in Unicode's form NFC, as ids of clips and class names are; macOS decomposes names of files."""
    return unicodedata.normalize("NFC", text)


def spreadsheet_cell(cell: Any) -> Any:
    """Return a cell for a table that people open: text that a spreadsheet would run begins with an apostrophe."""
    if isinstance(cell, str) and _FORMULA.match(cell) and not _HARMLESS.fullmatch(cell):
        return f"'{cell}"
    return cell


def from_spreadsheet(cell: str) -> str:
    """Return the text from which `spreadsheet_cell` made a cell; other text is returned as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
