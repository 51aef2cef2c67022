"""Draw faces into a frame: box, landmarks, a label, shares as bars.

Labels and bars never cover a face or each other, so that crowds stay readable.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dfer_data.draw.letters import drawable
from dfer_data.types import Floats, Image

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""

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
_INK, _PAPER, _WARNING = (250, 250, 250), (20, 20, 20), (255, 200, 60)
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
    """Text above the box, or below it where another face is above."""
    short_label: str = ""
    """Text in the corner of the box where `label` has no room."""
    is_strong: bool = True
    """Whether to draw thick lines."""
    is_seen: bool = True
    """Whether it was detected in this frame; if not, only the box's corners and hollow landmarks are drawn."""
    bars: Sequence[tuple[str, float]] = ()
    """Names with shares 0..1, drawn next to the box where there is room that no face or label needs."""


def colour_of(number: int) -> Colour:
    """Return the RGB colour of a track or person; colours repeat after seven."""
    return _COLOURS[number % len(_COLOURS)]


def draw_marks(picture: Image, marks: Sequence[Mark]) -> None:
    """Draw the faces of a frame into (H, W, 3) uint8 RGB, strong ones above the others."""
    for mark in sorted(marks, key=lambda mark: mark.is_strong):
        draw_face(
            picture,
            box=mark.box,
            landmarks=mark.landmarks,
            colour=mark.colour,
            is_strong=mark.is_strong,
            is_seen=mark.is_seen,
        )
    faces = [_whole_px(mark.box) for mark in marks]
    taken = list(faces)
    order = sorted(range(len(marks)), key=lambda i: not marks[i].is_strong)
    for i in order:
        if marks[i].label:
            taken.append(_draw_label(picture, marks[i], taken))
    for i in order:
        if marks[i].bars:
            taken += _draw_bars(picture, marks[i], taken)


def draw_face(
    picture: Image,
    *,
    box: Floats,
    landmarks: Floats,
    colour: Colour,
    is_strong: bool = True,
    is_seen: bool = True,
) -> None:
    """Draw box (4,) and landmarks (5, 2), both in pixels, into (H, W, 3) uint8."""
    left, top, right, bottom = _whole_px(box)
    line = _line_px(picture) * (2 if is_strong else 1)
    if is_seen:
        cv2.rectangle(picture, (left, top), (right, bottom), colour, line, cv2.LINE_AA)
    else:
        _draw_corners(picture, (left, top, right, bottom), colour, line)
    radius = max(1, round((right - left) / 50))
    for x, y in np.rint(landmarks).astype(int).tolist():
        cv2.circle(picture, (x, y), radius, colour, -1 if is_seen else 1, cv2.LINE_AA)


def draw_text(picture: Image, text: str, *, at: tuple[int, int], colour: Colour = _INK) -> None:
    """Draw a line of text on a dark background, its lower left corner at (x, y), moved to stay inside the picture."""
    text = drawable(text)
    left, top, right, bottom = _text_rectangle(picture, text, at=at)
    scale = _text_scale(picture)
    baseline = cv2.getTextSize(text, _FONT, scale, 1)[1]
    cv2.rectangle(picture, (left, top), (right, bottom), _PAPER, -1)
    cv2.putText(picture, text, (left + 2, bottom - baseline), _FONT, scale, colour, 1, cv2.LINE_AA)


def with_strip(picture: Image, text: str) -> Image:
    """Return the picture below a strip with a warning, which is wrapped to the picture's width."""
    scale, text = _text_scale(picture), drawable(text)
    letter_px = cv2.getTextSize(text, _FONT, scale, 1)[0][0] / len(text)
    lines = textwrap.wrap(text, max(1, int((picture.shape[1] - 8) / letter_px)))
    row = round(36 * scale)
    strip = np.full((row * len(lines) + 4, picture.shape[1], 3), _WARNING, np.uint8)
    for number, line in enumerate(lines, start=1):
        cv2.putText(strip, line, (4, row * number - round(9 * scale)), _FONT, scale, _PAPER, 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])


