"""Numbers in messages and in names."""

from __future__ import annotations

import re

NameKey = tuple[list[tuple[str, int, str]], str]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 video`, `3 classes`, `1,234 folders of crops`."""
    head, of, rest = noun.partition(" of ")
    plural = f"{head}es" if head.endswith("s") else f"{head}s"
    return f"{number:,} {head if number == 1 else plural}{of}{rest}"


def by_number(name: str) -> NameKey:
    """Return the key that sorts `head-2` before `head-10`: numbers in names by their value."""
    parts = [(text, digits.lstrip("0")) for text, digits in re.findall(r"(\D*)(\d*)", name)]
    return [(text, len(digits), digits) for text, digits in parts], name
