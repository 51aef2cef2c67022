"""Results of a comparison of detectors: one row per detector, pair and clip, and how the totals add up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, product
from typing import Any, get_args

import numpy as np

from dfer_data.config import AlignPoints
from dfer_data.detect.choices import DetectorUnderTest
from dfer_data.detector_comparison.agreement import (
    SAME_FACE_IOU,
    alignment_scale_range,
    landmark_distance,
    overlaps,
    same_face,
    second_differences,
)
from dfer_data.types import Detection, Track


@dataclass(frozen=True, eq=False)
class FrameDetections:
    """Results of one detector on one clip."""

    found: Mapping[int, Sequence[Detection]]
    """Frame -> faces, for every frame that the detector was given."""
    subject: Track | None
    """The track that `prepare` would choose as the clip's subject."""
    cpu_seconds: float
    """CPU time of the detector."""

    @property
    def num_hits(self) -> int:
        """Number of frames with a face."""
        return sum(bool(faces) for faces in self.found.values())


@dataclass(frozen=True)
class Suspect:
    """A clip for which two detectors choose different people."""

    clip_id: str
    one: str
    """Name of a detector."""
    other: str
    """Name of another detector."""
    overlap: float | None
    """Median intersection over union of the two subjects; None: never detected in the same frame."""


@dataclass(frozen=True)
class ClipRow:
    """Results of all detectors on one clip."""

    clip_id: str
    """The video's path; `ID#0000` and so on where a long video was cut."""
    num_frames: int
    """Frames given to the detectors."""
    is_partial: bool
    """Whether the source ended early."""
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
    """A video that could not be decoded."""

    video: str
    """Its path below the folder."""
    code: str
    """Error code, as in a ledger."""
    message: str
    """Cause and remedy."""


@dataclass(frozen=True)
class DetectorRow:
    """One detector over all clips."""

    name: str
    backbone: str
    """The detector's network or method."""
    weights_sha256: str
    """Hash of the detector's model file."""
    num_frames: int
    """Frames given to the detector."""
    num_hits: int
    """Frames with at least one face."""
    hit_rate: float
    """`num_hits` over `num_frames`."""
    jitter: float | None
    """Root mean square of the second differences of the subjects' landmarks, as a share of the IOD; None unless every
    frame is looked at."""
    num_jitter_frames: int
    """Frames in `jitter`."""
    shared_jitter: float | None
    """The same, over only the frames that every detector has."""
    num_shared_jitter_frames: int
    """Frames in `shared_jitter`."""
    num_subjects: int
    """Clips with a subject."""
    cpu_seconds: float
    """CPU time of the detector."""
    frames_per_second: float
    """Frames per second of CPU time: the detector's throughput on one otherwise idle core."""
    scale_range: float | None
    """Median over its subjects of the range of the scale with which `prepare` aligns them: the 95th percentile over the
    5th, less 1; None without a subject that is as long as the smoothing window."""
    rigid_scale_range: float | None
    """The same with `--align-points rigid`."""


@dataclass(frozen=True)
class PairRow:
    """Two detectors over all clips."""

    one: str
    """Name of a detector."""
    other: str
    """Name of another detector."""
    num_either: int
    """Frames in which at least one of the two found a face."""
    num_both: int
    """Frames in which both found a face."""
    num_same: int
    """Frames in which both found the same face."""
    agreement: float | None
    """Frames with the same face over frames with a face of either."""
    points: str
    """The landmarks that both have: `all five` or `the two eyes`."""
    distance_median: float | None
    """Median distance between the landmarks of the same face, as a share of the IOD."""
    distance_p95: float | None
    """95th percentile of that distance."""
    num_suspects: int
    """Clips with different subjects."""


