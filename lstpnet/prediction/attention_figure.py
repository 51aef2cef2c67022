"""The windows of a person as a picture: their sixteen frames, and under each how much of the attention it gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstpnet.prediction.video import Person, WindowPrediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_WINDOWS = 8
"""Windows in a picture; of a person seen for longer, so many are taken from the beginning to the end."""
FIGURE_WIDTH_PX, HEAD_PX, ROW_PX, FOOT_PX = 1320, 44, 140, 40
"""Size of a picture: HEAD_PX + ROW_PX a window + FOOT_PX high."""
_LEFT_PX, _CELL_PX, _BARS_PX, _DPI = 140, 72, 40, 110
_LEAST_TOP = 0.15
_PALEST = 0.35
_BAR, _SOFT = "#2a6bd0", "#57606a"
_NUMBERS: dict[str, Any] = {
    "textcoords": "offset points",
    "ha": "center",
    "va": "top",
    "fontsize": 7,
    "color": _SOFT,
    "annotation_clip": False,
}


def draw_attention(person: Person, class_names: Sequence[str], path: Path, *, title: str) -> None:
    """Draw the moments of a person that hold their frames and the attention to them as PNG, one below the other.

    Frames that get less than an even share are paler. All bars have one scale.
    """
    from matplotlib.figure import Figure  # no pyplot: nothing global, no display

    shown = [moment for moment in person.moments if moment.frames is not None and moment.attention is not None]
    height_px = HEAD_PX + ROW_PX * len(shown) + FOOT_PX
    figure = Figure(figsize=(FIGURE_WIDTH_PX / _DPI, height_px / _DPI), dpi=_DPI)
    words = f"{title}, person {person.number}: attention over the sixteen frames"
    _write(figure, 12, 22, words, color="black", fontsize=10)
    top = max([_LEAST_TOP, *(float(moment.attention.max()) for moment in shown if moment.attention is not None)])
    for row, moment in enumerate(shown):
        _draw_moment(figure, HEAD_PX + ROW_PX * row, moment, class_names, top=top)
    few = (
        f"{len(shown)} of {len(person.moments)} windows, which do not overlap. "
        if len(shown) < len(person.moments)
        else ""
    )
    note = "Per cent of the attention, mean over layers, heads and frames; dashed: an even share. Not an explanation."
    _write(figure, _LEFT_PX, height_px - 18, few + note, fontsize=7.5)
    figure.savefig(path, dpi=_DPI)


def _draw_moment(
    figure: Figure, y_px: int, moment: WindowPrediction, class_names: Sequence[str], *, top: float
) -> None:
    """Draw one window whose upper edge is `y_px` below that of the picture."""
    assert moment.frames is not None
    assert moment.attention is not None
    best = int(moment.probabilities.argmax())
    when = f"{moment.start_seconds:.1f} to {moment.end_seconds:.1f} s"
    _write(figure, 12, y_px + 26, when, color="black")
    _write(figure, 12, y_px + 46, f"{class_names[best][:18]} {100 * moment.probabilities[best]:.0f} %")
    num_frames = len(moment.attention)
    bounds = _bounds(figure, y_px, _CELL_PX)
    faces = figure.add_axes(bounds)
    faces.imshow(_paled(moment.frames, moment.attention), extent=(0, num_frames, 0, 1), aspect="auto")
    faces.set_axis_off()
    bars = figure.add_axes(_bounds(figure, y_px + _CELL_PX + 4, _BARS_PX), sharex=faces)
    middles = np.arange(num_frames) + 0.5
    bars.bar(middles, moment.attention, width=0.6, color=_BAR)
    bars.axhline(1 / num_frames, color=_SOFT, linewidth=0.8, linestyle=(0, (3, 3)))
    for middle, share in zip(middles, moment.attention, strict=True):
        bars.annotate(f"{100 * share:.1f}", (middle, 0), (0, -2), **_NUMBERS)
    bars.set_xlim(0, num_frames)
    bars.set_ylim(0, top)
    bars.set_axis_off()


def _paled(frames: npt.NDArray[np.uint8], attention: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return frames (T, 3, H, W) in one line (H, T W, 3), those with less than an even share nearer to white."""
    strength = np.clip(attention * len(attention), _PALEST, 1)[:, None, None, None]
    paler = 255 - strength * (255.0 - frames)
    paler[..., -max(1, frames.shape[-1] // _CELL_PX) :] = 255  # a thin line between two frames
    return np.concatenate(list(paler.transpose(0, 2, 3, 1)), axis=1).round().astype(np.uint8)


def _bounds(figure: Figure, y_px: int, height_px: int) -> tuple[float, float, float, float]:
    """Return left, bottom, width and height, as shares, of a box under which the sixteen cells stand."""
    width, height = figure.get_size_inches() * _DPI
    return _LEFT_PX / width, 1 - (y_px + height_px) / height, 16 * _CELL_PX / width, height_px / height


def _write(figure: Figure, x_px: int, y_px: int, text: str, *, color: str = _SOFT, fontsize: float = 8.5) -> None:
    """Write a line whose middle is `y_px` below the upper edge."""
    width, height = figure.get_size_inches() * _DPI
    plain = text.replace("$", r"\$")
    figure.text(x_px / width, 1 - y_px / height, plain, color=color, fontsize=fontsize, va="center")
