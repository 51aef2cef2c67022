"""What a comparison of detectors says: a row a detector, a pair, a clip; how clips add up to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from dfer_data.detect.choices import DetectorUnderTest
from dfer_data.detector_comparison.agreement import (
    SAME_FACE_IOU,
    landmark_distance,
    overlaps,
    same_face,
    second_differences,
)
from dfer_data.types import Detection, Track


@dataclass(frozen=True, eq=False)
class FrameDetections:
    """What one detector saw of one clip."""

    found: Mapping[int, Sequence[Detection]]
    """Frame -> faces, of every frame that it was given."""
    subject: Track | None
    """Whom `prepare` would take the clip to be about."""
    cpu_seconds: float
    """In the detector."""

    @property
    def num_hits(self) -> int:
        """Frames with a face."""
        return sum(bool(faces) for faces in self.found.values())


@dataclass(frozen=True)
class Suspect:
    """A clip that two detectors take to be about different people."""

    clip_id: str
    """The clip."""
    one: str
    """A detector."""
    other: str
    """Another."""
    overlap: float | None
    """Median intersection over union of the two subjects; None: they are never detected in the same frame."""


@dataclass(frozen=True)
class ClipRow:
    """One clip."""

    clip_id: str
    """The video's path; `ID#0000` and so on where a long video was cut."""
    num_frames: int
    """Looked at."""
    is_partial: bool
    """The source ended early."""
    hits: Mapping[str, int]
    """Detector -> frames with a face."""
    subject_frames: Mapping[str, int]
    """Detector -> frames in which its subject was detected; 0: no subject."""
    suspects: tuple[Suspect, ...]
    """Pairs of detectors that follow different people."""
    sheet: str = ""
    """File name of its contact sheet."""


@dataclass(frozen=True)
class Unread:
    """A video that could not be compared on."""

    video: str
    """Its path below the folder."""
    code: str
    """As in a ledger."""
    message: str
    """Why, and what to do."""


@dataclass(frozen=True)
class DetectorRow:
    """One detector over all clips."""

    name: str
    """Its name."""
    backbone: str
    """Its network or method."""
    weights_sha256: str
    """Of its model file."""
    num_frames: int
    """Looked at."""
    num_hits: int
    """With at least one face."""
    hit_rate: float
    """The latter over the former."""
    jitter: float | None
    """Root mean square of the second differences of its subjects' landmarks, as a share of the IOD."""
    num_jitter_frames: int
    """That it is over."""
    shared_jitter: float | None
    """The same over the frames that every detector has."""
    num_shared_jitter_frames: int
    """That it is over."""
    num_subjects: int
    """Clips with a subject."""
    cpu_seconds: float
    """In the detector."""
    frames_per_second: float
    """Of CPU time: what the detector alone does on one core that it has for itself."""


@dataclass(frozen=True)
class PairRow:
    """Two detectors over all clips."""

    one: str
    """A detector."""
    other: str
    """Another."""
    num_either: int
    """Frames in which at least one of the two found a face."""
    num_both: int
    """Frames in which both did."""
    num_same: int
    """Frames in which they found the same one."""
    agreement: float | None
    """Frames with the same face over frames with a face of either."""
    points: str
    """Which landmarks they share."""
    distance_median: float | None
    """Of the landmarks of the same face, as a share of the IOD."""
    distance_p95: float | None
    """95th percentile."""
    num_suspects: int
    """Clips with different subjects."""


@dataclass(frozen=True)
class DetectorComparison:
    """Everything."""

    detectors: tuple[DetectorRow, ...]
    """In the order asked for."""
    pairs: tuple[PairRow, ...]
    """Each two of them."""
    clips: tuple[ClipRow, ...]
    """In order."""
    unread: tuple[Unread, ...]
    """Videos that could not be read."""

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """Return the clips with different subjects, least overlap first."""
        found = [suspect for clip in self.clips for suspect in clip.suspects]
        return tuple(sorted(found, key=lambda one: (one.overlap if one.overlap is not None else -1.0, one.clip_id)))

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


@dataclass
class _Steadiness:
    """Sums of squares."""

    total: float = 0.0
    number: int = 0

    def add(self, squares: Sequence[float]) -> None:
        self.total += sum(squares)
        self.number += len(squares)

    @property
    def root_mean_square(self) -> float | None:
        return math.sqrt(self.total / self.number) if self.number else None


@dataclass
class _PairTotals:
    num_either: int = 0
    num_both: int = 0
    num_same: int = 0
    num_suspects: int = 0
    distances: list[float] = field(default_factory=list)


