"""Link detections to tracks as frames arrive, and interpolate the frames between detections."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dfer_data.detect.base import box_iou
from dfer_data.faces.appearance import change_of_bust, change_of_person, distance, is_other_scene, person_share
from dfer_data.types import Appearance, Detection, Detections, Floats, FrameFlag, Image, Track

_MOTION_DETECTIONS = 5  # recent detections that define how a face moves
_APPEARANCE_RANGE = 0.5  # a larger difference of appearance adds no information
_MAX_CHANGE = 0.6  # of appearance from one frame to the next
_MAX_CHANGE_IN_DOUBT = 0.35  # after a gap, or where several matches are possible
_MIN_CHANGE_SINCE = 0.1  # of a person since the anchor: a hand that comes back is none
_MAX_RATIO = 5.0  # of a change of the bust to the mean change per frame before
_NUM_CHANGES = 5
_MIN_SUDDENNESS = 0.8  # a smaller share of the limits counts as none
_LEAST = 1e-6  # change of the bust
_UNSETTLED_FRAMES = 8  # after a transition began; the new track must not continue through its second half
_ANCHOR_FRAMES = 24  # a dissolve over at most so many frames adds up to a change
_MAX_PART_SIDE, _MIN_PART_INSIDE = 0.5, 0.9  # of a box in another one: a cheek or an eye taken for a face

Overviews = deque[tuple[int, Image]]
"""Frame index and overview of the last frames with a face, whoever it is."""


@dataclass(frozen=True)
class _Step:
    """How a detection differs from the one before."""

    face: float = 0.0
    """Change of the face."""
    bust: float = 0.0
    """Change of the bust, per frame."""
    suddenness: float = 0.0
    """Share that the change reaches of what makes it another person: 1 or more for a face that was replaced at once."""


@dataclass(eq=False)
class ActiveTrack:
    """A face that is being tracked; its rows are known up to its last detection."""

    number: int
    """Position in order of appearance, from 0."""
    first_frame: int
    boxes: list[Floats] = field(default_factory=list)
    """(4,) per row."""
    landmarks: list[Floats] = field(default_factory=list)
    """(5, 2) per row."""
    scores: list[float] = field(default_factory=list)
    """One per row; NaN between detections."""
    flags: list[FrameFlag] = field(default_factory=list)
    """DETECTED, GAP_FILLED or BETWEEN_KEYFRAMES per row."""
    is_closed: bool = False
    """Whether no more rows will be added."""
    first_appearance: Appearance | None = None
    recent: deque[tuple[int, Appearance | None]] = field(default_factory=deque)
    """Frame index and appearance of the detections since the anchor, with which new ones are compared as well."""
    came_from: tuple[int, Appearance] | None = None
    """Frame index and appearance of the anchor of the track whose place this one has taken."""
    successor: ActiveTrack | None = None
    """The track of the face that has replaced this one, at once or little by little."""
    num_missed: int = 0
    """Frames since the last detection that the detector saw without finding this face."""
    _detected: list[int] = field(default_factory=list)
    _steps: list[_Step] = field(default_factory=list)
    _compared: tuple[Detection, _Step] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.boxes)

    @property
    def last_frame(self) -> int:
        """Index of the last row's frame, which has a detection."""
        return self.first_frame + len(self) - 1

    def add(self, index: int, detection: Detection) -> None:
        """Add a detection in frame `index`, and interpolate the rows since the previous detection."""
        if self.boxes:
            self._fill(index - self.last_frame, detection)
        self.boxes.append(detection.box)
        self.landmarks.append(detection.landmarks)
        self.scores.append(detection.score)
        self.flags.append(FrameFlag.DETECTED)
        self._steps.append(self._step(index, detection) if self.recent else _Step())
        self.first_appearance = self.first_appearance if self.recent else detection.appearance
        self.recent.append((index, detection.appearance))
        while self.recent[0][0] < index - _ANCHOR_FRAMES:
            self.recent.popleft()
        self.num_missed, self._compared = 0, None
        self._detected.append(len(self) - 1)

    @property
    def anchor(self) -> Appearance | None:
        """Appearance of the oldest detection with which new ones are compared."""
        return self.recent[0][1]

    def change(self, index: int, detection: Detection, pictures: Overviews) -> float:
        """Return how much the face differs from the last one; infinite if it was replaced, at once or little by little.

        A face that was replaced here before is only taken back where it looks more like itself than like its successor.
        """
        step = self._step(index, detection)
        if self.successor is not None and distance(self.successor.recent[-1][1], detection.appearance) < step.face:
            return np.inf
        return np.inf if step.suddenness >= 1 or self.is_replaced_by(detection, pictures) else step.face

    def _step(self, index: int, detection: Detection) -> _Step:
        """Return the change from the last detection; sudden where face and bust change at once, more than before.

        A hand covers less, and a head that turns does not begin to turn as suddenly.
        """
        if self._compared is not None and self._compared[0] is detection:
            return self._compared[1]
        last_index, last = self.recent[-1]
        face, bust = distance(last, detection.appearance), change_of_bust(last, detection.appearance)
        suddenness = person_share(face, bust)
        if suddenness < _MIN_SUDDENNESS:
            suddenness = 0.0
        else:
            before = [step.bust for step in self._steps[max(1, len(self._steps) - _NUM_CHANGES) :]]
            usual = _MAX_RATIO * (index - last_index) * sum(before) / max(len(before), 1)
            since_anchor = change_of_person(self.anchor, detection.appearance, least=_MIN_CHANGE_SINCE)
            suddenness = min(suddenness, since_anchor, bust / max(usual, _LEAST))
        self._compared = detection, _Step(face, bust / (index - last_index), suddenness)
        return self._compared[1]

    def is_replaced_by(self, detection: Detection, pictures: Overviews) -> bool:
        """Return whether a detection shows another scene than the anchor, reached through a transition.

        A track that began in the middle of one is also compared with the picture before it.
        """
        first_index, anchor = self.recent[0]
        if anchor is not None and self.came_from is not None and len(self) <= _UNSETTLED_FRAMES:
            first_index, before = self.came_from
            anchor = replace(anchor, overview=before.overview)
        between = [picture for index, picture in pictures if index > first_index]
        return is_other_scene(anchor, between, detection.appearance)

    def hand_over(self, detection: Detection) -> list[tuple[int, Detection]]:
        """Remove and return the last detections, by frame, that look more like `detection` than like the anchor.

        A transition is seen once most of the picture has changed, which may be frames after the face has.
        """
        handed: list[tuple[int, Detection]] = []
        while len(self.recent) > 1:
            index, appearance = self.recent[-1]
            if distance(appearance, detection.appearance) >= distance(appearance, self.anchor):
                break
            self.recent.pop()
            row = self._detected.pop()
            self._steps.pop()
            handed.insert(0, (index, Detection(self.boxes[row], self.scores[row], self.landmarks[row], appearance)))
        for rows in (self.boxes, self.landmarks, self.scores, self.flags):
            del rows[self._detected[-1] + 1 :]
        self.num_missed, self._compared = self.num_missed + len(handed), None
        return handed

    def _fill(self, num_steps: int, detection: Detection) -> None:
        flag = FrameFlag.GAP_FILLED if self.num_missed else FrameFlag.BETWEEN_KEYFRAMES
        box, landmarks = self.boxes[-1], self.landmarks[-1]
        for share in np.arange(1, num_steps) / np.float32(num_steps):
            self.boxes.append(box + np.float32(share) * (detection.box - box))
            self.landmarks.append(landmarks + np.float32(share) * (detection.landmarks - landmarks))
            self.scores.append(np.nan)
            self.flags.append(flag)

    def shift(self, index: int) -> Floats:
        """Return the (2,) shift of the centre expected by frame `index`, extrapolated from its recent motion."""
        recent = self._detected[-_MOTION_DETECTIONS:]
        if len(recent) < 2:
            return np.zeros(2, np.float32)
        first, last = (self.boxes[row] for row in (recent[0], recent[-1]))
        moved = (last[:2] + last[2:] - first[:2] - first[2:]) / 2
        return np.asarray(moved * ((index - self.last_frame) / (recent[-1] - recent[0])), np.float32)

    def as_track(self) -> Track:
        """Return the rows so far as a Track."""
        return Track(
            self.number,
            self.first_frame,
            np.stack(self.boxes).astype(np.float32),
            np.stack(self.landmarks).astype(np.float32),
            np.array(self.scores, np.float32),
            np.array(self.flags, np.uint8),
            max(distance(self.first_appearance, self.recent[-1][1]), _MAX_CHANGE * self._lasting_suddenness()),
        )

    def _lasting_suddenness(self) -> float:
        """Return the largest suddenness of a change after which the face is as calm as before.

        A hand, a turn and a light keep changing it.
        """
        busts = [step.bust for step in self._steps]
        return max(
            min(step.suddenness, step.bust / max(_MAX_RATIO * max(busts[i + 1 : i + 3], default=0), _LEAST))
            for i, step in enumerate(self._steps)
        )


