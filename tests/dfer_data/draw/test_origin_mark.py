from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dfer_data.draw.annotated_video import write_annotated
from dfer_data.draw.origin_mark import marked_png, origin_of

PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
PNG = cv2.imencode(".png", PICTURE)[1].tobytes()


@pytest.mark.parametrize("origin", ["00015", "Happy/Ä \U0001f600.mp4", ""])
def test_a_marked_picture_names_its_origin_and_looks_the_same(origin: str, tmp_path: Path) -> None:
    path = tmp_path / "a.PNG"
    path.write_bytes(marked_png(PNG, origin))
    assert origin_of(path) == origin
    read = cv2.imread(str(path))
    assert read is not None
    assert np.array_equal(read, PICTURE)


@pytest.mark.parametrize("content", [PNG, b"", PNG[:20], b"\x89PNG\r\n\x1a\n" + bytes(40), PNG[:60]])
def test_other_pictures_have_no_origin(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert origin_of(tmp_path / "a.png") is None


def test_an_annotated_video_names_its_origin(tmp_path: Path) -> None:
    source = tmp_path / "frames"
    source.mkdir()
    for number in range(2):
        cv2.imwrite(str(source / f"{number}.png"), np.zeros((32, 32, 3), np.uint8))
    write_annotated(source, tmp_path / "a.mp4", {})
    write_annotated(source, tmp_path / "b.mp4", {}, origin="Happy/ä.mp4#0001")
    assert origin_of(tmp_path / "a.mp4") == str(source)
    assert origin_of(tmp_path / "b.mp4") == "Happy/ä.mp4#0001"


@pytest.mark.parametrize("content", [b"", b"dfer: 00015", bytes(1000)])
def test_other_videos_have_no_origin(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    assert origin_of(tmp_path / "a.mp4") is None
