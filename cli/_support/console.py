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
    from rich.progress import Progress


class Advance(Protocol):
    """Shows how far a command is."""

    def __call__(self, done: int, total: int, *, doing: str = "", unit: str = "") -> None:
        """Show the number of finished items.

        `total`: their number, 0 when unknown. `doing` and `unit`: what is counted from now on; empty: as before.
        """
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


def _no_lines(done: int, total: int, *, doing: str = "", unit: str = "") -> None:
    """Show nothing: the caller prints its own lines."""


class ProgressLines:
    """Prints lines such as `rendering: 120 of 400 clips (30 %), 4 clips/s, about 70 s left` on stderr."""

    def __init__(self, description: str, *, unit: str, clock: Callable[[], float] | None = None) -> None:
        """Start the clock (None: that of the machine), which decides when a line is due; see `Pace`."""
        from dfer_data.render.pace import Pace

        self._description, self._unit, self._pace = description, unit, Pace(clock)

    def advance(self, done: int, total: int, *, doing: str = "", unit: str = "") -> None:
        """Print a line if one is due; arguments as those of `Advance`."""
        from dfer_data.render.pace import rate
        from dfer_data.render.tables import duration

        self._description, self._unit = doing or self._description, unit or self._unit
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
        yield ProgressLines(description, unit=unit).advance if has_lines else _no_lines
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    words, rate = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[rate]}")
    columns = (words, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        yield _Bar(bar, description, unit)


class _Bar:
    """A bar on a terminal."""

    def __init__(self, bar: Progress, description: str, unit: str) -> None:
        self._bar, self._unit = bar, unit
        self._task = bar.add_task(visible(description), total=None, rate="")

    def __call__(self, done: int, total: int, *, doing: str = "", unit: str = "") -> None:
        if unit and unit != self._unit:  # other work: its rate is not that of the work before
            self._unit = unit
            self._bar.reset(self._task)
        speed = self._bar.tasks[0].speed
        if doing:
            self._bar.update(self._task, description=visible(doing))
        self._bar.update(
            self._task, completed=done, total=total or None, rate=f"{speed:.1f} {self._unit}/s" if speed else ""
        )
