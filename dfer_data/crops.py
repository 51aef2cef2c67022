"""Face crops that a dataset ships: taken as they are, byte for byte, in the order of their frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dfer_data.errors import VideoError
from dfer_data.pictures import picture_files, read_picture
from dfer_data.pipeline import Clip, ClipFacts, Face
from dfer_data.sources.base import SourceVideo
from dfer_data.spool import FrameRecord

_NAN_BOX = np.full(4, np.nan, np.float32)
_NAN_LANDMARKS = np.full((5, 2), np.nan, np.float32)


def clip_of_crops(folder: Path, video: SourceVideo) -> Clip:
    """Return the clip of a folder of face crops that the dataset ships, their JPEG bytes untouched.

    PNG files (MAFW's) are stored as JPEG, like every other face. Raises VideoError: MISSING_VIDEO, NO_FRAMES or
    BAD_PICTURE.
    """
    paths = picture_files(folder)
    if not paths:
        raise VideoError("NO_FRAMES", f"{folder.name} holds no JPEG", hint="unzip it again")
    faces = [_shipped(path, index) for index, path in enumerate(paths)]
    height, width = faces[0].image.shape[:2]
    facts = ClipFacts(video.clip_id, len(faces), 0.0, 0.0, width, height, len(faces), None, None, 0, 1, 0.0, False, "")
    return facts, iter(faces)


def _shipped(path: Path, index: int) -> Face:
    jpeg, image = read_picture(path, index)
    return Face(jpeg, image, FrameRecord(index, np.nan, _NAN_BOX, _NAN_LANDMARKS, np.nan, 0))
