"""The words of the command that runs, for messages that repeat it with one more option."""

from __future__ import annotations

import shlex
from contextvars import ContextVar
from pathlib import Path

WORDS: ContextVar[tuple[str, ...]] = ContextVar("WORDS")
"""What follows `dfer`, set by `main`."""


def report_line(runs: Path | None) -> str:
    """Return the command that reports on the runs of a folder; None: the folder that `dfer report` takes by itself."""
    return "dfer report" if runs is None else "dfer " + shlex.join(["report", str(runs)])


def with_option(flag: str, value: str) -> str:
    """Return the whole command line with an option added, quoted for a shell."""
    command, *words = WORDS.get()
    return "dfer " + shlex.join([command, flag, value, *words])
