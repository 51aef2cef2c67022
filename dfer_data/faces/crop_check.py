"""Check a sample of a dataset's pictures for face crops before all of them are stored as they are."""

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
from dfer_data.wording import counted

_NUM_SAMPLES = 8
_LONG_SIDE_PX = 160
_MIN_FACE_SHARE = 0.35  # of the picture's width; a face in a film frame has less
_MAX_ASPECT = 1.5


def crop_notes(root: Path, listing: SourceListing, *, detector: str) -> tuple[str, ...]:
    """Return warnings about the crops of a listing, one line per warning; usually none."""
    notes = []
    if detector != "none":
        notes.append(
            f"{detector} realigns pictures that are already cropped and scaled; --detector none keeps the shipped bytes"
        )
    samples, are_encoded = _samples(root, listing)
    if are_encoded and detector == "none":
        notes.append(
            "pictures in other formats than JPEG, or turned by EXIF, are stored as JPEG with --jpeg-quality; the bytes "
            "of others are kept as they are"
        )
    sizes = sorted({f"{image.shape[1]} x {image.shape[0]}" for image in samples})
    if len(sizes) > 1:
        notes.append(f"pictures have several sizes ({', '.join(sizes)}); check that they are crops of one kind")
    num_not_crops = sum(not _is_face_crop(image) for image in samples)
    if 2 * num_not_crops > len(samples):
        notes.append(
            f"{num_not_crops} of {counted(len(samples), 'sample picture')} unlike face crops (expected: a face over "
            f"{_MIN_FACE_SHARE:.0%} of the width); whole frames need a detector"
        )
    return tuple(notes)


def _samples(root: Path, listing: SourceListing) -> tuple[list[Image], bool]:
    """Return the middle picture of a few clips spread over the dataset, and whether any has no JPEG bytes to keep.

    Unreadable pictures are skipped; they are reported later, clip by clip.
    """
    videos = [video for video in listing.videos if video.path]
    images, are_encoded = [], False
    for video in videos[:: max(1, -(-len(videos) // _NUM_SAMPLES))]:
        try:
            paths = picture_files(root / video.path)
            jpeg, image = read_picture(paths[len(paths) // 2], 0)
        except (VideoError, IndexError):
            continue
        images.append(image)
        are_encoded |= jpeg is None
    return images, are_encoded


@cache
def _face_finder() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


def _is_face_crop(image: Image) -> bool:
    height, width = image.shape[:2]
    if not 1 / _MAX_ASPECT <= width / height <= _MAX_ASPECT:
        return False
    scale = _LONG_SIDE_PX / max(height, width)
    small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    margin = _LONG_SIDE_PX // 4  # the detector needs the surroundings of a face, which a tight crop lacks
    padded = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    boxes = _face_finder()(np.ascontiguousarray(padded), 0)
    return any(box.width() >= _MIN_FACE_SHARE * small.shape[1] for box in boxes)
