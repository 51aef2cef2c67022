"""The words of the command that runs, for messages that repeat it with one more option."""

from __future__ import annotations

import shlex
from contextvars import ContextVar

WORDS: ContextVar[tuple[str, ...]] = ContextVar("WORDS")
"""What follows `dfer`, set by `main`."""


def with_option(flag: str, value: str) -> str:
    """Return the whole command line with an option added, quoted for a shell."""
    command, *words = WORDS.get()
    return "dfer " + shlex.join([command, flag, value, *words])
