"""Show names from files and folders safely: characters that no one sees, or that command a terminal, as escapes."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Invisible, and part of correct Persian words and of emoji."""


def visible(text: str, *, keeps_lines: bool = False) -> str:
    r"""Return text with invisible characters, and those that command a terminal or reorder text, as `\u001b`.

    Spaces of any width and joiners stay. `keeps_lines`: line feeds and tabs stay too, for text of several lines.
    """
    if text.isprintable():
        return text
    kept = _JOINERS + ("\n\t" if keeps_lines else "")
    text = text.replace("\r\n", "\n") if keeps_lines else text
    return "".join(letter if letter in kept or _is_shown(letter) else _escape(letter) for letter in text)


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _escape(letter: str) -> str:
    number = ord(letter)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