class Tracker:
    """Links detections to tracks frame by frame.

    In each frame, pairs (open track, detection) are matched by decreasing affinity: overlap of the boxes, nearness of
    the landmarks, likeness of the faces. A pair needs an overlap of at least `iou`, at the track's last position or at
    its expected one, and faces that could be the same: not replaced at once, nor, since an anchor up to 24 frames back,
    together with the picture around them. A track that is missed in more than `max_gap_frames` frames ends, and all
    tracks end at a cut. The frames between two detections of a track are interpolated. A detection that no track takes
    begins one, unless it is a part of a face that was just lost.
    """

    def __init__(self, *, iou: float, max_gap_frames: int) -> None:
        """Start before the first frame."""
        self._iou, self._max_gap_frames = iou, max_gap_frames
        self.open: list[ActiveTrack] = []
        self.tracks: list[ActiveTrack] = []
        self._pictures: Overviews = deque(maxlen=2 * _ANCHOR_FRAMES)
        self.has_rewritten = False
        """Whether rows of a track have been taken from it again, after a transition."""

    def add(self, index: int, found: Sequence[Detection] | None, *, is_cut: bool = False) -> None:
        """Take the detections of frame `index`, None if the detector skipped it. `is_cut`: it begins another shot."""
        before = self.open
        if is_cut:
            self.close()
        if found is None:
            return
        matches = self._match(index, found)
        matched_tracks = set(matches.values())
        for number, track in enumerate(self.open):
            if number not in matched_tracks:
                track.num_missed += 1
        for number, detection in enumerate(found):
            if number in matches:
                self.open[matches[number]].add(index, detection)
            elif not self._is_part_of_lost_face(detection):
                self._begin(index, detection, before)
        if found and found[0].appearance is not None:
            self._pictures.append((index, found[0].appearance.overview))
        for track in self.open:
            track.is_closed = track.num_missed > self._max_gap_frames
        self.open = [track for track in self.open if not track.is_closed]

    def close(self) -> None:
        """End all open tracks."""
        for track in self.open:
            track.is_closed = True
        self.open = []

    def _is_part_of_lost_face(self, detection: Detection) -> bool:
        """Return whether a detection is much smaller than an open face that was not found in this frame, and inside it.

        dlib takes parts of a face that turns away for faces.
        """
        (left, top, right, bottom), area = detection.box, _area(detection.box)
        for track in self.open:
            box = track.boxes[-1]
            width, height = np.minimum(box[2:], (right, bottom)) - np.maximum(box[:2], (left, top))
            is_inside = max(width, 0) * max(height, 0) >= _MIN_PART_INSIDE * area
            is_small = area <= _MAX_PART_SIDE**2 * _area(box)
            if track.num_missed and is_inside and is_small and not self._is_replaced(track, detection):
                return True
        return False

    def _is_replaced(self, track: ActiveTrack, part: Detection) -> bool:
        """Return whether the scene about a track's face has changed; a part of it has no surroundings but the face."""
        last = track.recent[-1][1]
        if last is None or part.appearance is None:
            return False
        return track.is_replaced_by(replace(part, appearance=replace(part.appearance, away=last.away)), self._pictures)

    def _begin(self, index: int, detection: Detection, before: Sequence[ActiveTrack]) -> None:
        track, own = ActiveTrack(len(self.tracks), index), [(index, detection)]
        for other in before:
            if float(box_iou(other.boxes[-1], detection.box[None])[0]) < self._iou:
                continue
            if other.num_missed and np.isinf(other.change(index, detection, self._pictures)):
                other.successor = track
            if other.anchor is not None and other.is_replaced_by(detection, self._pictures):
                track.came_from = other.recent[0][0], other.anchor
                if not other.is_closed:
                    own = [*other.hand_over(detection), (index, detection)]
        track.first_frame, self.has_rewritten = own[0][0], self.has_rewritten or len(own) > 1
        for number, one in own:
            track.add(number, one)
        self.tracks.append(track)
        self.open.append(track)

    def _match(self, index: int, detections: Sequence[Detection]) -> dict[int, int]:
        """Return detection number -> number of the open track, each used once; ties go to the lower numbers."""
        if not detections or not self.open:
            return {}
        overlap, affinity, change = (np.stack(rows) for rows in zip(*self._compare(index, detections), strict=True))
        is_possible = overlap >= self._iou
        rivals = np.maximum(is_possible.sum(axis=0, keepdims=True), is_possible.sum(axis=1, keepdims=True)) > 1
        missed = np.array([track.num_missed > 0 for track in self.open])[:, None]
        is_possible &= change <= np.where(rivals | missed, _MAX_CHANGE_IN_DOUBT, _MAX_CHANGE)
        matches: dict[int, int] = {}
        for flat in np.argsort(-affinity, axis=None, kind="stable"):
            track, detection = divmod(int(flat), len(detections))
            if is_possible[track, detection] and detection not in matches and track not in matches.values():
                matches[detection] = track
        return matches

    def _compare(self, index: int, detections: Sequence[Detection]) -> list[tuple[Floats, Floats, Floats]]:
        """Return per open track the overlap, affinity and change of appearance with each detection, (D,) each."""
        boxes = np.stack([detection.box for detection in detections])
        landmarks = np.stack([detection.landmarks for detection in detections])
        rows = []
        for track in self.open:
            box, shift = track.boxes[-1], track.shift(index)
            expected_overlap = box_iou(box + np.tile(shift, 2), boxes)
            overlap = np.maximum(box_iou(box, boxes), expected_overlap)
            separation = np.linalg.norm(landmarks - track.landmarks[-1] - shift, axis=2).mean(axis=1)
            nearness = np.clip(1 - separation / np.sqrt(max(_area(box), 1e-6)), 0, 1)
            change = np.array([track.change(index, detection, self._pictures) for detection in detections], np.float32)
            likeness = np.clip(1 - change / _APPEARANCE_RANGE, 0, 1)
            rows.append((overlap, np.asarray(overlap + expected_overlap + nearness + likeness, np.float32), change))
        return rows


def _area(box: Floats) -> float:
    return float((box[2:] - box[:2]).prod())


def link(detections: Detections, *, iou: float, max_gap_frames: int, cuts: Sequence[int] = ()) -> list[Track]:
    """Link the detections of consecutive frames into tracks, in order of their first frame; see Tracker."""
    tracker = Tracker(iou=iou, max_gap_frames=max_gap_frames)
    for index, frame_detections in enumerate(detections):
        tracker.add(index, frame_detections, is_cut=index in cuts)
    tracker.close()
    return [track.as_track() for track in tracker.tracks]