def _text_rectangle(picture: Image, text: str, *, at: tuple[int, int]) -> Rectangle:
    """Return what a line of text covers, its lower left corner at (x, y), moved to stay inside the picture."""
    (width, height), baseline = cv2.getTextSize(text, _FONT, _text_scale(picture), 1)
    x = max(0, min(at[0], picture.shape[1] - width - 4))
    y = max(height + baseline + 2, min(at[1], picture.shape[0] - 1))
    return x, y - height - baseline - 2, x + width + 4, y


def _draw_label(picture: Image, mark: Mark, taken: Sequence[Rectangle]) -> Rectangle:
    """Write the label above or below the box, else the short label in the box's corner; return what it covers."""
    left, top, right, bottom = _whole_px(mark.box)
    line = _line_px(picture)
    text = drawable(mark.label)
    _, text_top, text_right, text_bottom = _text_rectangle(picture, text, at=(0, 0))
    for at in (
        (left, top - line),
        (left, bottom + line + text_bottom - text_top + 1),
        (right - text_right, top - line),
        (right - text_right, bottom + line + text_bottom - text_top + 1),
    ):
        covered = _text_rectangle(picture, text, at=at)
        if not _touches(covered, taken):
            draw_text(picture, text, at=at, colour=mark.colour)
            return covered
    text = drawable(mark.short_label or mark.label)
    at = (left, top + text_bottom - text_top)
    draw_text(picture, text, at=at, colour=mark.colour)
    return _text_rectangle(picture, text, at=at)


def _touches(rectangle: Rectangle, others: Sequence[Rectangle]) -> bool:
    left, top, right, bottom = rectangle
    return any(left < x1 and x0 < right and top < y1 and y0 < bottom for x0, y0, x1, y1 in others)


def _whole_px(box: Floats) -> Rectangle:
    left, top, right, bottom = np.rint(box).astype(int).tolist()
    return left, top, right, bottom


def _draw_corners(picture: Image, box: Rectangle, colour: Colour, line: int) -> None:
    left, top, right, bottom = box
    arm = max(2, min(right - left, bottom - top) // 5)
    for x, inward_x in ((left, 1), (right, -1)):
        for y, inward_y in ((top, 1), (bottom, -1)):
            cv2.line(picture, (x, y), (x + inward_x * arm, y), colour, line, cv2.LINE_AA)
            cv2.line(picture, (x, y), (x, y + inward_y * arm), colour, line, cv2.LINE_AA)


def _draw_bars(picture: Image, mark: Mark, taken: Sequence[Rectangle]) -> list[Rectangle]:
    """Draw names and shares in a panel next to the box, the roomier side first; return what it covers.

    Where neither side is free, nothing is drawn.
    """
    scale = _text_scale(picture)
    names = [drawable(name) for name, _ in mark.bars]
    row = round(30 * scale)
    text_px = max(cv2.getTextSize(name, _FONT, scale, 1)[0][0] for name in names)
    bar_px = round(110 * scale)
    width, height = text_px + bar_px + 14, row * len(names) + 6
    left, top, right, _ = _whole_px(mark.box)
    y = max(0, min(top, picture.shape[0] - height))
    sides = [right + 6, left - width - 6]
    free = [
        x
        for x in (sides if picture.shape[1] - right >= left else sides[::-1])
        if x >= 6 and x + width + 6 <= picture.shape[1] and not _touches((x, y, x + width, y + height), taken)
    ]
    if not free or picture.shape[0] < height:
        return []
    x = free[0]
    panel = picture[y : y + height, x : x + width]
    panel[:] = panel // 3
    for number, (name, (_, share)) in enumerate(zip(names, mark.bars, strict=True)):
        base = 3 + row * (number + 1)
        cv2.putText(panel, name, (4, base - round(9 * scale)), _FONT, scale, _INK, 1, cv2.LINE_AA)
        start = (text_px + 10, base - round(20 * scale))
        end = (text_px + 10 + round(bar_px * min(max(share, 0.0), 1.0)), base - round(7 * scale))
        cv2.rectangle(panel, start, end, mark.colour, -1)
    return [(x, y, x + width, y + height)]


def _line_px(picture: Image) -> int:
    return max(1, round(int(min(picture.shape[:2])) / 480))


def _text_scale(picture: Image) -> float:
    return max(_MIN_SCALE, int(min(picture.shape[:2])) / 1000)
