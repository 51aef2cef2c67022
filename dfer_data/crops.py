"""Face crops that a dataset ships: taken as they are, byte for byte, in the order of their frames."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import simplejpeg

from dfer_data.align import resized
from dfer_data.config import PrepareConfig
from dfer_data.errors import VideoError
from dfer_data.faces import Face, encoder
from dfer_data.pipeline import Clip, ClipFacts
from dfer_data.sources.base import SourceVideo
from dfer_data.spool import FrameRecord

_NAN_BOX = np.full(4, np.nan, np.float32)
_NAN_LANDMARKS = np.full((5, 2), np.nan, np.float32)


def clip_of_crops(folder: Path, video: SourceVideo, *, config: PrepareConfig) -> Clip:
    """Return the clip of a folder of face crops that the dataset ships, their JPEG bytes untouched.

    With `store` clips16 they are decoded and resized.

    Raises VideoError: MISSING_VIDEO, NO_FRAMES or BAD_PICTURE.
    """
    paths = crop_files(folder)
    if not paths:
        raise VideoError("NO_FRAMES", f"{folder.name} holds no JPEG", hint="unzip it again")
    faces, shapes = zip(*(_shipped(path, index, config=config) for index, path in enumerate(paths)), strict=True)
    (height, width), number = shapes[0], len(faces)
    facts = ClipFacts(video.clip_id, number, 0.0, 0.0, width, height, number, None, None, 0, 1, 0, 0.0, False, "")
    return Clip(facts, iter(faces))


def crop_files(folder: Path) -> list[Path]:
    """Return the JPEG files of a folder of crops in the order of their frames."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg")), key=_last_number)


def _last_number(path: Path) -> tuple[int, str]:
    """Sort key of a frame file: its last number, since names like 1.jpg, 10.jpg, 2.jpg sort wrongly as text."""
    numbers = re.findall(r"\d+", path.stem)
    return (int(numbers[-1]) if numbers else -1, path.name)


def _shipped(path: Path, index: int, *, config: PrepareConfig) -> tuple[Face, tuple[int, int]]:
    """Return a crop and its height and width."""
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):
        raise VideoError(
            "BAD_PICTURE", f"{path.name} is a link out of its folder", frame=index, hint="copy the file there"
        )
    try:
        jpeg = path.read_bytes()
        image = np.asarray(simplejpeg.decode_jpeg(jpeg), np.uint8)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is not a JPEG: {error}"
        raise VideoError("BAD_PICTURE", f"{path.name} {reason}", frame=index, hint="unzip it again") from error
    payload = jpeg if config.store == "frames" else encoder(config)(resized(image, size_px=config.size_px))
    record = FrameRecord(index, np.nan, _NAN_BOX, _NAN_LANDMARKS, np.nan, 0)
    return Face(payload, record), (image.shape[0], image.shape[1])
