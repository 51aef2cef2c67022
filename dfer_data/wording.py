"""Numbers in messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 video`, `3 classes`, `1,234 folders of crops`."""
    head, of, rest = noun.partition(" of ")
    plural = f"{head}es" if head.endswith("s") else f"{head}s"
    return f"{number:,} {head if number == 1 else plural}{of}{rest}"
