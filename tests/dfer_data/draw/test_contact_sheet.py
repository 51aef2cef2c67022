from __future__ import annotations

import numpy as np
import simplejpeg

from dfer_data.draw.contact_sheet import ContactSheet, thumbnail
from tests.dfer_data.tiny import pictures


def decoded(sheet: ContactSheet) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(simplejpeg.decode_jpeg(sheet.encode()), np.uint8)


def test_a_row_shows_eight_thumbnails() -> None:
    sheet = ContactSheet()
    cells = [thumbnail(np.full((224, 224, 3), 20 * i + 40, np.uint8)) for i in range(8)]
    sheet.add_clip("happy/grin 😀.mp4", cells, note="20 frames")
    sheet.add_failure("sad/junk.mp4", "UNREADABLE")
    picture = decoded(sheet)
    for i, cell in enumerate(cells):
        part = picture[20:76, 150 + 96 * i + 20 : 150 + 96 * i + 76].astype(int)
        assert np.abs(part - int(cell[0, 0, 0])).max() < 4
    assert picture[96:, :150].max() > 100  # the failure's words


def test_an_empty_sheet_and_a_short_row_can_be_encoded() -> None:
    assert decoded(ContactSheet()).size
    sheet = ContactSheet()
    sheet.add_clip("a.mp4", [thumbnail(image) for image in pictures(2)])
    assert decoded(sheet).shape[0] == 96


def test_a_sheet_of_very_many_clips_stays_a_jpeg() -> None:
    """A long video cut into short clips gives more rows than a JPEG can be high."""
    sheet = ContactSheet()
    for number in range(900):
        sheet.add_clip(f"long.mp4#{number:04d}", [])
    picture = decoded(sheet)
    assert 96 * 100 < picture.shape[0] < 65_535
    assert picture[-32:, :150].max() > 100  # how many are left out
