"""Figures of matplotlib, imported when drawn."""

from __future__ import annotations

from typing import Any

from dfer_data.errors import UsageError


def new_figure(width_inches: float, height_inches: float, **options: Any) -> Any:
    """Return an empty matplotlib Figure, without pyplot: nothing global, no display. UsageError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plots need matplotlib, which is not installed: pip install 'dfer[report]'") from error
    return Figure(figsize=(width_inches, height_inches), **options)
