"""List, read and hash the pictures of a folder of face crops, in frame order."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from dfer_data.errors import VideoError
from dfer_data.types import Image

JPEG_EXTENSIONS = (".jpg", ".jpeg")
PICTURE_EXTENSIONS = (*JPEG_EXTENSIONS, ".png")


def picture_files(folder: Path) -> list[Path]:
    """Return the JPEG and PNG files of a folder of crops in frame order."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in PICTURE_EXTENSIONS), key=_last_number)


def _last_number(path: Path) -> tuple[int, str]:
    """Return a frame file's sort key: its last number, since names like 1.jpg, 10.jpg, 2.jpg sort wrongly as text."""
    numbers = re.findall(r"\d+", path.stem)
    return (int(numbers[-1]) if numbers else -1, path.name)


def read_picture(path: Path, index: int) -> tuple[bytes | None, Image]:
    """Return a picture's JPEG bytes (None for a PNG) and (H, W, 3) uint8 RGB pixels; raise VideoError BAD_PICTURE."""
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):
        raise VideoError(
            "BAD_PICTURE",
            f"{path.name} is a link to a file outside its folder",
            frame=index,
            hint="copy the file into the folder",
        )
    is_jpeg = path.suffix.lower() in JPEG_EXTENSIONS
    try:
        data = path.read_bytes()
        image = np.asarray(simplejpeg.decode_jpeg(data), np.uint8) if is_jpeg else _decoded_png(data)
    except (OSError, ValueError) as error:
        kind = "JPEG" if is_jpeg else "PNG"
        reason = error.strerror if isinstance(error, OSError) else f"is not a {kind}: {error}"
        raise VideoError("BAD_PICTURE", f"{path.name} {reason}", frame=index, hint="unzip it again") from error
    return (data if is_jpeg else None), image


def _decoded_png(data: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data[:4] == b"\x89PNG" else None
    if image is None:
        raise ValueError(f"its {len(data)} bytes cannot be decoded")
    return np.ascontiguousarray(image[..., ::-1])


def hash_of_pictures(folder: Path) -> tuple[int, str]:
    """Return the total bytes of a folder's pictures and the sha256 of their concatenation. Raises OSError."""
    num_bytes, digest = 0, hashlib.sha256()
    for path in picture_files(folder):
        data = path.read_bytes()
        num_bytes += len(data)
        digest.update(data)
    return num_bytes, digest.hexdigest()
