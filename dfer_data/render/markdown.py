"""Write Markdown and YAML front matter from arbitrary text, such as names of classes, clips and folders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NUMBER = re.compile(r"-|[+-]?\d+(\.\d+)?")
_SPECIAL = {ord(letter): f"\\{letter}" for letter in "\\`*_<>[]|&~$#"}


def escaped(text: str) -> str:
    """Return text as one line that Markdown shows literally; unprintable characters become Unicode escapes."""
    line = " ".join(text.splitlines())
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in line).translate(_SPECIAL)


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
    """Return the lines of a YAML block of mappings, lists, strings, numbers and booleans; keys are plain words."""
    return ["---", *_yaml(values), "---", ""]


def _yaml(value: Mapping[str, Any] | Sequence[Any]) -> Iterator[str]:
    """Yield the unindented lines of a mapping or a list."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, Mapping | list | tuple):
                yield f"{key}:"
                yield from (f"  {line}" for line in _yaml(inner))
            else:
                yield f"{key}: {_scalar(inner)}"
        return
    for inner in value:
        first, *following = _yaml(inner) if isinstance(inner, Mapping) else [_scalar(inner)]
        yield f"- {first}"
        yield from (f"  {line}" for line in following)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return f'"{"".join(map(_quoted, value))}"'
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(letter: str) -> str:
    """Return a character as written between double quotes."""
    if letter in '"\\':
        return f"\\{letter}"
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"
