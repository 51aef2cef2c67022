"""Parts of large pictures have the very values that they have in the whole picture."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream

from dfer_data.types import Frame, Image
from dfer_data.video import planar
from dfer_data.video.planar import PartConverter, PlanarPicture, is_planar, planes_of, rgb_of
from dfer_data.video.reader import open_video
from tests.dfer_data.tiny import write_video

WIDTH, HEIGHT = 1600, 900
_TAGS: Mapping[str, tuple[int, int, str]] = {
    "unknown": (2, 0, "chromaloc=0"),
    "BT.601": (6, 1, "chromaloc=0"),
    "BT.709, chroma at the top": (1, 1, "chromaloc=2"),
    "BT.2020": (9, 1, "chromaloc=2"),
    "PQ": (9, 1, "colorprim=bt2020:transfer=smpte2084"),
}


def noise(num_frames: int = 2, *, width: int = WIDTH, height: int = HEIGHT) -> list[Image]:
    """Coarse coloured noise, other in each frame."""
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (height // 5, width // 5, 3), np.uint8) for _ in range(num_frames)]
    return [
        np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8) for image in coarse
    ]


def write_tagged(path: Path, tags: str) -> Path:
    colour_space, colour_range, parameters = _TAGS[tags]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.options = {"crf": "10", "preset": "ultrafast", "x264-params": parameters}
        stream.codec_context.colorspace, stream.codec_context.color_range = colour_space, colour_range
        for pts, image in enumerate(noise()):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            frame.colorspace, frame.color_range = colour_space, colour_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def frames(path: Path, *, is_lazy: bool) -> list[Frame]:
    with open_video(path, is_lazy=is_lazy) as reader:
        return list(reader.frames())


@pytest.mark.parametrize("tags", _TAGS)
def test_parts_and_samples_are_those_of_the_whole_picture(tmp_path: Path, tags: str) -> None:
    path = write_tagged(tmp_path / "a.mkv", tags)
    rng = np.random.default_rng(1)
    for lazy, eager in zip(frames(path, is_lazy=True), frames(path, is_lazy=False), strict=True):
        assert isinstance(lazy.picture, PlanarPicture)
        assert isinstance(eager.picture, np.ndarray)
        assert (lazy.size, lazy.num_bytes) == (eager.image.shape[:2], eager.image.nbytes)
        for _ in range(8):
            left, right = sorted(rng.choice(WIDTH + 1, 2, replace=False).tolist())
            top, bottom = sorted(rng.choice(HEIGHT + 1, 2, replace=False).tolist())
            part = lazy.picture.part(left, top, right, bottom)
            np.testing.assert_array_equal(part, eager.image[top:bottom, left:right])
        for steps in ((10, 10), (15, 7), (1, 64), (700, 1)):
            np.testing.assert_array_equal(lazy.sampled(*steps), eager.sampled(*steps))
        np.testing.assert_array_equal(lazy.image, eager.image)
        assert lazy.image is lazy.image, "it is converted once"
        np.testing.assert_array_equal(lazy.picture.part(3, 5, 70, 90), eager.image[5:90, 3:70])
        np.testing.assert_array_equal(lazy.sampled(15, 7), eager.image[::15, ::7])


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size", "sample_aspect_ratio"),
    [
        ("ffv1", "yuv444p", (WIDTH, HEIGHT), None),
        ("ffv1", "yuv420p10le", (WIDTH, HEIGHT), None),
        ("mjpeg", "yuvj420p", (WIDTH, HEIGHT), None),
        ("ffv1", "yuv420p", (WIDTH, HEIGHT + 1), None),
        ("ffv1", "yuv420p", (640, 360), None),
        ("libx264", "yuv420p", (WIDTH, HEIGHT), Fraction(4, 3)),
    ],
)
def test_all_other_pictures_are_converted_at_once(
    tmp_path: Path, codec: str, pix_fmt: str, size: tuple[int, int], sample_aspect_ratio: Fraction | None
) -> None:
    images = noise(1, width=size[0], height=size[1])
    path = write_video(
        tmp_path / "a.mkv", images, codec=codec, pix_fmt=pix_fmt, sample_aspect_ratio=sample_aspect_ratio
    )
    (lazy,), (eager,) = frames(path, is_lazy=True), frames(path, is_lazy=False)
    assert isinstance(lazy.picture, np.ndarray)
    np.testing.assert_array_equal(lazy.image, eager.image)


def test_turned_pictures_are_converted_at_once(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise(1))
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    data[start : start + 20] = np.array([0, 1 << 16, 0, -1 << 16, 0], ">i4").tobytes()
    path.write_bytes(data)
    (lazy,), (eager,) = frames(path, is_lazy=True), frames(path, is_lazy=False)
    assert lazy.image.shape == (WIDTH, HEIGHT, 3)
    assert isinstance(lazy.picture, np.ndarray)
    np.testing.assert_array_equal(lazy.image, eager.image)


def picture_of_noise() -> av.VideoFrame:
    picture = av.VideoFrame(WIDTH, HEIGHT, format="yuv420p")
    rng = np.random.default_rng(2)
    for plane in planes_of(picture):
        plane[:] = rng.integers(0, 256, plane.shape)
    return picture


def test_interlaced_pictures_are_converted_at_once() -> None:
    class Interlaced:
        interlaced_frame = True

        def __getattr__(self, name: str) -> object:
            return getattr(picture, name)

    picture = picture_of_noise()
    assert is_planar(picture)
    assert not is_planar(Interlaced())  # type: ignore[arg-type]


def test_parts_are_not_used_where_ffmpeg_mixes_neighbouring_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def smoothed(self: PartConverter, planes: list[Image], colours: tuple[int, int, int, int]) -> Image:
        smooth = [planes[0], *(np.asarray(cv2.blur(np.ascontiguousarray(one), (2, 2)), np.uint8) for one in planes[1:])]
        return converted(self, smooth, colours)

    converted = PartConverter.converted
    picture = picture_of_noise()
    assert is_planar(picture)
    planar._converts_pixel_by_pixel.cache_clear()
    monkeypatch.setattr(PartConverter, "converted", smoothed)
    try:
        assert not is_planar(picture)
    finally:
        planar._converts_pixel_by_pixel.cache_clear()


def test_one_thread_gives_the_values_of_many() -> None:
    picture = picture_of_noise()
    np.testing.assert_array_equal(rgb_of(picture), picture.to_ndarray(format="rgb24"))
