"""Compare two locks of one dataset: which clips and frames differ, and how far their landmarks are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_data.detect.registry import detector_spec
from dfer_data.faces.align import eye_centres
from dfer_data.locking.lock_file import DETECTED_FRAME, Lock, LockedFrames
from dfer_data.locking.lock_header import LockedVideo

_Distances = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClipDifference:
    """A clip that is in both locks and differs."""

    clip: str
    """Its id, or what the locks know of it."""
    num_frames: int
    """Frames in both."""
    num_pictures: int
    """Of these, frames with other bytes of their JPEG."""
    only_in_first: int
    """Frames that only the first lock has."""
    only_in_second: int
    """Frames that only the second lock has."""
    first_frame: int
    """Number of the first frame in the source that differs."""
    landmark_distance: float | None
    """Mean distance of the landmarks in distances of the eyes; None for shipped crops."""


@dataclass(frozen=True)
class LockComparison:
    """How two locks differ."""

    num_equal: int
    """Clips that are equal in both."""
    differing: tuple[ClipDifference, ...]
    """In the order of the first lock."""
    only_in_first: tuple[str, ...]
    """Clips with faces that only the first lock has."""
    only_in_second: tuple[str, ...]
    """Clips with faces that only the second lock has."""
    num_other_sources: int
    """Videos whose files differ."""
    settings: tuple[tuple[str, object, object], ...]
    """Name of a setting and its two values, where they differ."""
    tool_versions: tuple[tuple[str, str | None, str | None], ...]
    """Name of a package and its two versions, where they differ."""
    landmark_mean: float | None
    """Mean distance of landmarks over all common frames, in distances of the eyes; None without common detections."""
    landmark_p95: float | None
    """Its 95th percentile."""

    @property
    def are_equal(self) -> bool:
        """Whether all clips are equal."""
        return not (self.differing or self.only_in_first or self.only_in_second)


def compare_locks(first: Lock, second: Lock) -> LockComparison:
    """Compare the clips of two locks; clips of the same video and part are the same clip, whatever its file is."""
    clips, others = _clips(first), _clips(second)
    differing, distances, num_equal = [], [np.zeros(0)], 0
    for key in [key for key in clips if key in others]:
        pair = _FramePair(clips[key].frames(first), others[key].frames(second))
        distances.append(pair.landmark_distances(first, second))
        difference = pair.difference(clips[key].name(others[key]), distances[-1])
        num_equal += difference is None
        differing += [] if difference is None else [difference]
    everywhere = np.concatenate(distances)
    files, other_files = ({video.key: video.sha256 for video in lock.header.videos} for lock in (first, second))
    versions, other_versions = (lock.header.document["tool_versions"] for lock in (first, second))
    return LockComparison(
        num_equal=num_equal,
        differing=tuple(differing),
        only_in_first=tuple(clip.name(clip) for key, clip in clips.items() if key not in others),
        only_in_second=tuple(clip.name(clip) for key, clip in others.items() if key not in clips),
        num_other_sources=sum(files[key] != other_files[key] for key in files.keys() & other_files.keys()),
        settings=_differing(first.header.config.as_dict(), second.header.config.as_dict()),
        tool_versions=_differing(versions, other_versions),
        landmark_mean=float(everywhere.mean()) if len(everywhere) else None,
        landmark_p95=float(np.percentile(everywhere, 95)) if len(everywhere) else None,
    )


@dataclass(frozen=True)
class _ClipOf:
    """A clip of a lock and the numbers of its frames."""

    video: LockedVideo
    suffix: str
    numbers: range

    def frames(self, lock: Lock) -> LockedFrames:
        return lock.frames(self.numbers.start, self.numbers.stop)

    def name(self, other: _ClipOf) -> str:
        video = self.video if self.video.clip_id is not None else other.video
        return video.name + self.suffix


def _clips(lock: Lock) -> dict[tuple[str, str], _ClipOf]:
    return {(video.key, clip.suffix): _ClipOf(video, clip.suffix, numbers) for video, clip, numbers in lock.clips()}


def _differing(values: Mapping[str, Any], others: Mapping[str, Any]) -> tuple[tuple[str, Any, Any], ...]:
    names = sorted(values.keys() | others.keys())
    return tuple((name, values.get(name), others.get(name)) for name in names if values.get(name) != others.get(name))


class _FramePair:
    """The frames of one clip in two locks, matched by their number in the source."""

    def __init__(self, frames: LockedFrames, others: LockedFrames) -> None:
        numbers, rows, other_rows = np.intersect1d(frames["frame_index"], others["frame_index"], return_indices=True)
        self._all, self._all_others = frames, others
        self._numbers, self._frames, self._others = numbers, frames[rows], others[other_rows]

    def landmark_distances(self, first: Lock, second: Lock) -> _Distances:
        """Return the mean distance of the landmarks of each common frame (F,), in distances of the first one's eyes."""
        if not first.dtype == second.dtype == DETECTED_FRAME:
            return np.zeros(0)
        points, others = (np.ascontiguousarray(frames["landmarks"]) for frames in (self._frames, self._others))
        eyes = eye_centres(points, detector_spec(first.header.config.detector).scheme).astype(np.float64)
        eye_distance = np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=1)
        moved = np.linalg.norm(points.astype(np.float64) - others, axis=2).mean(axis=1)
        return np.asarray(moved / np.maximum(eye_distance, 1e-6))

    def difference(self, clip: str, distances: _Distances) -> ClipDifference | None:
        """Return how the clip differs; None where every frame is equal."""
        is_other = self._frames["crc32"] != self._others["crc32"]
        is_moved = is_other.copy()
        for name in set(self._frames.dtype.names or ()) & set(self._others.dtype.names or ()):
            unequal = self._frames[name] != self._others[name]
            if unequal.dtype == bool and self._frames[name].dtype.kind == "f":
                unequal &= ~(np.isnan(self._frames[name]) & np.isnan(self._others[name]))
            is_moved |= unequal.reshape(len(is_moved), -1).any(axis=1)
        own, others = (np.unique(each["frame_index"]) for each in (self._all, self._all_others))  # clips16 repeats some
        lone, lone_others = len(own) - len(self._frames), len(others) - len(self._others)
        alone = np.setxor1d(own, others)
        firsts = [*self._numbers[is_moved][:1], *alone[:1]]
        if not firsts:
            return None
        distance = float(distances.mean()) if len(distances) else None
        return ClipDifference(clip, len(is_moved), int(is_other.sum()), lone, lone_others, int(min(firsts)), distance)
