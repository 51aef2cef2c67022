from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dfer_data.storage.csv_text import csv_rows, csv_text, from_spreadsheet, separator_of, spreadsheet_cell

CELLS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("'=+-@\t\r\n\",; 1e.")


@given(st.lists(st.lists(CELLS, min_size=2, max_size=3), min_size=1))
def test_cells_are_read_as_they_were_written(rows: list[list[str]]) -> None:
    assert [cells for _, cells in csv_rows(csv_text(rows))] == rows


def test_ordinary_cells_have_no_quotes() -> None:
    assert csv_text([["clip_id", "n"], ["a b/é.mp4", 1]]) == "clip_id,n\na b/é.mp4,1\n"


@pytest.mark.parametrize("text", ['"a,b\nc,d\n', '"a"b,c\n', "x" * 200_000 + ",c\n"])
def test_text_that_is_no_csv_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2: "):
        list(csv_rows("first,row\n" + text))


@given(CELLS)
@example("'=1")
@example("''@x")
@example("'-5")
def test_a_spreadsheet_runs_no_cell_and_the_text_comes_back(text: str) -> None:
    cell = spreadsheet_cell(text)
    assert from_spreadsheet(cell) == text
    if cell[:1] in {"=", "@", "\t", "\r", "+", "-"}:
        assert set(cell) <= set("+-.0123456789e; ")


@pytest.mark.parametrize("cell", ["-0.5", "-0.5 +1.5; 2e-3", -1, 2.5, None, True, "a=b"])
def test_numbers_and_ordinary_text_stay(cell: object) -> None:
    assert spreadsheet_cell(cell) == cell


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-1+2", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_become_text(cell: str) -> None:
    assert spreadsheet_cell(cell) == f"'{cell}"


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("clip_id,label\n", ","),
        ("clip_id;label\n", ";"),
        ("label\tclip_id\na;b;c\td\n", "\t"),
        ('\n"a;b;c",clip_id\n', ","),
        ("a;b;c;d,clip_id\n", ","),
        ("Clip_ID ;label\n", ";"),
        ("clip_id\na;b\n", ","),
        ("Datei;Person\n", ";"),  # no such column: what a message lists
        ("", ","),
        ('"open', ","),
    ],
)
def test_the_separator_of_a_table_is_that_of_its_columns(text: str, separator: str) -> None:
    assert separator_of(text, "clip_id", "video") == separator
