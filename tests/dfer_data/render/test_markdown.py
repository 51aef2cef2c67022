from __future__ import annotations

import html
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dfer_data.render.markdown import escaped, front_matter, table
from dfer_data.render.visible import visible

ODD = ["a|b", "`code`", "<script>alert(1)</script>", "two\nlines", "*_~", "[x](y)", "&lt;", "\\", "$x$", "# no heading"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def cells_of(lines: list[str]) -> list[list[str]]:
    """The cells of a table as a renderer of GitHub's Markdown shows them."""
    shown = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render("\n".join(lines))
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|th|td)\b)", shown), shown
    rows = re.findall(r"<tr>(.*?)</tr>", shown, flags=re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


@pytest.mark.parametrize("text", ODD)
def test_odd_names_stay_what_they_are_in_a_table(text: str) -> None:
    assert cells_of(table(("name", "n"), [(text, 1)]))[1] == [text.replace("\n", " "), "1"]


@given(TEXT)
def test_any_text_is_one_cell_and_no_markup(text: str) -> None:
    (row,) = cells_of(table(("name", "n"), [(text, 1)]))[1:]
    assert len(row) == 2
    assert visible(row[0]) == row[0]


def test_letters_that_hide_others_are_shown_by_their_numbers() -> None:
    assert escaped("ab\u202ecd\x1b") == r"ab\\u202ecd\\u001b"


def test_numbers_stand_right_and_mark_their_thousands() -> None:
    lines = table(("class", "clips", "WAR %"), [("happy", 12345, "71.16"), ("sad", 7, "-")])
    assert lines[1:4] == ["| --- | ---: | ---: |", "| happy | 12,345 | 71.16 |", "| sad | 7 | - |"]


@given(st.recursive(TEXT | st.integers() | st.booleans(), lambda inner: st.lists(inner, min_size=1, max_size=3)))
def test_yaml_reads_what_was_written(value: object) -> None:
    wanted: dict[str, Any] = {
        "license": "other",
        "a-list": [{"x": value if not isinstance(value, list) else 1, "y": {"z": "no"}}],
    }
    wanted["more"] = [str(value), 0.25, True]
    marks, *lines, end, empty = front_matter(wanted)
    assert (marks, end, empty) == ("---", "---", "")
    assert all(not line.startswith("---") for line in lines)
    assert yaml.safe_load("\n".join(lines)) == wanted