class Totals:
    """Adds clips up."""

    def __init__(self, contestants: Sequence[DetectorUnderTest], *, every: int) -> None:
        """`every`: from one frame that was looked at to the next."""
        self._contestants, self._every = contestants, every
        self._num_frames = 0
        self._hits = dict.fromkeys((one.name for one in contestants), 0)
        self._subjects, self._cpu_seconds = dict(self._hits), dict.fromkeys(self._hits, 0.0)
        self._jitter = {name: _Steadiness() for name in self._hits}
        self._shared = {name: _Steadiness() for name in self._hits}
        self._pairs = {pair: _PairTotals() for pair in combinations(self._hits, 2)}
        self._schemes = {one.name: one.detector.scheme for one in contestants}

    def add(self, clip_id: str, seen: Mapping[str, FrameDetections], *, is_partial: bool) -> ClipRow:
        """Take what every detector saw of a clip; return its row."""
        num_frames = len(next(iter(seen.values())).found)
        self._num_frames += num_frames
        suspects = tuple(filter(None, (self._add_pair(clip_id, *pair, seen=seen) for pair in self._pairs)))
        self._add_jitter(seen, is_shared=not suspects)
        for name, one in seen.items():
            self._hits[name] += one.num_hits
            self._subjects[name] += one.subject is not None
            self._cpu_seconds[name] += one.cpu_seconds
        hits = {name: one.num_hits for name, one in seen.items()}
        frames = {name: one.subject.num_detected if one.subject else 0 for name, one in seen.items()}
        return ClipRow(clip_id, num_frames, is_partial, hits, frames, suspects)

    def _add_pair(self, clip_id: str, one: str, other: str, *, seen: Mapping[str, FrameDetections]) -> Suspect | None:
        totals, a, b = self._pairs[one, other], seen[one], seen[other]
        schemes = (self._schemes[one], self._schemes[other])
        for index, faces in a.found.items():
            totals.num_either += bool(faces or b.found[index])
            totals.num_both += bool(faces and b.found[index])
            if (same := same_face(faces, b.found[index])) is not None:
                totals.num_same += 1
                totals.distances.append(landmark_distance(*same, schemes=schemes))
        if a.subject is None or b.subject is None:
            return None
        shared = overlaps(a.subject, b.subject)
        overlap = float(np.median(shared)) if len(shared) else None
        if overlap is not None and overlap >= SAME_FACE_IOU:
            return None
        totals.num_suspects += 1
        return Suspect(clip_id, one, other, overlap)

    def _add_jitter(self, seen: Mapping[str, FrameDetections], *, is_shared: bool) -> None:
        squares = {
            name: second_differences(one.subject, scheme=self._schemes[name], step=self._every) if one.subject else {}
            for name, one in seen.items()
        }
        frames = set.intersection(*(set(one) for one in squares.values())) if is_shared else set()
        for name, one in squares.items():
            self._jitter[name].add(list(one.values()))
            self._shared[name].add([one[frame] for frame in sorted(frames)])

    def detector_rows(self) -> tuple[DetectorRow, ...]:
        """Return the row of each detector."""
        return tuple(self._detector_row(one) for one in self._contestants)

    def _detector_row(self, one: DetectorUnderTest) -> DetectorRow:
        name, cpu_seconds = one.name, self._cpu_seconds[one.name]
        return DetectorRow(
            name,
            one.config.backbone,
            one.config.weights_sha256,
            self._num_frames,
            self._hits[name],
            self._hits[name] / self._num_frames if self._num_frames else 0.0,
            self._jitter[name].root_mean_square,
            self._jitter[name].number,
            self._shared[name].root_mean_square,
            self._shared[name].number,
            self._subjects[name],
            cpu_seconds,
            self._num_frames / cpu_seconds if cpu_seconds else 0.0,
        )

    def pair_rows(self) -> tuple[PairRow, ...]:
        """Return the row of each pair."""
        return tuple(self._pair_row(*pair, totals) for pair, totals in self._pairs.items())

    def _pair_row(self, one: str, other: str, totals: _PairTotals) -> PairRow:
        median, p95 = (float(np.percentile(totals.distances, q)) if totals.distances else None for q in (50, 95))
        agreement = totals.num_same / totals.num_either if totals.num_either else None
        points = "all five" if self._schemes[one] == self._schemes[other] else "the two eyes"
        counts = (totals.num_either, totals.num_both, totals.num_same)
        return PairRow(one, other, *counts, agreement, points, median, p95, totals.num_suspects)
