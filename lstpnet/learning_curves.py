"""Learning curves of a run, from its metrics.jsonl: one picture, for the run folder and for the report's page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dfer_data.render.figure import new_figure, png_of
from dfer_data.render.tables import Section
from lstpnet.runs import Epochs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATIOS: Mapping[str, str] = {
    "train_accuracy": "train, as augmented",
    "val_war": "held-out WAR",
    "val_uar": "held-out UAR",
    "test_war": "TEST WAR (epoch chosen on it)",
    "test_uar": "TEST UAR (epoch chosen on it)",
}
"""Figures of an epoch between 0 and 1, with their legend."""
CURVES_NAME = "curves.png"
"""The picture's file in a run folder."""
_MARGINS = {"left": 0.05, "right": 0.99, "bottom": 0.14, "top": 0.86, "wspace": 0.25}
_SHOWN = ("checkpoint", "stage", "epoch", "loss", *RATIOS, "learning_rate", "seconds")


def draw_curves(epochs: Epochs, *, dpi: int = 100) -> bytes:
    """Return a PNG, 12 x 3.4 inches, of loss, accuracies and learning rate over at least one epoch.

    The stages follow each other from left to right, then the refit. Values that are missing or not finite leave a gap.
    Raises UsageError without matplotlib.
    """
    figure = new_figure(12, 3.4)  # with fixed margins: a layout that measures all texts takes as long as the drawing
    loss, accuracy, rate = figure.subplots(1, 3, gridspec_kw=_MARGINS)
    _draw(loss, epochs, {"loss": "train"}, title="loss")
    _draw(accuracy, epochs, RATIOS, title="accuracy, 0 to 1")
    accuracy.set_ylim(0, 1.02)
    _draw(rate, epochs, {"learning_rate": "of the last step of the epoch"}, title="learning rate")
    return png_of(figure, dpi=dpi)


def epochs_section(epochs: Epochs) -> Section:
    """Return the numbers of the curves as a table."""
    names = [name for name in _SHOWN if any(epoch.get(name) is not None for epoch in epochs)]
    cells = tuple(tuple(_text(epoch.get(name)) for name in names) for epoch in epochs)
    return Section("epochs", tuple(name.replace("_", " ") for name in names), cells, ())


def _draw(axes: Axes, epochs: Epochs, names: Mapping[str, str], *, title: str) -> None:
    """Draw the values that were measured, with a line between stages."""
    for name, label in names.items():
        values = [_number(epoch.get(name)) for epoch in epochs]
        points = [(number, value) for number, value in enumerate(values, start=1) if value is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
    stages = [f"{epoch.get('checkpoint', '')}: {epoch.get('stage', '')}" for epoch in epochs]
    starts = [0, *(index for index in range(1, len(stages)) if stages[index] != stages[index - 1])]
    for start in starts:
        if start:
            axes.axvline(start + 0.5, color="0.6", linewidth=1, linestyle="--")
        annotation = axes.annotate(stages[start], (start + 0.6, 1.0), xycoords=("data", "axes fraction"), fontsize=8)
        annotation.set_in_layout(False)
    axes.set_title(title, pad=16)
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, len(epochs) + 0.5)
    axes.locator_params(axis="x", integer=True)
    axes.grid(visible=True, color="0.92")
    if axes.lines:
        axes.legend(fontsize=8)


def _number(value: Any) -> float | None:
    """Return a finite number, else None; a diverged loss is not finite."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
