"""Options that several commands share."""

from __future__ import annotations

import os
from typing import Annotated

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")]
NumWorkers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Worker processes.", show_default="one per core")
]


def num_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
