"""Compute the coordinates of a run's learning curves; the page's template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dfer_data.render.tables import Section
from lstpnet.runs import Epochs

LEFT, TOP, WIDTH, HEIGHT = 44.0, 22.0, 300.0, 140.0
"""Position and size of the plot inside the SVG image, in SVG units."""
_PANELS: Mapping[str, Mapping[str, str]] = {
    "loss": {"loss": "train loss"},
    "accuracy": {
        "train_accuracy": "train accuracy, as augmented",
        "val_war": "held-out WAR",
        "val_uar": "held-out UAR",
        "test_war": "TEST WAR (chosen on)",
        "test_uar": "TEST UAR (chosen on)",
    },
}
_SHOWN = ("checkpoint", "stage", "epoch", "loss", *_PANELS["accuracy"], "learning_rate", "seconds")


@dataclass(frozen=True)
class CurveLine:
    """One curve."""

    label: str
    """Legend text."""
    points: str
    """Points `x,y x,y ...` of the polyline."""
    last: str
    """Last value as text, for readers who cannot see the curve."""


@dataclass(frozen=True)
class Chart:
    """One panel."""

    title: str
    """`loss` or `accuracy`."""
    lines: tuple[CurveLine, ...]
    """Curves of the panel."""
    y_ticks: tuple[tuple[float, str], ...]
    """(y, text) of the horizontal lines."""
    x_ticks: tuple[tuple[float, str], ...]
    """(x, epoch) of the labels below the plot."""
    stages: tuple[tuple[float, str], ...]
    """(x, name) of the start of each stage."""


def charts_of(epochs: Epochs) -> list[Chart]:
    """Return the panels that have values; stages follow each other from left to right."""
    return [
        _chart(title, epochs, names)
        for title, names in _PANELS.items()
        if any(_number(epoch.get(name)) is not None for epoch in epochs for name in names)
    ]


def epochs_section(epochs: Epochs) -> Section:
    """Return the numbers of the curves as a table."""
    names = [name for name in _SHOWN if any(epoch.get(name) is not None for epoch in epochs)]
    cells = tuple(tuple(_text(epoch.get(name)) for name in names) for epoch in epochs)
    return Section("epochs", tuple(name.replace("_", " ") for name in names), cells, ())


def _chart(title: str, epochs: Epochs, names: Mapping[str, str]) -> Chart:
    values = {name: [_number(epoch.get(name)) for epoch in epochs] for name in names}
    series = {name: points for name, points in values.items() if any(value is not None for value in points)}
    top = 1.0 if title == "accuracy" else max(v for points in series.values() for v in points if v is not None)
    step = _nice_step(top)
    top = step * math.ceil(top / step) if top > 0 else 1.0

    def x(index: int) -> float:
        return LEFT + (WIDTH / 2 if len(epochs) == 1 else WIDTH * index / (len(epochs) - 1))

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - value / top)

    lines = []
    for name, curve in series.items():
        points = [(x(index), y(value)) for index, value in enumerate(curve) if value is not None]
        last = [value for value in curve if value is not None][-1]
        lines.append(CurveLine(names[name], " ".join(f"{a:.1f},{b:.1f}" for a, b in points), _text(last)))
    y_ticks = tuple((y(step * i), f"{step * i:g}") for i in range(round(top / step) + 1))
    stages = [f"{epoch.get('checkpoint', '')}: {epoch.get('stage', '')}" for epoch in epochs]
    starts = [i for i in range(len(stages)) if i == 0 or stages[i] != stages[i - 1]]
    tick_step = max(1, math.ceil(len(epochs) / 8))
    x_ticks = tuple((x(i), str(i + 1)) for i in range(0, len(epochs), tick_step))
    return Chart(title, tuple(lines), y_ticks, x_ticks, tuple((x(i), stages[i]) for i in starts))


def _nice_step(top: float) -> float:
    """Return a step of 1, 2, 2.5 or 5 times a power of ten that divides 0..top into at most five intervals."""
    if top <= 0:
        return 0.25
    power = 10.0 ** math.floor(math.log10(top / 4))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * 5 >= top)


def _number(value: Any) -> float | None:
    """Return a finite number, else None; a diverged loss is not finite."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
