"""Reliability diagram: accuracy by confidence, next to the diagonal of a calibrated model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfer_data.render.figure import new_figure, png_of
from lstpnet.evaluation.calibration import NUM_BINS, Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGINS = {"left": 0.08, "right": 0.98, "bottom": 0.16, "top": 0.88, "wspace": 0.2}


def draw_reliability(figures: Calibration, scaled: Calibration | None = None, *, dpi: int = 100) -> bytes:
    """Return a PNG, 8 x 3.4 inches, of a system's reliability: as it is, and with its temperature if it has one.

    Bars: accuracy of the clips in each bin of confidence; line: share of the clips in it. Raises UsageError without
    matplotlib.
    """
    figure = new_figure(8, 3.4)
    left, right = figure.subplots(1, 2, gridspec_kw=_MARGINS, sharey=True)
    _draw(left, figures, title=f"ECE {100 * figures.ece:.2f} %")
    left.set_ylabel("accuracy")
    if scaled is None:
        right.set_axis_off()
    else:
        _draw(right, scaled, title=f"at the temperature: ECE {100 * scaled.ece:.2f} %")
    return png_of(figure, dpi=dpi)


def _draw(axes: Axes, figures: Calibration, *, title: str) -> None:
    num_clips = sum(part.num_clips for part in figures.bins)
    middles = [(part.least + part.greatest) / 2 for part in figures.bins]
    axes.bar(
        middles,
        [part.accuracy for part in figures.bins],
        width=1 / NUM_BINS,
        color="#7aa6d8",
        edgecolor="white",
        label="accuracy",
    )
    shares = [part.num_clips / num_clips for part in figures.bins]
    axes.plot(middles, shares, color="#b3541e", marker=".", label="share of the clips")
    axes.plot([0, 1], [0, 1], color="0.4", linestyle="--", linewidth=1, label="calibrated")
    axes.set_title(title)
    axes.set_xlabel("confidence")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.grid(visible=True, color="0.92")
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, loc="upper left")
