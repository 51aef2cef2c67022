"""Learning curves of a run as the numbers of an SVG picture; the page's template draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dfer_data.render.tables import Section
from lstpnet.runs import Epochs

LEFT, TOP, WIDTH, HEIGHT = 44.0, 22.0, 300.0, 140.0
"""Of the plot inside the picture, in its units."""
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
    """What it shows."""
    points: str
    """`x,y x,y ...` for a polyline."""
    last: str
    """Its last value, for those who read no curves."""


@dataclass(frozen=True)
class Chart:
    """One panel."""

    title: str
    """One word."""
    lines: tuple[CurveLine, ...]
    """Its curves."""
    y_ticks: tuple[tuple[float, str], ...]
    """(y, text) of the horizontal lines."""
    x_ticks: tuple[tuple[float, str], ...]
    """(x, epoch) below the plot."""
    stages: tuple[tuple[float, str], ...]
    """(x, name) where a stage begins."""


def charts_of(epochs: Epochs) -> list[Chart]:
    """Return the panels that have values, stages one after the other from left to right."""
    return [
        _chart(title, epochs, names)
        for title, names in _PANELS.items()
        if any(_number(epoch.get(name)) is not None for epoch in epochs for name in names)
    ]


def epochs_section(epochs: Epochs) -> Section:
    """Return the numbers behind the curves as a table."""
    names = [name for name in _SHOWN if any(epoch.get(name) is not None for epoch in epochs)]
    cells = tuple(tuple(_text(epoch.get(name)) for name in names) for epoch in epochs)
    return Section("epochs", tuple(name.replace("_", " ") for name in names), cells, ())


def _chart(title: str, epochs: Epochs, names: Mapping[str, str]) -> Chart:
    values = {name: [_number(epoch.get(name)) for epoch in epochs] for name in names}
    there = {name: mine for name, mine in values.items() if any(value is not None for value in mine)}
    top = 1.0 if title == "accuracy" else max(value for mine in there.values() for value in mine if value is not None)
    step = _nice_step(top)
    top = step * math.ceil(top / step) if top > 0 else 1.0

    def x(place: int) -> float:
        return LEFT + (WIDTH / 2 if len(epochs) == 1 else WIDTH * place / (len(epochs) - 1))

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - value / top)

    lines = []
    for name, mine in there.items():
        points = [(x(place), y(value)) for place, value in enumerate(mine) if value is not None]
        last = [value for value in mine if value is not None][-1]
        lines.append(CurveLine(names[name], " ".join(f"{a:.1f},{b:.1f}" for a, b in points), _text(last)))
    y_ticks = tuple((y(step * i), f"{step * i:g}") for i in range(round(top / step) + 1))
    stages = [f"{epoch.get('checkpoint', '')}: {epoch.get('stage', '')}" for epoch in epochs]
    begins = [i for i in range(len(stages)) if i == 0 or stages[i] != stages[i - 1]]
    every = max(1, math.ceil(len(epochs) / 8))
    x_ticks = tuple((x(i), str(i + 1)) for i in range(0, len(epochs), every))
    return Chart(title, tuple(lines), y_ticks, x_ticks, tuple((x(i), stages[i]) for i in begins))


def _nice_step(top: float) -> float:
    """Return a step of 1, 2, 2.5 or 5 times a power of ten that cuts 0..top into at most five."""
    if top <= 0:
        return 0.25
    power = 10.0 ** math.floor(math.log10(top / 4))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * 5 >= top)


def _number(value: Any) -> float | None:
    """Return a finite number; None for anything else: a loss may have grown beyond all bounds."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
