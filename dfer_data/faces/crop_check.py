"""Do a dataset's pictures look like face crops? A few are looked at before all are taken as they are."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dfer_data.errors import VideoError
from dfer_data.sources.base import SourceListing
from dfer_data.types import Image
from dfer_data.video.image_folder import picture_files, read_picture

_NUM_SAMPLES = 8
_LONG_SIDE_PX = 160
_LEAST_SHARE = 0.35  # of the picture's width; a face in the frame of a film has less
_MOST_ASPECT = 1.5


def crop_notes(root: Path, listing: SourceListing, *, detector: str) -> tuple[str, ...]:
    """Return what a user should know before the crops of a listing are taken, a line each; mostly nothing."""
    notes = []
    if detector != "none":
        notes.append(
            f"{detector} aligns anew what was cropped and scaled before; --detector none keeps the shipped bytes"
        )
    samples, are_png = _samples(root, listing)
    if are_png and detector == "none":
        notes.append("PNG pictures are stored as JPEG of --jpeg-quality; JPEG bytes are kept as they are")
    sizes = sorted({f"{image.shape[1]} x {image.shape[0]}" for image in samples})
    if len(sizes) > 1:
        notes.append(f"pictures have several sizes ({', '.join(sizes)}): are these crops of one kind?")
    num_strange = sum(not _is_face_crop(image) for image in samples)
    if 2 * num_strange > len(samples):
        notes.append(
            f"{num_strange} of {len(samples)} sample pictures do not look like face crops (a face over "
            f"{_LEAST_SHARE:.0%} of the width is expected); whole frames need a detector"
        )
    return tuple(notes)


def _samples(root: Path, listing: SourceListing) -> tuple[list[Image], bool]:
    """Return the middle picture of a few clips spread over the dataset, and whether some are PNG.

    What cannot be read is told later, clip by clip.
    """
    present = [video for video in listing.videos if video.path]
    images, are_png = [], False
    for video in present[:: max(1, -(-len(present) // _NUM_SAMPLES))]:
        paths = picture_files(root / video.path)
        try:
            jpeg, image = read_picture(paths[len(paths) // 2], 0)
        except (VideoError, IndexError):
            continue
        images.append(image)
        are_png |= jpeg is None
    return images, are_png


@cache
def _face_finder() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


def _is_face_crop(image: Image) -> bool:
    height, width = image.shape[:2]
    if not 1 / _MOST_ASPECT <= width / height <= _MOST_ASPECT:
        return False
    scale = _LONG_SIDE_PX / max(height, width)
    small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    margin = _LONG_SIDE_PX // 4  # the detector wants to see around a face, which a tight crop does not show
    wide = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    boxes = _face_finder()(np.ascontiguousarray(wide), 0)
    return any(box.width() >= _LEAST_SHARE * small.shape[1] for box in boxes)
