"""Draw faces into a frame: box, landmarks, a label, shares as bars. OpenCV draws only ASCII letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dfer_data.types import Floats, Image

Colour = tuple[int, int, int]

# Okabe and Ito's eight colours without black: colour-blind people can tell them apart.
_COLOURS: tuple[Colour, ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _PAPER = (250, 250, 250), (20, 20, 20)
_MIN_SCALE = 0.4


@dataclass(frozen=True, eq=False)
class Mark:
    """One face to be drawn in one frame."""

    box: Floats
    """(4,) float32 pixels: left, top, right, bottom."""
    landmarks: Floats
    """(5, 2) float32 pixels."""
    colour: Colour
    """RGB."""
    label: str = ""
    """Text above the box."""
    is_strong: bool = True
    """Whether to draw thick lines."""
    is_seen: bool = True
    """Whether it was detected in this frame; if not, only the box's corners and hollow landmarks are drawn."""
    bars: Sequence[tuple[str, float]] = ()
    """Names with shares 0..1, drawn next to the box where there is room."""


def colour_of(number: int) -> Colour:
    """Return the RGB colour of a track or person; colours repeat after seven."""
    return _COLOURS[number % len(_COLOURS)]


def draw_mark(picture: Image, mark: Mark) -> None:
    """Draw a face into (H, W, 3) uint8 RGB."""
    draw_face(
        picture,
        box=mark.box,
        landmarks=mark.landmarks,
        colour=mark.colour,
        label=mark.label,
        is_strong=mark.is_strong,
        is_seen=mark.is_seen,
    )
    if mark.bars:
        _draw_bars(picture, mark)


def draw_face(
    picture: Image,
    *,
    box: Floats,
    landmarks: Floats,
    colour: Colour,
    label: str = "",
    is_strong: bool = True,
    is_seen: bool = True,
) -> None:
    """Draw box (4,) and landmarks (5, 2), both in pixels, with a label, into (H, W, 3) uint8."""
    left, top, right, bottom = np.rint(box).astype(int).tolist()
    line = _line_px(picture) * (2 if is_strong else 1)
    if is_seen:
        cv2.rectangle(picture, (left, top), (right, bottom), colour, line, cv2.LINE_AA)
    else:
        _draw_corners(picture, (left, top, right, bottom), colour, line)
    radius = max(1, round((right - left) / 50))
    for x, y in np.rint(landmarks).astype(int).tolist():
        cv2.circle(picture, (x, y), radius, colour, -1 if is_seen else 1, cv2.LINE_AA)
    if label:
        draw_text(picture, label, at=(left, top - line), colour=colour)


def draw_text(picture: Image, text: str, *, at: tuple[int, int], colour: Colour = _INK) -> None:
    """Draw a line of text on a dark background, its lower left corner at (x, y), moved to stay inside the picture."""
    scale = _text_scale(picture)
    text = text.encode("ascii", "replace").decode("ascii")
    (width, height), baseline = cv2.getTextSize(text, _FONT, scale, 1)
    x = max(0, min(at[0], picture.shape[1] - width - 4))
    y = max(height + baseline + 2, min(at[1], picture.shape[0] - 1))
    cv2.rectangle(picture, (x, y - height - baseline - 2), (x + width + 4, y), _PAPER, -1)
    cv2.putText(picture, text, (x + 2, y - baseline), _FONT, scale, colour, 1, cv2.LINE_AA)


def _draw_corners(picture: Image, box: tuple[int, int, int, int], colour: Colour, line: int) -> None:
    left, top, right, bottom = box
    arm = max(2, min(right - left, bottom - top) // 5)
    for x, inward_x in ((left, 1), (right, -1)):
        for y, inward_y in ((top, 1), (bottom, -1)):
            cv2.line(picture, (x, y), (x + inward_x * arm, y), colour, line, cv2.LINE_AA)
            cv2.line(picture, (x, y), (x, y + inward_y * arm), colour, line, cv2.LINE_AA)


def _draw_bars(picture: Image, mark: Mark) -> None:
    """Draw names and shares in a panel on the roomier side of the box; draw nothing where neither side has room."""
    scale = _text_scale(picture)
    names = [name.encode("ascii", "replace").decode("ascii") for name, _ in mark.bars]
    row = round(30 * scale)
    text_px = max(cv2.getTextSize(name, _FONT, scale, 1)[0][0] for name in names)
    bar_px = round(110 * scale)
    width, height = text_px + bar_px + 14, row * len(names) + 6
    room_left, room_right = mark.box[0], picture.shape[1] - mark.box[2]
    if max(room_left, room_right) < width + 12 or picture.shape[0] < height:
        return
    x = round(float(mark.box[2])) + 6 if room_right >= room_left else round(float(mark.box[0])) - width - 6
    y = max(0, min(round(float(mark.box[1])), picture.shape[0] - height))
    panel = picture[y : y + height, x : x + width]
    panel[:] = panel // 3
    for number, (name, (_, share)) in enumerate(zip(names, mark.bars, strict=True)):
        base = 3 + row * (number + 1)
        cv2.putText(panel, name, (4, base - round(9 * scale)), _FONT, scale, _INK, 1, cv2.LINE_AA)
        start = (text_px + 10, base - round(20 * scale))
        end = (text_px + 10 + round(bar_px * min(max(share, 0.0), 1.0)), base - round(7 * scale))
        cv2.rectangle(panel, start, end, mark.colour, -1)


def _line_px(picture: Image) -> int:
    return max(1, round(int(min(picture.shape[:2])) / 480))


def _text_scale(picture: Image) -> float:
    return max(_MIN_SCALE, int(min(picture.shape[:2])) / 1000)