@dataclass(frozen=True)
class DetectorComparison:
    """All results of a comparison."""

    detectors: tuple[DetectorRow, ...]
    """In the requested order."""
    pairs: tuple[PairRow, ...]
    """One per pair of detectors."""
    clips: tuple[ClipRow, ...]
    """In the order of the videos."""
    unread: tuple[Unread, ...]
    """Videos that could not be read."""

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """Return the clips with different subjects, least overlap first."""
        suspects = [suspect for clip in self.clips for suspect in clip.suspects]
        return tuple(
            sorted(
                suspects,
                key=lambda suspect: (suspect.overlap if suspect.overlap is not None else -1.0, suspect.clip_id),
            )
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        return asdict(self)


@dataclass
class _Jitter:
    """Sum of squared second differences, and their number."""

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
    """Adds up the results of clips."""

    def __init__(self, contestants: Sequence[DetectorUnderTest], *, every: int) -> None:
        """`every`: step from one detected frame to the next; above 1 there is no jitter, only motion between frames."""
        self._contestants, self._every = {contestant.name: contestant for contestant in contestants}, every
        self._num_frames = 0
        self._hits = dict.fromkeys((contestant.name for contestant in contestants), 0)
        self._subjects, self._cpu_seconds = dict(self._hits), dict.fromkeys(self._hits, 0.0)
        self._jitter = {name: _Jitter() for name in self._hits}
        self._shared_jitter = {name: _Jitter() for name in self._hits}
        self._pairs = {pair: _PairTotals() for pair in combinations(self._hits, 2)}
        self._schemes = {contestant.name: contestant.detector.scheme for contestant in contestants}
        self._scale_ranges: dict[tuple[str, AlignPoints], list[float]] = {
            key: [] for key in product(self._hits, get_args(AlignPoints))
        }

    def add(self, clip_id: str, seen: Mapping[str, FrameDetections], *, is_partial: bool) -> ClipRow:
        """Add every detector's results on a clip; return the clip's row."""
        num_frames = len(next(iter(seen.values())).found)
        self._num_frames += num_frames
        suspects = tuple(filter(None, (self._add_pair(clip_id, *pair, results=seen) for pair in self._pairs)))
        if self._every == 1:
            self._add_jitter(seen, is_shared=not suspects)
        for name, result in seen.items():
            self._hits[name] += result.num_hits
            self._subjects[name] += result.subject is not None
            self._cpu_seconds[name] += result.cpu_seconds
            if result.subject is not None:
                self._add_scale_ranges(name, result.subject)
        hits = {name: result.num_hits for name, result in seen.items()}
        subject_frames = {name: result.subject.num_detected if result.subject else 0 for name, result in seen.items()}
        return ClipRow(clip_id, num_frames, is_partial, hits, subject_frames, suspects)

    def _add_pair(
        self, clip_id: str, one: str, other: str, *, results: Mapping[str, FrameDetections]
    ) -> Suspect | None:
        totals, a, b = self._pairs[one, other], results[one], results[other]
        schemes = (self._schemes[one], self._schemes[other])
        for index, faces in a.found.items():
            totals.num_either += bool(faces or b.found[index])
            totals.num_both += bool(faces and b.found[index])
            if (detections := same_face(faces, b.found[index])) is not None:
                totals.num_same += 1
                totals.distances.append(landmark_distance(*detections, schemes=schemes))
        if a.subject is None or b.subject is None:
            return None
        shared_overlaps = overlaps(a.subject, b.subject)
        overlap = float(np.median(shared_overlaps)) if len(shared_overlaps) else None
        if overlap is not None and overlap >= SAME_FACE_IOU:
            return None
        totals.num_suspects += 1
        return Suspect(clip_id, one, other, overlap)

    def _add_jitter(self, results: Mapping[str, FrameDetections], *, is_shared: bool) -> None:
        squares = {
            name: second_differences(result.subject, scheme=self._schemes[name]) if result.subject else {}
            for name, result in results.items()
        }
        shared_frames = set.intersection(*(set(by_frame) for by_frame in squares.values())) if is_shared else set()
        for name, by_frame in squares.items():
            self._jitter[name].add(list(by_frame.values()))
            self._shared_jitter[name].add([by_frame[frame] for frame in sorted(shared_frames)])

    def _add_scale_ranges(self, name: str, subject: Track) -> None:
        config, scheme = self._contestants[name].config, self._schemes[name]
        for points in get_args(AlignPoints):
            found = alignment_scale_range(subject, points=points, config=config, scheme=scheme)
            self._scale_ranges[name, points] += [] if found is None else [found]

    def detector_rows(self) -> tuple[DetectorRow, ...]:
        """Return the row of each detector."""
        return tuple(self._detector_row(contestant) for contestant in self._contestants.values())

    def _detector_row(self, contestant: DetectorUnderTest) -> DetectorRow:
        name, cpu_seconds = contestant.name, self._cpu_seconds[contestant.name]
        scale_ranges = [self._scale_ranges[name, points] for points in get_args(AlignPoints)]
        return DetectorRow(
            name,
            contestant.config.backbone,
            contestant.config.weights_sha256,
            self._num_frames,
            self._hits[name],
            self._hits[name] / self._num_frames if self._num_frames else 0.0,
            self._jitter[name].root_mean_square,
            self._jitter[name].number,
            self._shared_jitter[name].root_mean_square,
            self._shared_jitter[name].number,
            self._subjects[name],
            cpu_seconds,
            self._num_frames / cpu_seconds if cpu_seconds else 0.0,
            *(float(np.median(found)) if found else None for found in scale_ranges),
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
