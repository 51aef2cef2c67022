"""What a source video gives: clips with their facts and faces, and what could not be made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dfer_data.errors import VideoError
from dfer_data.faces.aligned_faces import Face
from dfer_data.faces.track_filter import LeftOutTrack
from dfer_data.types import Floats, Image

AMBIGUOUS = 0.5
"""A clip is ambiguous when its second track has at least this share of the first track's weight."""
DRIFT = 0.5
"""A clip is ambiguous from this drift of its track on."""


@dataclass(frozen=True, eq=False)
class ClipFacts:
    """Facts about a clip that are known before its faces are made; the clip's columns in the manifest."""

    clip_id: str
    """`ID#0000` and so on where a long video was cut."""
    num_frames: int
    """Number of aligned frames."""
    fps: float
    """Frame rate of the source; 0 when unknown."""
    duration_seconds: float
    """From the clip's first source frame to its last, plus one frame; 0 when unknown."""
    width_px: int
    """Width of the upright source frame."""
    height_px: int
    """Height of the upright source frame."""
    num_source_frames: int
    """Frames decoded for this clip."""
    detection_rate: float | None
    """Frames with a detection of the subject over frames shown to the detector; None for shipped crops."""
    mean_score: float | None
    """Mean detector score of the subject; None for shipped crops."""
    num_interpolated: int
    """Frames interpolated in gaps of the track."""
    num_tracks: int
    """Tracks seen in the clip."""
    track: int
    """Number of the track that the clip shows, in order of appearance."""
    ambiguity: float
    """Weight of the best other track over this track's weight; above 1 only where a person chose this track."""
    is_partial: bool
    """Whether the source ended early or was damaged."""
    reason: str
    """Why the clip is partial; empty otherwise."""


@dataclass(frozen=True, eq=False)
class Rival:
    """Another face that an ambiguous clip could be about."""

    track: int
    """Number of the face's track."""
    portrait: Image
    """(96, 96, 3) uint8 RGB: the face near its highest detector score."""
    frame_index: int | None
    """Frame of the portrait; None where it is not known."""
    landmarks: Floats
    """(5, 2) float32: its landmarks there, by which the portrait is aligned."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip: its facts, its faces, possibly made lazily, and the other faces it could be about."""

    facts: ClipFacts
    faces: Iterator[Face]
    """In frame order."""
    rivals: tuple[Rival, ...] = ()
    """Empty unless the clip is ambiguous."""
    drift: float = 0.0
    """Of the track, see Track; two people differ by 0.4 or more between the first detection and the last."""
    hdr: str = ""
    """`PQ` or `HLG` where the video is HDR."""
    turn_degrees: int = 0
    """By how much clockwise the video has to be turned for the face to be upright."""
    times_fall: bool = False
    """Whether the times of the video, up to the end of the clip, have jumped back."""
    scale: float | None = None
    """The one scale of its alignment, in aligned pixels per source pixel; None where each frame has its own."""


@dataclass(frozen=True)
class Failure:
    """A clip that could not be made."""

    clip_id: str
    """Id that the clip would have had."""
    error: VideoError


@dataclass(frozen=True)
class TracksLeftOut:
    """The tracks of a clip that make no clip with `all_tracks`; at least one."""

    clip_id: str
    """Id of the clip without the number of a track."""
    tracks: tuple[LeftOutTrack, ...]
