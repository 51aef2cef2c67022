"""Which frames make a 16-frame clip. Pure functions.

`segments-8x2` is the test rule of Former-DFER and LSTPNet: eight equal segments, two consecutive frames at the middle
of each. Clips shorter than 16 frames repeat their last frame (`edge`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CLIP_FRAMES = 16


def segments_test(num_frames: int, *, num_segments: int = 8, frames_per_segment: int = 2) -> npt.NDArray[np.int32]:
    """Return the deterministic frame indices (num_segments x frames_per_segment,) int32 of a clip of `num_frames`.

    For 70 frames: 4 5 12 13 21 22 30 31 38 39 47 48 56 57 64 65. Raises ValueError for an empty clip.
    """
    if num_frames < 1:
        raise ValueError("a clip needs at least one frame")
    wanted = num_segments * frames_per_segment
    if num_frames < wanted:
        return np.minimum(np.arange(wanted), num_frames - 1).astype(np.int32)
    step = (num_frames - frames_per_segment + 1) / num_segments
    starts = np.array([int(step / 2 + step * k) for k in range(num_segments)])
    return (starts[:, None] + np.arange(frames_per_segment)).reshape(-1).astype(np.int32)


def segments_train(
    num_frames: int, *, rng: np.random.Generator, num_segments: int = 8, frames_per_segment: int = 2
) -> npt.NDArray[np.int32]:
    """Return randomly placed frame indices (num_segments x frames_per_segment,) int32, one group a segment.

    The field's rule: segments have a = (N - d + 1) // n frames and group k starts at k a + U{0..a-1}, so the last
    (N - d + 1) mod n frames are never drawn; where a is 0, starts are drawn over the clip and sorted. Clips shorter
    than the wanted number of frames repeat their last frame. Raises ValueError for an empty clip.
    """
    if num_frames < 1:
        raise ValueError("a clip needs at least one frame")
    wanted = num_segments * frames_per_segment
    if num_frames < wanted:
        return np.minimum(np.arange(wanted), num_frames - 1).astype(np.int32)
    length = (num_frames - frames_per_segment + 1) // num_segments
    if length > 0:
        starts = np.arange(num_segments) * length + rng.integers(0, length, num_segments)
    else:
        starts = np.sort(rng.integers(0, num_frames - frames_per_segment + 1, num_segments))
    frames = (starts[:, None] + np.arange(frames_per_segment)).reshape(-1)
    return np.asarray(np.minimum(frames, num_frames - 1), np.int32)
