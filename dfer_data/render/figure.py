"""Figures of matplotlib, imported when drawn."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from dfer_data.errors import UsageError
from dfer_data.extras import install_command


def new_figure(width_inches: float, height_inches: float, **options: Any) -> Any:
    """Return an empty matplotlib Figure, without pyplot: nothing global, no display. UsageError without matplotlib."""
    is_first_import = "matplotlib" not in sys.modules
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(f"plots need matplotlib, which is not installed: {install_command('report')}") from error
    # A matplotlibrc in the working folder may be someone else's, and can make figures run LaTeX with its commands.
    if is_first_import and not Path(matplotlib.matplotlib_fname()).is_absolute():
        matplotlib.rcdefaults()
    return Figure(figsize=(width_inches, height_inches), **options)


def png_of(figure: Any, *, dpi: float) -> bytes:
    """Return a figure as PNG; it is drawn once, while `savefig` first draws it for its layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.dpi = dpi
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def draw_strip(figure: Any, text: str, *, height_share: float) -> None:
    """Draw a warning as a strip over the whole width at the foot of a figure, `height_share` of its height."""
    strip = figure.add_axes((0, 0, 1, height_share), in_layout=False, facecolor="#ffc83c")
    strip.set_xticks([])
    strip.set_yticks([])
    strip.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color="#141414")
