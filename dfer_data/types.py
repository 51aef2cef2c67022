"""Values passed between the stages of `prepare`: a frame, a detection in it, a face track over frames.

Pixel convention everywhere: the centre of the top-left pixel is (0, 0); pictures are RGB, height x width x 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
AUDIO_RATE = 16_000
"""Samples per second of stored sound."""
LandmarkScheme = Literal["eyes-nose-mouth", "eye-corners-nose-base", "none"]


class FrameFlag(IntFlag):
    """Flags of one stored frame, in the `flags` array of a shard."""

    DETECTED = 1
    BETWEEN_KEYFRAMES = 2
    GAP_FILLED = 4
    OUTSIDE_BORDER = 8
    DAMAGED_SOURCE = 16


class LazyPicture(Protocol):
    """A picture that is converted to RGB where and when it is needed."""

    shape: tuple[int, int, int]
    """Height, width, 3."""

    def whole(self) -> Image:
        """Return the picture, (H, W, 3) uint8 RGB."""
        ...

    def part(self, left: int, top: int, right: int, bottom: int) -> Image:
        """Return `whole()[top:bottom, left:right]`, for numbers within the picture."""
        ...

    def sampled(self, row_step: int, column_step: int) -> Image:
        """Return `whole()[::row_step, ::column_step]`."""
        ...


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture of a video, upright and with square pixels."""

    index: int
    """0-based position in decoding order."""
    pts_seconds: float
    """Presentation time."""
    picture: Image | LazyPicture
    """(H, W, 3) uint8 RGB, or a picture that becomes it; see `image`."""
    is_damaged: bool = False
    """Whether the decoder reported and concealed damaged data."""
    steady_seconds: float = 0.0
    """Time since the first frame, with each jump of the presentation times counted as one usual step."""
    num_following: int | None = None
    """Frames that follow, known near the end of the video; None: unknown."""
    num_missing_before: int = 0
    """Frames that the damaged file has lost between the frame before and this one."""

    @property
    def image(self) -> Image:
        """(H, W, 3) uint8 RGB."""
        return self.picture if isinstance(self.picture, np.ndarray) else self.picture.whole()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.picture.shape[0], self.picture.shape[1]

    @property
    def num_bytes(self) -> int:
        """Bytes of `image`, converted or not."""
        return self.size[0] * self.size[1] * 3

    def sampled(self, row_step: int, column_step: int) -> Image:
        """Return `image[::row_step, ::column_step]`."""
        picture = self.picture
        if isinstance(picture, np.ndarray):
            return picture[::row_step, ::column_step]
        return picture.sampled(row_step, column_step)


@dataclass(frozen=True, eq=False)
class Appearance:
    """What a detected face and the picture around it look like; see `dfer_data.faces.appearance`."""

    face: Image
    """(8, 8, 3) uint8."""
    overview: Image
    """(18, 32, 3) uint8 of the whole picture; shared by the faces of a frame."""
    away: Floats
    """(18, 32) how far the cells of the overview are from the middle of the face, in half sides of its box."""


@dataclass(frozen=True, eq=False)
class Detection:
    """One face found in one frame."""

    box: Floats
    """(4,) float32 pixels: left, top, right, bottom."""
    score: float
    """Detector's own confidence; higher is better. RetinaFace: 0..1; dlib: distance from the decision boundary."""
    landmarks: Floats
    """(5, 2) float32 pixels, in the order of the detector's landmark scheme."""
    appearance: Appearance | None = None

    def __post_init__(self) -> None:
        """Reject shapes that later stages would misread."""
        if self.box.shape != (4,) or self.landmarks.shape != (5, 2):
            raise ValueError(f"box {self.box.shape} and landmarks {self.landmarks.shape}; expected (4,) and (5, 2)")

    @property
    def is_finite(self) -> bool:
        """Whether every number is finite and the box has a positive area."""
        finite = bool(np.isfinite(self.box).all() and np.isfinite(self.landmarks).all() and np.isfinite(self.score))
        return finite and bool(self.box[2] > self.box[0] and self.box[3] > self.box[1])


@dataclass(frozen=True, eq=False)
class Track:
    """One face followed over consecutive frames; row i belongs to frame `first_frame + i`."""

    number: int
    """0-based rank among the tracks of its clip, by first appearance."""
    first_frame: int
    boxes: Floats
    """(N, 4) float32 pixels."""
    landmarks: Floats
    """(N, 5, 2) float32 pixels."""
    scores: Floats
    """(N,) float32; NaN for frames without a detection."""
    flags: npt.NDArray[np.uint8]
    """(N,) FrameFlag: DETECTED; GAP_FILLED if the detector missed the face; BETWEEN_KEYFRAMES if it did not run."""
    drift: float = 0.0
    """By how much the face may have become another's: distance of its first detection from its last, or, where larger,
    0.6 times the share of the limits for another person that a sudden and lasting change reaches."""

    def __len__(self) -> int:
        """Return the number of frames, gaps included."""
        return len(self.boxes)

    @property
    def is_detected(self) -> npt.NDArray[np.bool_]:
        """(N,) whether each row has its own detection."""
        return np.asarray(self.flags == FrameFlag.DETECTED, np.bool_)

    @property
    def num_detected(self) -> int:
        """Number of frames with their own detection."""
        return int(self.is_detected.sum())


Detections = Sequence[Sequence[Detection] | None]
"""Detections of each frame of a video, in frame order; None: the detector did not run on the frame."""


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """Metadata of one aligned frame in a shard."""

    frame_index: int
    """Position in the source video's decoding order."""
    pts_seconds: float
    """Presentation time; NaN if the source has none."""
    box: Floats
    """(4,) float32 source pixels; NaN for shipped crops."""
    landmarks: Floats
    """(5, 2) float32 source pixels after smoothing; NaN for shipped crops."""
    score: float
    """Detector's score; NaN for interpolated frames and shipped crops."""
    flags: int
    """FrameFlag bits."""
