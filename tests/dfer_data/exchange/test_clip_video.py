from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from dfer_data.exchange.clip_video import clip_video
from dfer_data.types import Image
from tests.dfer_data.tiny import pictures, real_pictures


def decoded(content: bytes) -> list[Image]:
    with av.open(io.BytesIO(content), "r") as container:
        assert float(container.streams.video[0].average_rate or 0) == pytest.approx(24.0)
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def psnr_db(picture: Image, other: Image) -> float:
    squared = np.mean(np.square(picture.astype(np.float64) - other))
    return float(10 * np.log10(255**2 / squared))


@pytest.mark.parametrize("kind", ["smooth", "noise", "odd"])
def test_every_frame_is_within_40_db(kind: str) -> None:
    size = {"width_px": 63, "height_px": 61} if kind == "odd" else {}
    images = pictures(5, **size)
    if kind == "noise":  # fine colours, which half the colour resolution cannot hold
        rng = np.random.default_rng(0)
        images = [np.asarray(rng.integers(0, 256, (64, 64, 3)), np.uint8) for _ in images]
    content = clip_video(images, fps=24)
    frames = decoded(content)
    assert len(frames) == len(images)
    assert min(map(psnr_db, images, frames)) >= 40
    assert clip_video(images, fps=24) == content


def test_equal_pictures_give_equal_bytes(real_videos: dict[str, Path]) -> None:
    """In each of many calls: x264 with its macroblock tree gives about every second video other bytes."""
    images = real_pictures(real_videos["single_face.mp4"], stop=12, width_px=240)
    contents = set()
    for _ in range(10):
        contents.add(clip_video(images, fps=24))
        assert len(decoded(next(iter(contents)))) == len(images)  # memory is used again, with other content
    assert len(contents) == 1


def test_pictures_of_other_sizes_are_resized_to_the_first() -> None:
    frames = decoded(clip_video([*pictures(2), *pictures(1, width_px=48, height_px=48)], fps=24))
    assert [frame.shape for frame in frames] == [(96, 96, 3)] * 3
