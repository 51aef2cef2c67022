"""Which letters OpenCV draws, and how much of a text has room."""

from __future__ import annotations

import cv2

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DRAWS_UNICODE = int(cv2.__version__.split(".")[0]) >= 5  # its own fonts: Latin, Greek, Cyrillic, Arabic, CJK...


def drawable(text: str) -> str:
    """Return the text as this OpenCV draws it: before version 5, `?` for each letter beyond ASCII."""
    return text if _DRAWS_UNICODE else text.encode("ascii", "replace").decode("ascii")


def ending_that_fits(text: str, *, max_letters: int, width_px: int, scale: float) -> str:
    """Return the end of a text that is as long as there is room for it, at a scale of OpenCV's plain font."""
    end = text[-max_letters:]
    while len(end) > 1 and cv2.getTextSize(end, _FONT, scale, 1)[0][0] > width_px:
        end = end[1:]
    return end
