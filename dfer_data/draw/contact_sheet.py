"""Draw contact sheets: one row per clip with eight of its test frames, to see what was prepared."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import simplejpeg

from dfer_data.draw.letters import drawable, ending_that_fits
from dfer_data.types import Image
from dfer_data.wording import counted

NUM_COLUMNS = 8
THUMBNAIL_PX = 96
"""Side of a cell."""
_LABEL_PX, _SCALE = 150, 0.38
_MAX_ROWS = 200  # one long video has many clips, and a JPEG is at most 65,535 px high
_BACKGROUND, _TEXT, _FAILED = 24, (230, 230, 230), (255, 170, 60)


class ContactSheet:
    """Collects rows of thumbnails; `encode` returns the sheet as JPEG bytes, once."""

    def __init__(self, *, num_columns: int = NUM_COLUMNS, cell_width_px: int = THUMBNAIL_PX) -> None:
        """Start an empty sheet; its cells are as high as a thumbnail."""
        self._num_columns, self._cell_px = num_columns, cell_width_px
        self._rows: list[Image] = []
        self._num_left_out = 0

    def add_clip(self, clip_id: str, pictures: list[Image], *, note: str = "", is_failed: bool = False) -> None:
        """Append a row: the clip's id, a note under it, and as many pictures as there are columns."""
        row = self._blank(clip_id, note, _FAILED if is_failed else _TEXT)
        for column, picture in enumerate(pictures[: self._num_columns]):
            left = _LABEL_PX + column * self._cell_px
            row[:, left : left + self._cell_px] = picture
        self._add(row)

    def add_rivals(self, portraits: Mapping[int, Image]) -> None:
        """Append a row with the other faces that the clip above could be about, by the numbers of their tracks."""
        row = self._blank("", "or", _TEXT)
        for column, (track, picture) in enumerate(list(portraits.items())[:NUM_COLUMNS]):
            left = _LABEL_PX + column * THUMBNAIL_PX
            row[:, left : left + THUMBNAIL_PX] = picture
            row[-18:, left : left + THUMBNAIL_PX] //= 3
            place = (left + 4, THUMBNAIL_PX - 5)
            cv2.putText(row, f"track {track}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _TEXT, 1, cv2.LINE_AA)
        self._add(row)

    def add_failure(self, clip_id: str, code: str) -> None:
        """Append a row without pictures that shows the code of a failure."""
        self._add(self._blank(clip_id, code, _FAILED)[: THUMBNAIL_PX // 3])

    def encode(self) -> bytes:
        """Return the sheet as a JPEG."""
        if self._num_left_out:
            self._rows.append(self._blank("", counted(self._num_left_out, "more clip"), _TEXT)[: THUMBNAIL_PX // 3])
        rows, self._rows = self._rows[::-1] or [np.full((8, _LABEL_PX, 3), _BACKGROUND, np.uint8)], []
        sheet = np.empty((sum(map(len, rows)), *rows[0].shape[1:]), np.uint8)
        top = 0
        while rows:  # release each row once it is on the sheet: a long video has many
            row = rows.pop()
            sheet[top : top + len(row)] = row
            top += len(row)
        return bytes(simplejpeg.encode_jpeg(sheet, quality=85))

    def _add(self, row: Image) -> None:
        if len(self._rows) < _MAX_ROWS:
            self._rows.append(row)
        else:
            self._num_left_out += 1

    def _blank(self, clip_id: str, note: str, colour: tuple[int, int, int]) -> Image:
        width = _LABEL_PX + self._num_columns * self._cell_px
        row = np.full((THUMBNAIL_PX, width, 3), _BACKGROUND, np.uint8)
        name = ending_that_fits(drawable(clip_id), max_letters=22, width_px=_LABEL_PX - 6, scale=_SCALE)
        for line, text in enumerate((name, drawable(note))):
            cv2.putText(row, text, (4, 13 + 14 * line), cv2.FONT_HERSHEY_SIMPLEX, _SCALE, colour, 1, cv2.LINE_AA)
        return row


def letterboxed(image: Image, *, width_px: int, height_px: int = THUMBNAIL_PX) -> Image:
    """Return a whole frame as a (height, width, 3) uint8 cell, with bars where its aspect ratio differs."""
    scale = min(width_px / image.shape[1], height_px / image.shape[0])
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    cell = np.full((height_px, width_px, 3), _BACKGROUND, np.uint8)
    top, left = (height_px - height) // 2, (width_px - width) // 2
    cell[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return cell


def thumbnail(image: Image) -> Image:
    """Return a face as the (96, 96, 3) uint8 cell of a sheet."""
    return np.asarray(cv2.resize(image, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA), np.uint8)


def evenly_spaced(num: int, most: int) -> list[int]:
    """Return at most `most` evenly spaced indices below `num`."""
    indices = np.unique(np.linspace(0, num - 1, min(num, most)).round().astype(int))
    return [int(index) for index in indices]
