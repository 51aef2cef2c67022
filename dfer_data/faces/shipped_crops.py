"""Make clips of the face crops that a dataset ships: byte for byte, in frame order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dfer_data.config import PrepareConfig
from dfer_data.errors import VideoError
from dfer_data.faces.aligned_faces import Face, encoder
from dfer_data.faces.clip import Clip, ClipFacts
from dfer_data.sources.base import SourceVideo
from dfer_data.types import FrameRecord
from dfer_data.video.image_folder import picture_files, read_picture
from dfer_data.video.resize import resized

_NAN_BOX = np.full(4, np.nan, np.float32)
_NAN_LANDMARKS = np.full((5, 2), np.nan, np.float32)


def clip_of_crops(folder: Path, video: SourceVideo, *, config: PrepareConfig) -> Clip:
    """Return the clip of a folder of shipped face crops; their JPEG bytes stay unchanged.

    With `store` clips16 the crops are decoded and resized. Files of other formats (MAFW's PNG), and JPEG files that
    EXIF turns, are stored as JPEG, like all other faces.

    Raises VideoError: MISSING_VIDEO, NO_FRAMES or BAD_PICTURE.
    """
    paths = picture_files(folder)
    if not paths:
        raise VideoError("NO_FRAMES", f"{folder.name} holds no picture", hint="unzip it again")
    faces, shapes = zip(*(_shipped_face(path, index, config=config) for index, path in enumerate(paths)), strict=True)
    (height, width), num_frames = shapes[0], len(faces)
    facts = ClipFacts(
        video.clip_id, num_frames, 0.0, 0.0, width, height, num_frames, None, None, 0, 1, 0, 0.0, False, ""
    )
    return Clip(facts, iter(faces))


def _shipped_face(path: Path, index: int, *, config: PrepareConfig) -> tuple[Face, tuple[int, int]]:
    """Return the face of a crop, and the crop's height and width."""
    jpeg, image = read_picture(path, index)
    if config.store == "clips16":
        payload = encoder(config)(resized(image, size_px=config.size_px))
    else:
        payload = jpeg if jpeg is not None else encoder(config)(image)
    record = FrameRecord(index, np.nan, _NAN_BOX, _NAN_LANDMARKS, np.nan, 0)
    return Face(payload, record), (image.shape[0], image.shape[1])
