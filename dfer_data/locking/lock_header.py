"""The header of a lock: the dataset, its sources, clips and failures, checked before anything relies on it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pydantic

from dfer_data.config import PrepareConfig
from dfer_data.detect.registry import detector_spec
from dfer_data.errors import DferError
from dfer_data.frame_sampling import CLIP_FRAMES
from dfer_data.loading.document import document_faults, is_below
from dfer_data.sources.base import Split

_MOST_TEXT = 4096
_Text = Annotated[str, pydantic.StringConstraints(max_length=_MOST_TEXT)]
_Sha256 = Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{64}$")]
_Code = Annotated[str, pydantic.StringConstraints(pattern="^[A-Z][A-Z0-9_]{0,39}$")]
_Suffix = Annotated[str, pydantic.StringConstraints(pattern="^(#[0-9]{4,9})?(@[0-9]{1,9})?$")]
_Int32 = Annotated[int, pydantic.Field(ge=0, lt=2**31)]
_Count = Annotated[int, pydantic.Field(ge=0, le=2**53)]
_Float = Annotated[float, pydantic.Field(allow_inf_nan=False)]
_Reasons = Annotated[list[Annotated[str, pydantic.StringConstraints(max_length=40)]], pydantic.Field(min_length=1)]
_Place = Annotated[list[_Float], pydantic.Field(min_length=11, max_length=11)]


class _Record(pydantic.BaseModel):
    """A part of the header with no other fields than these, of exactly these types."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class LockedClip(_Record):
    """A clip with faces: the columns of its sidecar row that do not follow from its source or its frames."""

    suffix: _Suffix
    """What follows the id of its video in its own: empty, or such as `#0000@2`."""
    status: Literal["ok", "partial"]
    reason: _Text
    num_frames: Annotated[int, pydantic.Field(ge=1, lt=2**31)]
    fps: _Float
    duration_seconds: _Float
    width_px: _Int32
    height_px: _Int32
    num_source_frames: _Int32
    detection_rate: _Float | None
    mean_score: _Float | None
    num_interpolated: _Int32
    num_tracks: _Int32
    track: _Int32
    ambiguity: _Float
    drift: _Float
    rivals: list[_Int32]
    scale: Annotated[float, pydantic.Field(gt=0, lt=1e6)] | None = None
    """The one scale of its alignment, where it has one."""
    portrait_places: list[_Place] | None = None
    """Per rival: the frame of its portrait, and its five landmarks there as x0, y0 ... x4, y4."""

    def num_stored(self, config: PrepareConfig) -> int:
        """Return the number of its frames in the lock."""
        return CLIP_FRAMES if config.store == "clips16" else self.num_frames


class LockedFailure(_Record):
    """A clip without faces, as the ledger has it."""

    suffix: _Suffix
    code: _Code
    message: _Text
    frame: _Int32 | None
    hint: _Text


class LockedTrack(_Record):
    """A track that makes no clip."""

    suffix: _Suffix
    track: _Int32
    reasons: _Reasons
    num_frames: _Int32
    face_px: _Float
    mean_score: _Float
    brightness: _Float | None


class Annotation(_Record):
    """Label, person, votes and, where there are several, all labels of a video."""

    label: _Text | None
    group: _Text | None
    votes: list[_Count] | None
    labels: list[_Text] | None = None


class LockedVideo(_Record):
    """A source: a video, or a folder of shipped crops."""

    key: _Sha256
    """Hash of its id; see `video_key`."""
    num_bytes: _Count
    sha256: _Sha256 | Literal[""]
    """Hash of its file, or of all its pictures; empty where no clip was made of it."""
    clips: list[LockedClip]
    failures: list[LockedFailure]
    left_out: list[LockedTrack]
    subjects: list[tuple[_Suffix, _Int32]] | None = None
    """Suffix of a clip, and the track that a person chose for it."""
    clip_id: _Text | None = None
    """Its id, in a lock with paths."""
    path: _Text | None = None
    """Its path below the folder of the dataset, in a lock with paths."""
    annotation: Annotation | None = None
    """In a lock with labels."""

    @property
    def name(self) -> str:
        """Its id, or what is known of it."""
        return self.clip_id if self.clip_id is not None else f"unknown-{self.key[:16]}"


Amended = tuple[_Int32, _Suffix, dict[Literal["label", "group"], _Text]]
"""Number of a video, suffix of its clip, and the label and group that were given by hand."""


