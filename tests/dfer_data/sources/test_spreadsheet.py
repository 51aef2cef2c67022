"""Excel files of strangers: they name no other file, and a huge one is refused within seconds."""

from __future__ import annotations

import contextlib
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from openpyxl import Workbook

from dfer_data.errors import AnnotationError
from dfer_data.sources import spreadsheet
from dfer_data.sources.spreadsheet import read_rows


@pytest.fixture
def book(tmp_path: Path) -> Path:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["clip", "label"])
    sheet.append(["1.mp4", "secret-here"])
    book.save(tmp_path / "a.xlsx")
    return tmp_path / "a.xlsx"


def with_changes(book: Path, changes: dict[str, str]) -> Path:
    """Replace texts in the sheet of an Excel file, each of them once."""
    out = book.with_name("changed.xlsx")
    with zipfile.ZipFile(book) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            text = source.read(member).decode()
            if member.filename == "xl/worksheets/sheet1.xml":
                for old, new in changes.items():
                    assert text.count(old) == 1, text
                    text = text.replace(old, new)
            target.writestr(member.filename, text)
    return out


@pytest.mark.parametrize("text", ["&file;", "&url;", "&many;"])
def test_an_entity_brings_no_file_into_the_cells(book: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "secret.txt").write_text("TOP-SECRET")
    ten = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    doctype = (
        f'<!DOCTYPE worksheet [<!ENTITY file SYSTEM "{(tmp_path / "secret.txt").as_uri()}">'
        f'<!ENTITY url SYSTEM "http://localhost:9/x"><!ENTITY e0 "lol">{ten}<!ENTITY many "&e11;">]><worksheet '
    )
    path = with_changes(book, {"<worksheet ": doctype, "secret-here": text})
    start = time.monotonic()
    try:
        cells = [cell for _, row in read_rows(path, "a.xlsx") for cell in row]
    except AnnotationError as error:
        cells = [str(error)]
    assert "TOP-SECRET" not in " ".join(cells)
    assert sum(map(len, cells)) < 1000
    assert time.monotonic() - start < 5


def test_a_link_to_another_book_is_not_followed(book: Path, tmp_path: Path) -> None:
    cell = '<c r="C2"><f>[1]Sheet1!A1</f><v>7</v></c></row></sheetData>'
    path = with_changes(book, {"</row></sheetData>": cell, 'ref="A1:B2"': 'ref="A1:C2"'})
    assert list(read_rows(path, "a.xlsx"))[1] == (2, ("1.mp4", "secret-here", "7"))


def test_a_book_of_too_many_cells_is_refused(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "_MAX_CELLS", 1000)
    path = with_changes(book, {"</sheetData>": '<row r="1048576"/></sheetData>', 'ref="A1:B2"': 'ref="A1:C1048576"'})
    with pytest.raises(AnnotationError, match="more than 1,000 rows and cells"):
        list(read_rows(path, "a.xlsx"))


def test_damaged_bytes_are_one_fault(tmp_path: Path) -> None:
    """A wrong bit in the compressed text is found by zlib, in other places by the zip, the XML or openpyxl."""
    book, rng, num_faults = Workbook(), np.random.default_rng(0), 0
    assert book.active is not None
    for number in range(40):
        book.active.append([number, f"clip {number}", "happy"])
    book.save(tmp_path / "a.xlsx")
    intact = (tmp_path / "a.xlsx").read_bytes()
    for place, bit in zip(rng.integers(0, len(intact), 300), rng.integers(0, 8, 300), strict=True):
        data = bytearray(intact)
        data[place] ^= 1 << int(bit)
        (tmp_path / "b.xlsx").write_bytes(data)
        with contextlib.suppress(AnnotationError):
            list(read_rows(tmp_path / "b.xlsx", "b.xlsx"))
            num_faults -= 1
        num_faults += 1
    assert num_faults > 100
