"""List, read and hash the pictures of a folder of face crops, in frame order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from dfer_data.errors import VideoError
from dfer_data.types import Image
from dfer_data.video.frame_names import frames_of

PICTURE_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2"}
)
UNREAD_EXTENSIONS = frozenset({".avif", ".heic", ".heif", ".jxl", ".tga", ".psd", ".dng", ".exr", ".svg"})
"""Pictures in formats that are not read, so that a note can name them."""
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_PNG_START = b"\x89PNG"


def picture_files(folder: Path) -> list[Path]:
    """Return the frames of a folder of crops in order; VideoError BAD_PICTURE if the names give none."""
    names = (
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_EXTENSIONS and not path.name.startswith(".")
    )
    frames = frames_of(names)
    if frames.fault:
        raise VideoError("BAD_PICTURE", f"{folder.name}: {frames.fault}", hint="move the other pictures elsewhere")
    return [folder / name for name in frames.names]


def read_picture(path: Path, index: int) -> tuple[bytes | None, Image]:
    """Return a picture's JPEG bytes and (H, W, 3) uint8 RGB pixels; raise VideoError BAD_PICTURE.

    The content decides about the format, not the name. A picture with an EXIF orientation is turned upright; the bytes
    are None for it, and for all formats but JPEG. Transparent pixels are blended with black.
    """
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):
        raise VideoError(
            "BAD_PICTURE",
            f"{path.name} is a link to a file outside its folder",
            frame=index,
            hint="copy the file into the folder",
        )
    try:
        data = path.read_bytes()
        return _decoded_jpeg(data) if data.startswith(_JPEG_START) else (None, _decoded(data))
    except (OSError, ValueError, cv2.error) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is not a readable picture: {error}"
        raise VideoError("BAD_PICTURE", f"{path.name} {reason}", frame=index, hint="unzip it again") from error


def _decoded_jpeg(data: bytes) -> tuple[bytes | None, Image]:
    """Return the bytes and pixels of a JPEG; the bytes get the end mark that they lack, None if it has to be turned."""
    try:
        image = simplejpeg.decode_jpeg(data)
    except ValueError:
        if data.endswith(_JPEG_END):
            raise
        data += _JPEG_END
        image = simplejpeg.decode_jpeg(data)
    if b"Exif\0" in data[: 2**16] and (upright := _upright(data)) is not None:
        return None, upright
    return data, np.asarray(image, np.uint8)


def _upright(data: bytes) -> Image | None:
    """Return the pixels of a picture as its EXIF orientation asks; None if that changes nothing."""
    turned, stored = _pixels(data), _pixels(data, cv2.IMREAD_IGNORE_ORIENTATION)
    return None if np.array_equal(turned, stored) else turned


def _decoded(data: bytes) -> Image:
    """Return the pixels of a PNG, BMP, WebP, TIFF...; ValueError if they cannot be decoded."""
    image = _pixels(data)
    may_be_transparent = not data.startswith(_PNG_START) or data[25:26] in (b"\4", b"\6") or b"tRNS" in data[:4096]
    return _without_alpha(image, data) if may_be_transparent else image


def _pixels(data: bytes, *flags: int) -> Image:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), sum(flags, cv2.IMREAD_COLOR)) if data else None
    if image is None:
        raise ValueError(f"its {len(data)} bytes cannot be decoded")
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def _without_alpha(image: Image, data: bytes) -> Image:
    """Return the upright pixels of a picture, blended with black by the alpha in its data, if there is any."""
    raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.ndim != 3 or raw.shape[2] != 4 or raw.dtype not in (np.uint8, np.uint16):
        return image
    stored, alpha = _pixels(data, cv2.IMREAD_IGNORE_ORIENTATION), raw[..., 3:].astype(np.uint32)
    full = 255 if raw.dtype == np.uint8 else 65535
    for turns, step in product(range(4), (1, -1)):  # alpha comes as stored, without the EXIF orientation
        if np.array_equal(np.rot90(stored[:, ::step], turns), image):
            return np.asarray((image * np.rot90(alpha[:, ::step], turns) + full // 2) // full, np.uint8)
    raise ValueError("its orientation and its alpha do not fit together")


def hash_of_pictures(folder: Path, *, on_picture: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Return the total bytes of a folder's frames and the sha256 of their concatenation. Raises OSError.

    `on_picture` is called after each picture, as a sign of progress.
    """
    num_bytes, digest = 0, hashlib.sha256()
    for path in picture_files(folder):
        data = path.read_bytes()
        num_bytes += len(data)
        digest.update(data)
        on_picture()
    return num_bytes, digest.hexdigest()
