"""Face crops that a dataset ships: taken as they are, byte for byte, in the order of their frames."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import simplejpeg

from dfer_data.errors import VideoError
from dfer_data.pipeline import Clip, ClipFacts, Face
from dfer_data.sources.base import SourceVideo
from dfer_data.spool import FrameRecord

_NAN_BOX = np.full(4, np.nan, np.float32)
_NAN_LANDMARKS = np.full((5, 2), np.nan, np.float32)


def clip_of_crops(folder: Path, video: SourceVideo) -> Clip:
    """Return the clip of a folder of face crops that the dataset ships, their JPEG bytes untouched.

    Raises VideoError: MISSING_VIDEO, NO_FRAMES or BAD_PICTURE.
    """
    paths = crop_files(folder)
    if not paths:
        raise VideoError("NO_FRAMES", f"{folder.name} holds no JPEG", hint="unzip it again")
    faces = [_shipped(path, index) for index, path in enumerate(paths)]
    height, width = faces[0].image.shape[:2]
    facts = ClipFacts(video.clip_id, len(faces), 0.0, 0.0, width, height, len(faces), None, None, 0, 1, 0.0, False, "")
    return facts, iter(faces)


def crop_files(folder: Path) -> list[Path]:
    """Return the JPEG files of a folder of crops in the order of their frames."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg")), key=_last_number)


def _last_number(path: Path) -> tuple[int, str]:
    """Sort key of a frame file: its last number, since names like 1.jpg, 10.jpg, 2.jpg sort wrongly as text."""
    numbers = re.findall(r"\d+", path.stem)
    return (int(numbers[-1]) if numbers else -1, path.name)


def _shipped(path: Path, index: int) -> Face:
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):
        raise VideoError(
            "BAD_PICTURE", f"{path.name} is a link out of its folder", frame=index, hint="copy the file there"
        )
    try:
        jpeg = path.read_bytes()
        image = simplejpeg.decode_jpeg(jpeg)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is not a JPEG: {error}"
        raise VideoError("BAD_PICTURE", f"{path.name} {reason}", frame=index, hint="unzip it again") from error
    return Face(jpeg, np.asarray(image, np.uint8), FrameRecord(index, np.nan, _NAN_BOX, _NAN_LANDMARKS, np.nan, 0))
