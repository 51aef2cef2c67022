"""Draw the windows of a person as an image: their frames, and below each its share of the attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfer_data.draw.origin_mark import marked_png
from dfer_data.render.figure import draw_strip, new_figure, png_of
from dfer_data.storage.files import write_atomically
from lstpnet.prediction.video import Person, WindowPrediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_WINDOWS = 8
"""Maximum windows per image; of a person with more, this many are taken, spread from beginning to end."""
FIGURE_WIDTH_PX, HEAD_PX, ROW_PX, FOOT_PX, STRIP_PX = 1320, 44, 140, 40, 28
"""Size of an image: its height is HEAD_PX + ROW_PX per window + FOOT_PX, and STRIP_PX if it has a warning."""
_LEFT_PX, _CELL_PX, _CELLS_PX, _BARS_PX, _DPI = 140, 72, 1152, 40, 110
_MIN_NUMBERED_PX = 28
_MIN_TOP = 2.4  # uniform shares
_MIN_STRENGTH = 0.35
_BAR, _GREY = "#2a6bd0", "#57606a"
_NUMBERS: dict[str, Any] = {
    "textcoords": "offset points",
    "ha": "center",
    "va": "top",
    "fontsize": 7,
    "color": _GREY,
    "annotation_clip": False,
}


def draw_attention(
    person: Person, class_names: Sequence[str], path: Path, *, title: str, warning: str = "", origin: str | None = None
) -> None:
    """Draw the moments of a person that hold their frames and attention as PNG, one below the other.

    Frames with less than a uniform share are paler. All bars have the same scale. `warning` is written in a strip
    at the foot. `origin`: what the image's mark names (origin_mark.py); None: the title.
    """
    moments = [moment for moment in person.moments if moment.frames is not None and moment.attention is not None]
    text_px = HEAD_PX + ROW_PX * len(moments) + FOOT_PX
    height_px = text_px + (STRIP_PX if warning else 0)
    figure = new_figure(FIGURE_WIDTH_PX / _DPI, height_px / _DPI, dpi=_DPI)
    heading = f"{title}, person {person.number}: attention over the frames"
    _write(figure, 12, 22, heading, color="black", fontsize=10)
    shares = [moment.attention for moment in moments if moment.attention is not None]
    top = max(max(_MIN_TOP / len(of_frames), float(of_frames.max())) for of_frames in shares) if shares else 1.0
    for row, moment in enumerate(moments):
        _draw_moment(figure, HEAD_PX + ROW_PX * row, moment, class_names, top=top)
    count_note = (
        f"{len(moments)} of {len(person.moments)} windows, not overlapping. "
        if len(moments) < len(person.moments)
        else ""
    )
    note = "Per cent of the attention, mean over layers, heads and frames; dashed: uniform share. Not an explanation."
    _write(figure, _LEFT_PX, text_px - 18, count_note + note, fontsize=7.5)
    if warning:
        draw_strip(figure, warning, height_share=STRIP_PX / height_px)
    write_atomically(path, marked_png(png_of(figure, dpi=_DPI), title if origin is None else origin))


def _draw_moment(
    figure: Figure, y_px: int, moment: WindowPrediction, class_names: Sequence[str], *, top: float
) -> None:
    """Draw one window whose upper edge is `y_px` below that of the image."""
    assert moment.frames is not None
    assert moment.attention is not None
    best_class = int(moment.probabilities.argmax())
    time_range = f"{moment.start_seconds:.1f} to {moment.end_seconds:.1f} s"
    _write(figure, 12, y_px + 26, time_range, color="black")
    _write(figure, 12, y_px + 46, f"{class_names[best_class][:18]} {100 * moment.probabilities[best_class]:.0f} %")
    num_frames = len(moment.attention)
    cell_px = min(_CELL_PX, _CELLS_PX / num_frames)  # square
    width_px = num_frames * cell_px
    faces = figure.add_axes(_bounds(figure, y_px + _CELL_PX - cell_px, width_px, cell_px))
    faces.imshow(_paled(moment.frames, moment.attention), extent=(0, num_frames, 0, 1), aspect="auto")
    faces.set_axis_off()
    bars = figure.add_axes(_bounds(figure, y_px + _CELL_PX + 4, width_px, _BARS_PX), sharex=faces)
    middles = np.arange(num_frames) + 0.5
    bars.bar(middles, moment.attention, width=0.6, color=_BAR)
    bars.axhline(1 / num_frames, color=_GREY, linewidth=0.8, linestyle=(0, (3, 3)))
    for middle, share in zip(middles, moment.attention if cell_px >= _MIN_NUMBERED_PX else (), strict=False):
        bars.annotate(f"{100 * share:.1f}", (middle, 0), (0, -2), **_NUMBERS)
    bars.set_xlim(0, num_frames)
    bars.set_ylim(0, top)
    bars.set_axis_off()


def _paled(frames: npt.NDArray[np.uint8], attention: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return frames (T, 3, H, W) in one row (H, T W, 3), those with less than a uniform share closer to white."""
    strength = np.clip(attention * len(attention), _MIN_STRENGTH, 1)[:, None, None, None]
    pale_frames = 255 - strength * (255.0 - frames)
    pale_frames[..., -max(1, frames.shape[-1] // _CELL_PX) :] = 255  # a thin white line between frames
    return np.concatenate(list(pale_frames.transpose(0, 2, 3, 1)), axis=1).round().astype(np.uint8)


def _bounds(figure: Figure, y_px: float, width_px: float, height_px: float) -> tuple[float, float, float, float]:
    """Return left, bottom, width and height, as shares of the image, of a box to the right of the texts."""
    width, height = figure.get_size_inches() * _DPI
    return _LEFT_PX / width, 1 - (y_px + height_px) / height, width_px / width, height_px / height


def _write(figure: Figure, x_px: int, y_px: int, text: str, *, color: str = _GREY, fontsize: float = 8.5) -> None:
    """Write a line of text whose middle is `y_px` below the upper edge."""
    width, height = figure.get_size_inches() * _DPI
    escaped = text.replace("$", r"\$")
    figure.text(x_px / width, 1 - y_px / height, escaped, color=color, fontsize=fontsize, va="center")
