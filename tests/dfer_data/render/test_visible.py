from __future__ import annotations

import pytest

from dfer_data.render.html import notebook_card
from dfer_data.render.markdown import escaped
from dfer_data.render.tables import Section
from dfer_data.render.visible import visible

COMMANDS = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x85",
    "\r",
    "\x00",
    "\x7f",
    "\u202egpj",
    "\u2066",
    "\u200e",
    "\u2028",
]
COMMANDS += ["\ufeff", "\u00ad", "\u200b", "\U000e0041", "\udc80", "\u061c"]


@pytest.mark.parametrize("text", COMMANDS)
def test_what_no_one_sees_is_shown_as_an_escape_everywhere(text: str) -> None:
    name = f"clip {text} x"
    section = Section(name, (name,), ((name,),), (name,))
    for shown in (
        visible(name),
        visible(name, keeps_lines=True),
        escaped(name),
        section.as_markdown().replace("\n", ""),
        section.as_latex().replace("\n", ""),
        notebook_card(name, {name: name}, {}),
    ):
        assert shown.isprintable(), shown
        shown.encode("utf-8")


@pytest.mark.parametrize("name", ["Zoë", "高兴", "می\u200cروم", "👩\u200d🔬", "a\u00a0b", "全\u3000角"])
def test_names_in_any_script_stay_what_they_are(name: str) -> None:
    assert visible(name) == name


def test_lines_stay_where_they_may() -> None:
    assert visible("a\n\tb", keeps_lines=True) == "a\n\tb"
    assert visible("a\r\nb", keeps_lines=True) == "a\nb"
    assert visible("a\nerror: b") == r"a\u000aerror: b"