class LockHeader(_Record):
    """All that a lock holds besides its frames."""

    document: dict[str, Any]
    """dataset.json."""
    shards: list[_Int32]
    """Number of videos of each shard."""
    videos: list[LockedVideo]
    """In the order of shards."""
    limit: _Int32 | None = None
    """Number of videos of a pilot."""
    folds: dict[str, dict[Split, list[_Int32]]] | None = None
    """Fold -> split -> numbers of its videos, in a lock with labels."""
    amended: list[Amended] | None = None
    """In a lock with labels."""

    @property
    def config(self) -> PrepareConfig:
        """The settings of the dataset. Raises DferError for impossible ones."""
        return PrepareConfig.from_dict(self.document["config"])

    @property
    def has_paths(self) -> bool:
        """Whether it names its sources."""
        return any(video.clip_id is not None for video in self.videos)

    @property
    def has_labels(self) -> bool:
        """Whether it holds labels and folds."""
        return self.folds is not None

    def clips(self) -> Iterator[tuple[LockedVideo, LockedClip]]:
        """Yield every clip with faces and its video, in the order of their frames."""
        for video in self.videos:
            for clip in video.clips:
                yield video, clip


def video_key(clip_id: str) -> str:
    """Return the sha256 of the id of a video, by which a lock without paths recognises it."""
    return hashlib.sha256(clip_id.encode("utf-8", "surrogatepass")).hexdigest()


def parse_header(content: bytes) -> LockHeader:
    """Return the header of a lock after its checks. Raises ValueError with its first fault."""
    try:
        header = LockHeader.model_validate_json(content)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place:.200}: {first['msg']:.200}") from error
    if fault := next(document_faults(header.document), ""):
        raise ValueError(f"its dataset.json {fault:.300}")
    try:
        config = header.config
        detector_spec(config.detector)
    except DferError as error:
        raise ValueError(f"its settings are impossible: {error!s:.300}") from error
    if fault := next(_faults(header, config), ""):
        raise ValueError(fault)
    return header


def _faults(header: LockHeader, config: PrepareConfig) -> Iterator[str]:
    """Yield what a rebuild relies on and the header lacks."""
    counts = header.document["counts"]
    if "content_sha256" not in header.document:
        yield "its dataset.json has no content_sha256"
    if sum(header.shards) != len(header.videos) or len(header.shards) != len(header.document["shards"]):
        yield "its shards do not hold its videos"
    if len({video.key for video in header.videos}) < len(header.videos):
        yield "it has a video twice"
    clips = [clip for video in header.videos for clip in video.clips]
    num_failed = sum(len(video.failures) for video in header.videos)
    if (len(clips) + num_failed, sum(clip.num_frames for clip in clips)) != (counts["clips"], counts["frames"]):
        yield "its clips are not those that its dataset.json counts"
    if any(clip.portrait_places and len(clip.portrait_places) != len(clip.rivals) for clip in clips):
        yield "it has an ambiguous clip whose other faces are nowhere"
    for video in header.videos:
        ids = [*(clip.suffix for clip in video.clips), *(failure.suffix for failure in video.failures)]
        if len(set(ids)) < len(ids) or not ids:
            yield f"{video.name:.100} has a clip twice, or none"
        if (video.clip_id is None) != (video.path is None) or (
            video.clip_id is not None and video_key(video.clip_id) != video.key
        ):
            yield f"{video.name:.100} has another id than its key says"
        if outside := [name for name in (video.path, video.clip_id) if name is not None and not is_below(name)]:
            yield f"it names a path outside the folder of the dataset: {outside[0]!r:.100}"
        if (video.annotation is not None) != header.has_labels:
            yield f"{video.name:.100}: only some videos have labels"
    yield from _label_faults(header)


def _label_faults(header: LockHeader) -> Iterator[str]:
    most = len(header.videos)
    numbers = [number for splits in (header.folds or {}).values() for part in splits.values() for number in part]
    if any(number >= most for number in (*numbers, *(row[0] for row in header.amended or ()))):
        yield "its folds or labels name a video that it does not have"
    if header.folds is not None and header.folds.keys() != header.document["counts"]["folds"].keys():
        yield "its folds are not those that its dataset.json counts"
    names = set(header.document["class_names"])
    labels = {video.annotation.label for video in header.videos if video.annotation}
    labels |= {row[2].get("label") for row in header.amended or ()}
    if unknown := labels - names - {None}:
        yield f"it has the label {sorted(map(str, unknown))[0]!r:.100}, which is no class of its dataset.json"
