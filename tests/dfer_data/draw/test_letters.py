from __future__ import annotations

import cv2
import numpy as np
import pytest

from dfer_data.draw import letters
from dfer_data.draw.contact_sheet import ContactSheet
from dfer_data.draw.letters import drawable, ending_that_fits

needs_unicode = pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="this OpenCV draws ASCII alone")


@needs_unicode
def test_names_of_any_script_differ_on_a_contact_sheet() -> None:
    sheets = []
    for name in ("高兴/一.mp4", "悲伤/二.mp4", "Ärger/ü.mp4", "Freude/o.mp4", "??/?.mp4"):
        sheet = ContactSheet()
        sheet.add_clip(name, [])
        sheets.append(sheet.encode())
    assert len(set(sheets)) == 5


def test_an_opencv_without_unicode_gets_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "_DRAWS_UNICODE", False)
    assert drawable("Ärger/a.mp4") == "?rger/a.mp4"


@pytest.mark.parametrize("name", ["happy/1.mp4", "W" * 60, "很长的名字" * 12, ""])
def test_an_ending_has_room_and_is_no_shorter_than_needed(name: str) -> None:
    end = ending_that_fits(name, max_letters=22, width_px=144, scale=0.38)
    assert name.endswith(end)
    assert len(end) <= 22

    def width_px(text: str) -> int:
        return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.38, 1)[0][0])

    assert width_px(end) <= 144
    longer = name[-len(end) - 1 :]
    assert len(end) == min(22, len(name)) or width_px(longer) > 144


def test_a_wide_name_ends_before_the_pictures() -> None:
    row = ContactSheet()._blank("W" * 22, "", (230, 230, 230))
    assert np.all(row[:, 150:] == row[-1, -1])
