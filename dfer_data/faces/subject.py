"""Choose the person a clip is about: by a rule over its tracks, or by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from dfer_data.config import SubjectRule
from dfer_data.faces.stillness import is_picture_next_to
from dfer_data.storage.csv_table import read_csv_table
from dfer_data.types import Floats, FrameFlag, LandmarkScheme, Track

_MAX_TRACK_DIGITS = 9
_SCHEME_WITH_MOUTH: LandmarkScheme = "eyes-nose-mouth"
_MIN_SHARE_OF_WEIGHT = 0.1  # a passer-by far away is not the person next to the poster


@dataclass(frozen=True)
class Subject:
    """The track chosen as the person a clip is about."""

    track: Track
    ambiguity: float
    """Weight of the runner-up over that of the winner, 0 (alone) to 1 (a tie, or a still face that weighs more); above
    1 only where a person chose."""
    runners_up: tuple[Track, ...] = ()
    """The other tracks, by decreasing weight."""


def choose_subject(
    tracks: Sequence[Track],
    *,
    width_px: int,
    height_px: int,
    rule: SubjectRule = "balanced",
    chosen: int | None = None,
    scheme: LandmarkScheme = "eyes-nose-mouth",
) -> Subject | None:
    """Choose the subject by the weights of `rule`, or track number `chosen`. Return None without tracks.

    `longest`: the number of frames without those of gaps. Means over the frames with a detection: `largest`: the square
    root of the box's area; `score`: the score; `central`: 1 - d / 2, where d is the mean distance between the box's
    centre and the picture's centre, over half the picture's diagonal. `balanced`: longest x largest x central; but a
    face as still as a poster's loses to the heaviest one that moves and has a tenth of its weight. Landmarks of a
    `scheme` without a mouth do not tell that.

    Raises ValueError for a track that does not exist.
    """
    if not tracks:
        return None
    weights = [_WEIGHTS[rule](track, width_px, height_px) for track in tracks]
    order = sorted(range(len(tracks)), key=lambda i: (-weights[i], tracks[i].first_frame, i))
    if chosen is not None:
        if chosen not in (numbers := [track.number for track in tracks]):
            raise ValueError(f"track {chosen} does not exist; the tracks are {', '.join(map(str, numbers))}")
        order.sort(key=lambda i: tracks[i].number != chosen)
    elif (
        rule == "balanced"
        and scheme == _SCHEME_WITH_MOUTH
        and (moving := _moving_rival(order, weights, tracks)) is not None
    ):
        order.remove(moving)
        return Subject(tracks[moving], 1.0, tuple(tracks[i] for i in order))
    ambiguity = 0.0
    if len(order) > 1:
        first, second = (weights[i] for i in order[:2])
        ambiguity = second / first if first > 0 else 1.0
    winner, *runners_up = (tracks[i] for i in order)
    return Subject(winner, ambiguity, tuple(runners_up))


def _moving_rival(order: Sequence[int], weights: Sequence[float], tracks: Sequence[Track]) -> int | None:
    """Return the first track of `order` next to which the first of all is a picture; None if it is not."""
    winner, *others = order
    for i in others:
        if weights[i] >= _MIN_SHARE_OF_WEIGHT * weights[winner] and is_picture_next_to(tracks[winner], tracks[i]):
            return i
    return None


def _longest(track: Track, width_px: int, height_px: int) -> float:
    return float((track.flags != FrameFlag.GAP_FILLED).sum())


def _score(track: Track, width_px: int, height_px: int) -> float:
    return max(0.0, float(np.nanmean(track.scores, dtype=np.float64)))


def _largest(track: Track, width_px: int, height_px: int) -> float:
    boxes = _detected_boxes(track)
    return float(np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).mean())


def _central(track: Track, width_px: int, height_px: int) -> float:
    boxes = _detected_boxes(track)
    centre = np.array([(width_px - 1) / 2, (height_px - 1) / 2])
    distance = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - centre, axis=1)
    return max(0.0, 1 - float(distance.mean()) / math.hypot(width_px, height_px))


def _balanced(track: Track, width_px: int, height_px: int) -> float:
    return math.prod(weight(track, width_px, height_px) for weight in (_longest, _largest, _central))


def _detected_boxes(track: Track) -> Floats:
    return np.asarray(track.boxes[track.is_detected], np.float64)


_WEIGHTS: Mapping[SubjectRule, Callable[[Track, int, int], float]] = MappingProxyType(
    {"balanced": _balanced, "largest": _largest, "central": _central, "longest": _longest, "score": _score}
)


@dataclass(frozen=True)
class SubjectWeights:
    """What the rules weigh in a track."""

    seen_frames: float
    """Frames without those of gaps."""
    size_px: float
    """Mean square root of the area of its box."""
    centrality: float
    """1 in the centre of the picture, less towards its border."""
    score: float
    """Mean detector score."""

    @property
    def balanced(self) -> float:
        """Weight of the rule `balanced`."""
        return self.seen_frames * self.size_px * self.centrality


def subject_weights(track: Track, *, width_px: int, height_px: int) -> SubjectWeights:
    """Return what the rules of `choose_subject` weigh in a track of a video of this size."""
    rules = (_longest, _largest, _central, _score)
    return SubjectWeights(*(rule(track, width_px, height_px) for rule in rules))


def read_subjects(path: Path) -> dict[str, int]:
    """Read the tracks chosen by hand from a CSV with the columns clip_id and track; other columns are ignored.

    The `ambiguous.csv` of a prepared folder has this format. Raises UsageError with every fault at once.
    """
    table = read_csv_table(path, flag="--subjects")
    table.require("clip_id", "track")
    subjects: dict[str, int] = {}
    for line, clip_id, cells in table.by_clip():
        if cells["track"].isdecimal() and len(cells["track"]) <= _MAX_TRACK_DIGITS:
            subjects[clip_id] = int(cells["track"])
        else:
            table.faults.append(f"line {line}: track {cells['track']!r} is not a number")
    table.raise_faults()
    return subjects
