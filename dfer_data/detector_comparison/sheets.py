"""Draw contact sheets of a comparison: the same frames of a clip, one row per detector, with its detections."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from dfer_data.detector_comparison.totals import ClipRow, FrameDetections
from dfer_data.draw.faces import Colour, colour_of, draw_face, draw_text
from dfer_data.storage.files import write_atomically
from dfer_data.types import Detection, Floats, Frame, Image, Track
from dfer_data.wording import counted

NUM_FRAMES_SHOWN = 4
_CELL_PX = 320
"""Longer side of a frame on the sheet."""
_STRIP_PX = 20
_GAP_PX = 4
_BACKGROUND = 24
_OTHER_COLOUR: Colour = (150, 150, 150)


class SheetFrame:
    """Keeps a few downscaled, evenly spaced frames of a clip without knowing its length in advance."""

    def __init__(self) -> None:
        """Start before the first frame."""
        self._kept: list[tuple[int, Image, float]] = []
        self._num_frames, self._step = 0, 1

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        if self._num_frames % self._step == 0:
            self._kept.append((frame.index, *_downscaled(frame.image)))
        self._num_frames += 1
        if len(self._kept) == 4 * NUM_FRAMES_SHOWN:  # from now on every second one is enough
            self._kept, self._step = self._kept[::2], 2 * self._step

    def frames(self) -> list[tuple[int, Image, float]]:
        """Return (frame, picture, its scale) of up to NUM_FRAMES_SHOWN frames, one from the middle of each part."""
        number = min(NUM_FRAMES_SHOWN, len(self._kept))
        return [self._kept[(2 * i + 1) * len(self._kept) // (2 * number)] for i in range(number)]


class SheetFolder:
    """Writes one sheet per clip into a folder."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        """`names`: names of the detectors, in row order."""
        self._folder = folder
        self._colours = {name: colour_of(number) for number, name in enumerate(names)}
        self._num_sheets = 0
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, row: ClipRow, seen: Mapping[str, FrameDetections], glance: SheetFrame) -> str:
        """Draw and write the sheet of a clip; return its file name."""
        self._num_sheets += 1
        stem = re.sub(r"[^A-Za-z0-9._#-]+", "_", row.clip_id.rpartition("/")[2])[-60:]
        name = f"{self._num_sheets:04d}-{stem}.jpg"
        jpeg = simplejpeg.encode_jpeg(self._draw(row, seen, glance), quality=88)
        write_atomically(self._folder / name, bytes(jpeg))
        return name

    def _draw(self, row: ClipRow, results: Mapping[str, FrameDetections], sheet_frame: SheetFrame) -> Image:
        frames = sheet_frame.frames()
        height, width = (max(picture.shape[axis] for _, picture, _ in frames) for axis in (0, 1))
        title = f"{row.clip_id}: {counted(row.num_frames, 'frame')} looked at" + (", partial" if row.is_partial else "")
        disagreements = "; ".join(
            f"{suspect.one} and {suspect.other} follow different faces" for suspect in row.suspects
        )
        across = NUM_FRAMES_SHOWN * (width + _GAP_PX) - _GAP_PX
        strips = [_strip(f"{title}; {disagreements}" if disagreements else title, across)]
        for name, result in results.items():
            subject = f"its subject in {row.subject_frames[name]}" if result.subject is not None else "no subject"
            strips.append(
                _strip(f"{name}: a face in {counted(row.hits[name], 'frame')}, {subject}", across, self._colours[name])
            )
            cells = np.full((height, across, 3), _BACKGROUND, np.uint8)
            for column, (index, picture, scale) in enumerate(frames):
                cell = self._cell(name, result, index=index, picture=picture, scale=scale)
                left = column * (width + _GAP_PX)
                cells[: len(cell), left : left + cell.shape[1]] = cell  # the picture size of a video may change
            strips.append(cells)
        return np.concatenate(strips)

    def _cell(self, name: str, result: FrameDetections, *, index: int, picture: Image, scale: float) -> Image:
        """Draw the faces into a downscaled frame, the subject's last and in the detector's colour."""
        cell = picture.copy()
        faces = sorted(result.found[index], key=lambda face: _is_subject(face, result.subject, index))
        for face in faces:
            is_subject = _is_subject(face, result.subject, index)
            draw_face(
                cell,
                box=_scaled(face.box.reshape(2, 2), scale).reshape(4),
                landmarks=_scaled(face.landmarks, scale),
                colour=self._colours[name] if is_subject else _OTHER_COLOUR,
                is_strong=is_subject,
            )
        draw_text(cell, f"frame {index}", at=(0, cell.shape[0] - 1))
        return cell


def _downscaled(image: Image) -> tuple[Image, float]:
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
