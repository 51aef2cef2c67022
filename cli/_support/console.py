"""Console output: lines, tables, JSON, progress bars. rich draws the bars and is imported only for the first one."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[[int, int], None]
"""Called with the number of finished items and their total number."""


@functools.cache
def console(*, stderr: bool = False) -> Console:
    """Return rich's console of stdout or stderr; it prints plain text (no markup) and honours NO_COLOR."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


def say(text: str, *, as_json: bool = False) -> None:
    """Print text for people: on stdout, or on stderr if stdout carries JSON."""
    print(text, file=sys.stderr if as_json else sys.stdout)


def warn(text: str) -> None:
    """Print a note on stderr."""
    print(f"note: {text}", file=sys.stderr)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, as_json: bool = False) -> None:
    """Print aligned columns without borders, so that lines can be copied and pasted."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), as_json=as_json)


@contextlib.contextmanager
def progress(description: str, *, unit: str) -> Iterator[Advance]:
    """Show a bar with `unit`/s and the time left on stderr while the block runs, on a terminal only.

    Yields a function of (done, total), which may be called as often as needed.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(description), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=None, rate="")

        def advance(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f} {unit}/s" if speed else "")

        yield advance
