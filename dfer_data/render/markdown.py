"""Write Markdown and YAML front matter from arbitrary text, such as names of classes, clips and folders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dfer_data.render.jinja import template_environment, template_text
from dfer_data.render.visible import visible

_NUMBER = re.compile(r"-|[+-]?\d+(\.\d+)?")
_SPECIAL = {ord(letter): f"\\{letter}" for letter in "\\`*_<>[]|&~$#"}


def escaped(text: str) -> str:
    """Return text as one line that Markdown shows literally; unprintable characters become Unicode escapes."""
    return visible(" ".join(text.splitlines())).translate(_SPECIAL)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the lines of a table; texts are escaped, number columns right-aligned, integers grouped by thousands."""
    are_numbers = [all(_NUMBER.fullmatch(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    marks = ["---:" if is_number else "---" for is_number in are_numbers] or ["---"] * len(header)
    return [_line(map(escaped, header)), _line(marks), *(_line(map(_cell, row)) for row in rows), ""]


def _line(cells: Iterator[str] | Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escaped(str(value))


def front_matter(values: Mapping[str, Any]) -> list[str]:
    """Return the lines of a YAML block of mappings, lists, strings, numbers and booleans."""
    import yaml

    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=False, allow_unicode=False, width=10_000)
    return ["---", *text.splitlines(), "---", ""]


class Verbatim(str):
    """Markdown that a card inserts unescaped."""

    __slots__ = ()


def render_card(name: str, *, package: str, **values: Any) -> str:
    """Return Markdown from a Jinja template in the folder `templates` of a package.

    Inserted text is escaped unless it is Verbatim, and whole numbers are grouped by thousands. Templates can use
    `table(header, rows)` and `front_matter(values)`.
    """
    environment = template_environment(lambda file: template_text(file, package), finalize=_inserted)
    environment.globals["table"] = lambda header, rows: Verbatim("\n".join(table(header, rows)))
    environment.globals["front_matter"] = lambda values: Verbatim("\n".join(front_matter(values)))
    return str(environment.get_template(name).render(values)).rstrip("\n") + "\n"


def _inserted(value: Any) -> str:
    """Return a value as a card shows it."""
    if isinstance(value, Verbatim):
        return value
    return _cell(value)
