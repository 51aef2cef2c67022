"""Drawn faces that move, and copies of them: a source of shipped crops with planted duplicates."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from dfer_data.auditing.frame_hashes import StoredFilm
from dfer_data.types import Image
from tests.dfer_data.crop_source import CropSource

SIDE_PX, NUM_FRAMES = 64, 26


def film(person: int, take: int, *, num_frames: int = NUM_FRAMES) -> list[Image]:
    """Return frames of a face of soft spots; a person has the same spots in all takes, each take its own motion."""
    spots = np.random.default_rng(person).uniform(0.15, 0.85, (9, 2)) * SIDE_PX
    shades = np.random.default_rng((person, 1)).uniform(-90, 90, 9)
    rng = np.random.default_rng((person, take, 2))
    motion = np.cumsum(cv2.GaussianBlur(rng.normal(0, 2.5, (num_frames, 18)), (0, 0), 1.0), axis=0)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    frames = []
    for shift in motion.reshape(num_frames, 9, 2):
        face = np.full((SIDE_PX, SIDE_PX), 120.0)
        for (row, column), shade in zip(spots + shift, shades, strict=True):
            face += shade * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 90)
        frames.append(np.repeat(np.clip(face, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return frames


def film_of_hashes(hashes: npt.NDArray[np.float64], *, rate: float) -> StoredFilm:
    """Return a film with these hashes (T, 63), made up."""
    unit = hashes / np.linalg.norm(hashes, axis=1, keepdims=True)
    return StoredFilm(np.rint(8192 * np.concatenate([unit, np.eye(4, 63)])).astype(np.int16), rate)


def add_film(source: CropSource, clip_id: str, frames: list[Image], *, quality: int = 90) -> None:
    """Add a clip with these pictures."""
    folder = source.root / clip_id
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=quality)
        (folder / f"{index:03d}.jpg").write_bytes(jpeg)
    source.contents[clip_id] = -1


COPIES = {
    ("happy/p0-t0", "sad/dark"),
    ("happy/p0-t1", "sad/mirrored"),
    ("happy/p1-t0", "sad/part"),
    ("happy/p1-t1", "sad/fast"),
    ("happy/p2-t0", "sad/zoomed"),
    ("happy/short", "sad/short-copy"),
}
"""Pairs that an audit must name; it may name no other."""


def planted(root: Path) -> CropSource:
    """Return three people in two takes each, a changed copy of five, and a short clip with its exact copy."""
    source = CropSource(root)
    films = {f"happy/p{person}-t{take}": film(person, take) for person in range(3) for take in range(2)}
    for clip_id, frames in films.items():
        add_film(source, clip_id, frames)
    add_film(source, "sad/dark", [(0.6 * frame).astype(np.uint8) for frame in films["happy/p0-t0"]], quality=50)
    add_film(source, "sad/mirrored", [frame[:, ::-1] for frame in films["happy/p0-t1"]], quality=60)
    add_film(source, "sad/part", films["happy/p1-t0"][9:])
    add_film(source, "sad/fast", [films["happy/p1-t1"][round(1.1 * index)] for index in range(23)])
    zoomed = [cv2.resize(frame[2:-2, 2:-2], (SIDE_PX, SIDE_PX)) for frame in films["happy/p2-t0"]]
    add_film(source, "sad/zoomed", [np.asarray(frame, np.uint8) for frame in zoomed])
    for clip_id in ("happy/short", "sad/short-copy"):
        add_film(source, clip_id, film(7, 0, num_frames=4))
    return source
