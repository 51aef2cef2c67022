from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.stream import VideoStream

from dfer_data.types import Image
from tests.dfer_data.tiny import decoded, pictures, write_video

WIDTH, HEIGHT = 96, 64


def decode(path: Path) -> list[Image]:
    return [frame.image for frame in decoded(path)]


def with_matrix(path: Path, matrix: tuple[float, float, float, float]) -> Path:
    """Write a display matrix into the track header of an MP4, as telephones do."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    a, b, c, d = (round(value * 65536) for value in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    target = path.with_name("turned.mp4")
    target.write_bytes(data)
    return target


def shown(image: Image, matrix: tuple[float, float, float, float]) -> Image:
    """Place each pixel where the matrix puts it."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    a, b, c, d = (int(np.sign(round(value, 1))) for value in matrix)
    new_x, new_y = a * x + c * y, b * x + d * y
    new_x, new_y = new_x - new_x.min(), new_y - new_y.min()
    result = np.zeros((new_y.max() + 1, new_x.max() + 1, 3), np.uint8)
    result[new_y, new_x] = image
    return result


MATRICES: dict[str, tuple[float, float, float, float]] = {
    "as stored": (1, 0, 0, 1),
    "90 clockwise": (0, 1, -1, 0),
    "180": (-1, 0, 0, -1),
    "90 counterclockwise": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down in a mirror": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transposed along the other diagonal": (0, -1, -1, 0),
    "mirrored and almost straight": (-0.9999, 0.01, 0.01, 0.9999),
    "almost 90 clockwise": (0.01, 0.9999, -0.9999, 0.01),
}


@pytest.mark.parametrize("kind", MATRICES)
def test_the_display_matrix_is_applied_with_its_mirror(tmp_path: Path, kind: str) -> None:
    plain = write_video(tmp_path / "plain.mp4", pictures(3, width_px=WIDTH, height_px=HEIGHT))
    stored = decode(plain)
    for upright, image in zip(decode(with_matrix(plain, MATRICES[kind])), stored, strict=True):
        np.testing.assert_array_equal(upright, shown(image, MATRICES[kind]))
        assert upright.flags.c_contiguous


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
@pytest.mark.parametrize(
    ("orientation", "matrix"),
    [("rotate=90", (0, -1, 1, 0)), ("rotate=90:flip=vertical", (0, -1, -1, 0)), ("flip=horizontal", (-1, 0, 0, 1))],
)
def test_an_orientation_in_the_first_frame_holds_for_all(
    tmp_path: Path, name: str, orientation: str, matrix: tuple[float, float, float, float]
) -> None:
    """H.264 may carry its orientation in a message before the first frame alone."""
    plain = write_video(
        tmp_path / "plain.mkv", pictures(6, width_px=WIDTH, height_px=HEIGHT), codec="libx264", options={}
    )
    path = tmp_path / name
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        messages = BitStreamFilterContext(f"h264_metadata=display_orientation=insert:{orientation}", stream, copy)
        for packet in source.demux(stream):
            for changed in messages.filter(packet if packet.size else None):
                changed.stream = copy
                target.mux(changed)
    stored, upright = decode(plain), decode(path)
    assert len(upright) == len(stored) == 6
    with av.open(str(path)) as container:
        orientations = [frame.rotation for frame in container.decode(video=0)]
    assert not any(orientations[1:])  # the message is in the first frame alone
    for image, one in zip(stored, upright, strict=True):
        np.testing.assert_array_equal(one, shown(image, matrix))


def write_parts(path: Path, parts: list[tuple[list[Image], Fraction]]) -> Path:
    """Write an MPEG-TS whose parts differ in size or aspect ratio, each coded by itself."""
    data = b""
    for number, (images, sar) in enumerate(parts):
        part = path.with_name(f"part{number}.ts")
        with av.open(str(part), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            assert isinstance(stream, VideoStream)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.sample_aspect_ratio = sar
            stream.codec_context.time_base = Fraction(1, 25)
            stream.codec_context.bit_rate = 4_000_000
            stream.codec_context.thread_count = 1
            for index, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index + 50 * number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        data += part.read_bytes()
    path.write_bytes(data)
    return path


def resized(images: list[Image], width: int, height: int) -> list[Image]:
    return [np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8) for image in images]


CHANGES: dict[str, tuple[tuple[int, int, Fraction], tuple[int, int, Fraction]]] = {
    "half the size": ((128, 96, Fraction(1)), (64, 48, Fraction(1))),
    "twice the size": ((64, 48, Fraction(1)), (128, 96, Fraction(1))),
    "wide pixels from the middle on": ((128, 96, Fraction(1)), (64, 96, Fraction(2))),
    "the same size with other pixels": ((96, 96, Fraction(4, 3)), (96, 96, Fraction(16, 9))),
    "square pixels from the middle on": ((64, 96, Fraction(2)), (128, 96, Fraction(1))),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_pictures_keep_size_and_shape_where_the_stream_changes(tmp_path: Path, kind: str) -> None:
    (first_width, first_height, first_sar), (width, height, sar) = CHANGES[kind]
    square = pictures(12, width_px=round(first_width * first_sar), height_px=first_height)
    others = pictures(24, width_px=round(width * sar), height_px=height)[12:]
    path = write_parts(
        tmp_path / "a.ts",
        [
            (resized(square, first_width, first_height), first_sar),
            (resized(others, width, height), sar),
        ],
    )
    images = decode(path)
    assert {image.shape for image in images} == {square[0].shape}
    assert len(images) == 24
    full_height, full_width = square[0].shape[:2]
    scale = min(full_width / (width * sar), full_height / height)
    inner = resized(others, round(width * sar * scale), round(height * scale))
    above, left = (full_height - inner[0].shape[0]) // 2, (full_width - inner[0].shape[1]) // 2
    for image, wanted in zip(images, [*square, *inner], strict=True):
        top, start = (above, left) if wanted is not square[0] and wanted.shape != image.shape else (0, 0)
        there = image[top : top + wanted.shape[0], start : start + wanted.shape[1]]
        assert np.abs(there.astype(float) - wanted).mean() < 12
