"""Pictures of face crops: their format by content, EXIF orientation, transparency, missing end marks."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from dfer_data.errors import VideoError
from dfer_data.types import Image
from dfer_data.video.image_folder import hash_of_pictures, picture_files, read_picture
from tests.dfer_data.tiny import pictures

(PICTURE,) = pictures(1, width_px=64, height_px=48)


def encoded(image: Image, extension: str) -> bytes:
    return bytes(cv2.imencode(extension, np.ascontiguousarray(image[..., (2, 1, 0, 3)[: image.shape[2]]]))[1])


def with_orientation(data: bytes, orientation: int) -> bytes:
    """Add the EXIF orientation to a JPEG or a PNG."""
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    if data.startswith(b"\xff\xd8"):
        exif = b"Exif\0\0" + tiff
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    import zlib

    chunk = b"eXIf" + tiff
    return data[:33] + struct.pack(">I", len(tiff)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def read(tmp_path: Path, name: str, data: bytes) -> tuple[bytes | None, Image]:
    (tmp_path / name).write_bytes(data)
    return read_picture(tmp_path / name, 0)


TURNED: dict[int, Image] = {
    1: PICTURE,
    2: PICTURE[:, ::-1],
    3: PICTURE[::-1, ::-1],
    4: PICTURE[::-1],
    5: np.swapaxes(PICTURE, 0, 1),
    6: np.rot90(PICTURE, -1),
    7: np.swapaxes(PICTURE[::-1, ::-1], 0, 1),
    8: np.rot90(PICTURE, 1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_exif_turns_jpeg_and_png_alike(tmp_path: Path, extension: str, orientation: int) -> None:
    data = with_orientation(encoded(PICTURE, extension), orientation)
    jpeg, image = read(tmp_path, f"1{extension}", data)
    assert image.shape == TURNED[orientation].shape
    assert np.abs(image.astype(int) - TURNED[orientation]).mean() < 2
    assert jpeg == (data if (extension, orientation) == (".jpg", 1) else None)


def test_a_jpeg_keeps_its_bytes(tmp_path: Path) -> None:
    data = simplejpeg.encode_jpeg(PICTURE, quality=90)
    jpeg, image = read(tmp_path, "1.jpg", data)
    assert jpeg == data
    assert np.array_equal(image, simplejpeg.decode_jpeg(data))


@pytest.mark.parametrize("extension", [".png", ".bmp", ".webp", ".tif", ".ppm", ".jp2"])
@pytest.mark.parametrize("name", ["1.jpg", "1.png"])
def test_the_content_decides_about_the_format(tmp_path: Path, extension: str, name: str) -> None:
    jpeg, image = read(tmp_path, name, encoded(PICTURE, extension))
    assert jpeg is None
    assert np.abs(image.astype(int) - PICTURE).mean() < 3


def test_a_jpeg_by_another_name_keeps_its_bytes(tmp_path: Path) -> None:
    data = encoded(PICTURE, ".jpg")
    assert read(tmp_path, "1.png", data)[0] == data


def test_a_missing_end_mark_is_added_and_missing_data_are_a_fault(tmp_path: Path) -> None:
    data = encoded(PICTURE, ".jpg")
    jpeg, image = read(tmp_path, "1.jpg", data[:-2])
    assert jpeg == data
    assert np.array_equal(image, simplejpeg.decode_jpeg(data))
    for content in (data[:-40], b"", b"<html>", b"\xff\xd8\xff", b"\x89PNG and no more"):
        with pytest.raises(VideoError) as caught:
            read(tmp_path, "1.jpg", content)
        assert caught.value.code == "BAD_PICTURE"


@pytest.mark.parametrize("extension", [".png", ".webp", ".tif"])
def test_what_is_below_transparent_pixels_does_not_show(tmp_path: Path, extension: str) -> None:
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:24] = 0
    alpha[24:30] = 128
    _, image = read(tmp_path, f"1{extension}", encoded(np.concatenate([PICTURE, alpha], axis=2), extension))
    assert not image[:24].any()
    assert np.abs(image[25:29].astype(int) - PICTURE[25:29] * (128 / 255)).mean() < 3
    assert np.abs(image[30:].astype(int) - PICTURE[30:]).mean() < 3


def test_transparency_is_turned_with_its_picture(tmp_path: Path) -> None:
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:24] = 0
    data = with_orientation(encoded(np.concatenate([PICTURE, alpha], axis=2), ".png"), 6)
    _, image = read(tmp_path, "1.png", data)
    assert image.shape == (64, 48, 3)
    assert not image[:, 24:].any()
    assert np.array_equal(image[:, :24], TURNED[6][:, :24])


def test_frames_are_all_pictures_of_the_series_in_order(tmp_path: Path) -> None:
    for number, extension in enumerate((".jpg", ".bmp", ".jpe", ".webp", ".tiff", ".png", ".jfif"), start=4):
        kind = ".jpg" if extension in (".jpe", ".jfif") else extension
        (tmp_path / f"f{number}{extension}").write_bytes(encoded(PICTURE, kind))
    for name in ("f4 (1).jpg", "._f4.jpg", "thumb.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    names = [path.name for path in picture_files(tmp_path)]
    assert names == ["f4.jpg", "f5.bmp", "f6.jpe", "f7.webp", "f8.tiff", "f9.png", "f10.jfif"]
    assert hash_of_pictures(tmp_path)[0] == sum((tmp_path / name).stat().st_size for name in names)
    (tmp_path / "f04.jpg").write_bytes(b"x")
    with pytest.raises(VideoError, match=r"have the same numbers \(f04\.jpg and f4\.jpg\)"):
        picture_files(tmp_path)
