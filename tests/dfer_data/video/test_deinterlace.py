from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_data.types import Frame, Image
from dfer_data.video.reader import open_video
from tests.dfer_data.interlaced import write_interlaced
from tests.dfer_data.tiny import decoded, pictures, write_video


def moving(num_pictures: int) -> list[Image]:
    """A bright bar that moves by six pixels from picture to picture."""
    images = [np.full((96, 128, 3), 60, np.uint8) for _ in range(num_pictures)]
    for index, image in enumerate(images):
        image[16:80, 6 + 6 * index : 30 + 6 * index] = 200
    return images


def combs(frames: list[Frame]) -> float:
    """Mean difference of each row from the mean of its neighbours."""
    rows = np.stack([frame.image for frame in frames]).astype(int)
    return float(np.abs(rows[:, 21:75] - (rows[:, 20:74] + rows[:, 22:76]) // 2).mean())


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "mpeg2video"), ("a.mkv", "libx264"), ("a.avi", "libx264")])
def test_interlaced_frames_lose_their_combs_and_nothing_else(tmp_path: Path, name: str, codec: str) -> None:
    path = write_interlaced(tmp_path / name, moving(16), codec=codec)
    stored, shown = decoded(path, deinterlace=False), decoded(path, deinterlace=True)
    assert len(stored) == len(shown) == 8
    assert combs(stored) > 4
    assert combs(shown) < combs(stored) / 3
    for before, after in zip(stored, shown, strict=True):
        assert (before.index, before.pts_seconds, before.steady_seconds) == (
            after.index,
            after.pts_seconds,
            after.steady_seconds,
        )
        assert before.image.shape == after.image.shape


def test_the_last_frame_before_an_error_is_not_lost(tmp_path: Path) -> None:
    path = write_interlaced(tmp_path / "a.mp4", moving(32), codec="libx264")
    data = bytearray(path.read_bytes())
    data[data.index(b"stsz") + 16 + 4 * 10] = 0x28  # frame 10 is said to be very large
    path.write_bytes(data)
    counts = []
    for deinterlace in (False, True):
        with open_video(path, deinterlace=deinterlace) as reader:
            counts.append(len(list(reader.frames())))
            assert reader.is_partial
    assert counts[0] == counts[1] > 3


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_progressive_frames_stay_as_they_are(tmp_path: Path, codec: str) -> None:
    path = write_video(tmp_path / "a.mkv", pictures(12), codec=codec)
    for before, after in zip(decoded(path, deinterlace=False), decoded(path, deinterlace=True), strict=True):
        np.testing.assert_array_equal(before.image, after.image)


def test_frames_come_in_order_where_interlaced_parts_begin_and_end(tmp_path: Path) -> None:
    """Recordings of television mix both, at different sizes."""
    data = b""
    part = tmp_path / "part.ts"
    for index in range(3):
        if index == 1:
            write_interlaced(part, [image[:, :112] for image in moving(16)], codec="libx264")
        else:
            write_video(part, moving(8), codec="libx264")
        data += part.read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(data)
    stored, shown = decoded(path, deinterlace=False), decoded(path, deinterlace=True)
    assert [frame.index for frame in shown] == [frame.index for frame in stored] == list(range(24))
    for before, after in zip(stored, shown, strict=True):
        difference = np.abs(before.image.astype(int) - after.image).mean()
        assert difference < 12
        assert difference == 0 or 8 <= before.index < 16
