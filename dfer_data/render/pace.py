"""How often a long command prints a line of progress where there is no terminal for a bar."""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST_SECONDS = 10.0
"""Least time between two lines."""
MOST_SECONDS = 30.0
"""A line is due after this time, whatever has been done."""
LEAST_SHARE = 0.01
"""Share of the work after which a line is due earlier."""


def rate(number: float) -> str:
    """Return a number per second with two digits or more: `0.35`, `4.2`, `1,234`."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


class Pace:
    """Says when the next line is due: after 1 % more of the work and 10 s, and in any case after 30 s."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """Start the clock, which counts seconds; None: that of the machine."""
        self._clock = clock or time.monotonic
        self._start = self._last_line = self._clock()
        self._last_share = 0.0

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return self._clock() - self._start

    def is_due(self, share: float) -> bool:
        """Return whether to print a line now that this share 0..1 of the work is done; the caller then prints it."""
        now = self._clock()
        seconds, gain = now - self._last_line, share - self._last_share
        if seconds < LEAST_SECONDS or (seconds < MOST_SECONDS and gain < LEAST_SHARE - 1e-9):
            return False
        self._last_line, self._last_share = now, share
        return True
