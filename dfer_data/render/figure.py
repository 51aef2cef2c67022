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


def draw_strip(figure: Any, text: str, *, height_share: float) -> None:
    """Draw a warning as a strip over the whole width at the foot of a figure, `height_share` of its height."""
    strip = figure.add_axes((0, 0, 1, height_share), in_layout=False, facecolor="#ffc83c")
    strip.set_xticks([])
    strip.set_yticks([])
    strip.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color="#141414")
