"""Console output: lines, tables, JSON, progress bars. rich draws the bars and is imported only for the first one."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from dfer_data.render.visible import visible

if TYPE_CHECKING:
    from rich.console import Console


class Advance(Protocol):
    """Shows how far a command is."""

    def __call__(self, done: int, total: int) -> None:
        """Show the number of finished items; `total` is their number, 0 when unknown."""
        ...


@functools.cache
def console(*, stderr: bool = False) -> Console:
    """Return rich's console of stdout or stderr; it prints plain text (no markup) and honours NO_COLOR."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


def say(text: str, *, as_json: bool = False) -> None:
    """Print text for people, invisible characters as escapes: on stdout, or on stderr if stdout carries JSON."""
    print(visible(text, keeps_lines=True), file=sys.stderr if as_json else sys.stdout)


def warn(text: str) -> None:
    """Print a note on stderr."""
    say(f"note: {text}", as_json=True)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; numbers that JSON does not have (NaN, infinity) are null."""
    sys.stdout.write(json.dumps(_with_nulls(document), indent=2, allow_nan=False) + "\n")


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, as_json: bool = False) -> None:
    """Print aligned columns without borders, so that lines can be copied and pasted."""
    lines = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), as_json=as_json)


class ProgressLines:
    """Prints lines such as `rendering: 120 of 400 clips (30 %), 4 clips/s, about 70 s left` on stderr."""

    def __init__(self, description: str, *, unit: str, clock: Callable[[], float] | None = None) -> None:
        """Start the clock (None: that of the machine), which decides when a line is due; see `Pace`."""
        from dfer_data.render.pace import Pace

        self._description, self._unit, self._pace = description, unit, Pace(clock)

    def advance(self, done: int, total: int) -> None:
        """Print a line if one is due; `total` is 0 when unknown."""
        from dfer_data.render.pace import rate
        from dfer_data.render.tables import duration

        share = min(1.0, done / total) if total else 0.0
        if not self._pace.is_due(share):
            return
        seconds = self._pace.seconds
        count = f"{done:,} of {total:,} {self._unit} ({100 * share:.0f} %)" if total else f"{done:,} {self._unit}"
        left = f", about {duration(seconds / share * (1 - share))} left" if share else ""
        say(f"{self._description}: {count}, {rate(done / seconds)} {self._unit}/s{left}", as_json=True)


@contextlib.contextmanager
def progress(description: str, *, unit: str, has_lines: bool = True) -> Iterator[Advance]:
    """Show a bar with `unit`/s and the time left on stderr while the block runs; without a terminal, lines at a pace.

    Yields a function of (done, total), which may be called as often as needed; a total of 0 is an unknown one.
    `has_lines`: whether to print lines where there is no terminal.
    """
    if not sys.stderr.isatty():
        yield ProgressLines(description, unit=unit).advance if has_lines else lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(visible(description)), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=None, rate="")

        def advance(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total or None, rate=f"{speed:.1f} {unit}/s" if speed else "")

        yield advance
