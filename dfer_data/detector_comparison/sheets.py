"""Contact sheets of a comparison: the same frames of a clip, a row a detector, with what each found in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from dfer_data.detector_comparison.totals import ClipRow, FrameDetections
from dfer_data.draw.faces import Colour, colour_of, draw_face, draw_text
from dfer_data.types import Detection, Floats, Frame, Image, Track

NUM_FRAMES_SHOWN = 4
_CELL_PX = 320
"""Longer side of a frame on the sheet."""
_STRIP_PX = 20
_GAP_PX = 4
_BACKGROUND = 24
_OTHERS: Colour = (150, 150, 150)


class SheetFrame:
    """Keeps a few frames of a clip, small, at even distances, without knowing how many will come."""

    def __init__(self) -> None:
        """Start before the first frame."""
        self._kept: list[tuple[int, Image, float]] = []
        self._num_frames, self._step = 0, 1

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        if self._num_frames % self._step == 0:
            self._kept.append((frame.index, *_small(frame.image)))
        self._num_frames += 1
        if len(self._kept) == 4 * NUM_FRAMES_SHOWN:  # every second one is enough from now on
            self._kept, self._step = self._kept[::2], 2 * self._step

    def frames(self) -> list[tuple[int, Image, float]]:
        """Return (frame, picture, its scale) of up to NUM_COLUMNS frames, one from the middle of each part."""
        number = min(NUM_FRAMES_SHOWN, len(self._kept))
        return [self._kept[(2 * i + 1) * len(self._kept) // (2 * number)] for i in range(number)]


class SheetFolder:
    """Writes a sheet a clip into a folder."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        """`names`: of the detectors, in the order of the rows."""
        self._folder = folder
        self._colours = {name: colour_of(number) for number, name in enumerate(names)}
        self._num_sheets = 0
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, row: ClipRow, seen: Mapping[str, FrameDetections], glance: SheetFrame) -> str:
        """Draw and write the sheet of a clip; return its file name."""
        self._num_sheets += 1
        stem = re.sub(r"[^A-Za-z0-9._#-]+", "_", row.clip_id.rpartition("/")[2])[-60:]
        name = f"{self._num_sheets:04d}-{stem}.jpg"
        (self._folder / name).write_bytes(simplejpeg.encode_jpeg(self._draw(row, seen, glance), quality=88))
        return name

    def _draw(self, row: ClipRow, seen: Mapping[str, FrameDetections], glance: SheetFrame) -> Image:
        frames = glance.frames()
        height, width = (max(picture.shape[axis] for _, picture, _ in frames) for axis in (0, 1))
        title = f"{row.clip_id}: {row.num_frames} frames looked at" + (", partial" if row.is_partial else "")
        people = "; ".join(f"{one.one} and {one.other} follow different faces" for one in row.suspects)
        across = NUM_FRAMES_SHOWN * (width + _GAP_PX) - _GAP_PX
        strips = [_strip(f"{title}; {people}" if people else title, across)]
        for name, one in seen.items():
            subject = f"its subject in {row.subject_frames[name]}" if one.subject is not None else "no subject"
            strips.append(_strip(f"{name}: a face in {row.hits[name]} frames, {subject}", across, self._colours[name]))
            cells = np.full((height, across, 3), _BACKGROUND, np.uint8)
            for column, (index, picture, scale) in enumerate(frames):
                cell = self._cell(name, one, index=index, picture=picture, scale=scale)
                left = column * (width + _GAP_PX)
                cells[: len(cell), left : left + cell.shape[1]] = cell  # a video may change its size
            strips.append(cells)
        return np.concatenate(strips)

    def _cell(self, name: str, seen: FrameDetections, *, index: int, picture: Image, scale: float) -> Image:
        """Return a small frame with its faces, that of the subject last and in the detector's colour."""
        cell = picture.copy()
        faces = sorted(seen.found[index], key=lambda face: _is_subject(face, seen.subject, index))
        for face in faces:
            is_subject = _is_subject(face, seen.subject, index)
            draw_face(
                cell,
                box=_scaled(face.box.reshape(2, 2), scale).reshape(4),
                landmarks=_scaled(face.landmarks, scale),
                colour=self._colours[name] if is_subject else _OTHERS,
                is_strong=is_subject,
            )
        draw_text(cell, f"frame {index}", at=(0, cell.shape[0] - 1))
        return cell


def _small(image: Image) -> tuple[Image, float]:
    height, width = image.shape[:2]
    scale = _CELL_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _scaled(points: Floats, scale: float) -> Floats:
    return np.asarray((points + 0.5) * scale - 0.5, np.float32)


def _is_subject(face: Detection, subject: Track | None, index: int) -> bool:
    if subject is None or not 0 <= index - subject.first_frame < len(subject):
        return False
    return bool((subject.boxes[index - subject.first_frame] == face.box).all())


def _strip(text: str, width: int, colour: Colour = (230, 230, 230)) -> Image:
    strip = np.full((_STRIP_PX, width, 3), _BACKGROUND, np.uint8)
    draw_text(strip, text, at=(2, _STRIP_PX - 2), colour=colour)
    return strip
