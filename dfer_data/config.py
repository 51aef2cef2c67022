"""Settings of `prepare` that change the bytes of a prepared dataset.

Each setting is declared once (settings.py). PrepareConfig is the part that is stored and hashed in dataset.json. The
settings of how a run makes the bytes are in preparation/run_settings.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from annotated_types import Interval, MultipleOf

from dfer_data.errors import FormatVersionError
from dfer_data.settings import setting, settings_of, validate, with_absent
from dfer_data.storage.files import canonical_json
from dfer_data.video.tone_curves import ToneMap

PIPELINE_VERSION = 3
"""Increased with every change of pixels, landmarks or tracks at equal settings; stored in plan.json and dataset.json.

`prepare` resumes and retries only within one version; every version can be read. Without an entry, the version is 1."""
Align = Literal["template", "box", "given"]
AlignPoints = Literal["all", "rigid"]
AlignScale = Literal["frame", "track"]
SubjectRule = Literal["balanced", "largest", "central", "longest", "score"]
Precision = Literal["f32", "tf32", "bf16"]
Device = Literal["cpu", "cuda"]
Store = Literal["frames", "clips16"]
FAST_DETECT_EVERY = 5
"""`--detect-every` of `--fast`, and the default of `predict`."""
MOST_DETECT_EVERY = 8
"""At longer distances, landmarks between keyframes are too inaccurate for alignment."""
MIN_TRACK_FRAMES = 16
MIN_FACE_PX = 32.0
"""A crop of 224 pixels enlarges it nearly five times; on smaller rendered heads scores fall and landmarks are worse."""
MIN_TRACK_SCORE: Mapping[str, float] = MappingProxyType({"retinaface": 0.85})
"""Detector -> default; others have none. Rendered heads turned by up to 75 degrees have 0.97 or more."""
MIN_BRIGHTNESS = 8.0
"""Rendered heads with a fifth of their light have 12 or more."""
TRACK_LIMITS = ("min_track_frames", "min_face_px", "min_track_score", "min_brightness")
"""The settings that leave out tracks with `all_tracks`."""
_NOT_STORED: Mapping[str, object] = MappingProxyType(
    dict.fromkeys(TRACK_LIMITS)
    | {"align_points": "all", "align_scale": "frame", "jpeg_subsampling": "420", "audio": False}
)
"""Setting -> the value that is not stored, so that datasets made with it keep the bytes of the time before it."""
_DETECTOR, _SUBJECT, _CROPS = "Detector", "Subject", "Face crops"
_FOLDS, _LOCK = "Folds, for data without any", "Locks"


@dataclass(frozen=True, kw_only=True)
class FaceSettings:
    """The settings of detection, tracking, alignment and storage that a request and a stored config share."""

    detector: str = setting(
        "retinaface",
        "retinaface, dlib, or none for shipped crops.",
        panel=_DETECTOR,
        default_words="retinaface; none for datasets of crops",
        changes_pixels=True,
    )
    backbone: str | None = setting(
        None,
        "Backbone of retinaface: mobilenet0.25 or resnet50.",
        panel=_DETECTOR,
        default_words="mobilenet0.25",
        changes_pixels=True,
    )
    score_threshold: float | None = setting(
        None,
        "Minimum score of a detection, in the detector's own unit.",
        panel=_DETECTOR,
        is_rare=True,
        changes_pixels=True,
    )
    det_size_px: Annotated[int, Interval(ge=64, le=4096), MultipleOf(32)] = setting(
        640,
        "Long side of the detector's input image, in pixels.",
        flag="--det-size",
        panel=_DETECTOR,
        changes_pixels=True,
    )
    detect_every: Annotated[int, Interval(ge=1, le=MOST_DETECT_EVERY)] = setting(
        1,
        "Detect every K-th frame, and those between where faces appear, vanish or move far.",
        panel=_DETECTOR,
        changes_pixels=True,
    )
    precision: Precision = setting(
        "f32",
        "Number format of the detector; tf32: float32 rounded for products, CUDA only; bf16 on a CPU that has it, "
        "with the extra openvino.",
        panel=_DETECTOR,
        changes_pixels=True,
    )
    device: Device = setting(
        "cpu", "Where the detector runs; cuda needs the extra gpu.", panel=_DETECTOR, changes_pixels=True
    )
    track_iou: Annotated[float, Interval(gt=0, lt=1)] = setting(
        0.3,
        "Minimum overlap (IoU) of two boxes in neighbouring frames of one track.",
        panel=_SUBJECT,
        is_rare=True,
        changes_pixels=True,
    )
    max_gap_frames: Annotated[int, Interval(ge=0, le=1000)] = setting(
        16,
        "Longest run of frames without detection that is interpolated inside a track; a longer one splits it.",
        panel=_SUBJECT,
        is_rare=True,
        changes_pixels=True,
    )
    subject: SubjectRule = setting(
        "balanced", "How to choose the subject's track.", panel=_SUBJECT, changes_pixels=True
    )
    all_tracks: bool = setting(False, "Make one clip per person.", panel=_SUBJECT, changes_pixels=True)
    min_track_frames: Annotated[int, Interval(ge=0)] | None = setting(
        None,
        "With --all-tracks: leave out tracks of fewer frames, not counting those in gaps.",
        panel=_SUBJECT,
        default_words=f"{MIN_TRACK_FRAMES} with --all-tracks",
        changes_pixels=True,
    )
    min_face_px: Annotated[float, Interval(ge=0)] | None = setting(
        None,
        "With --all-tracks: leave out smaller faces; the mean square root of the box's area, in source pixels.",
        panel=_SUBJECT,
        default_words=f"{MIN_FACE_PX:g} with --all-tracks",
        changes_pixels=True,
    )
    min_track_score: float | None = setting(
        None,
        "With --all-tracks: leave out tracks of a lower mean score, in the detector's own unit.",
        panel=_SUBJECT,
        default_words=f"{MIN_TRACK_SCORE['retinaface']:g} with --all-tracks and retinaface",
        changes_pixels=True,
    )
    min_brightness: Annotated[float, Interval(ge=0, le=255)] | None = setting(
        None,
        "With --all-tracks: leave out darker faces; the mean luma from brows to chin, 0 to 255.",
        panel=_SUBJECT,
        default_words=f"{MIN_BRIGHTNESS:g} with --all-tracks",
        changes_pixels=True,
    )
    undetected: Literal["interpolate", "drop"] = setting(
        "interpolate",
        "Frames in a gap of a track: with interpolated landmarks, or left out.",
        panel=_SUBJECT,
        changes_pixels=True,
    )
    align: Align | None = setting(
        None,
        "How a face becomes a crop: landmarks warped to a template, the detector's padded box, or the given crop.",
        panel=_CROPS,
        default_words="template; given with --detector none",
        changes_pixels=True,
    )
    align_points: AlignPoints = setting(
        "all",
        "With --align template: align all five landmarks, or those that expressions move least: eyes and nose.",
        panel=_CROPS,
        changes_pixels=True,
    )
    align_scale: AlignScale = setting(
        "frame",
        "With --align template: fit the scale of each frame, or use the median over the track.",
        panel=_CROPS,
        changes_pixels=True,
    )
    deinterlace: bool = setting(
        False,
        "Deinterlace the frames that a video marks as interlaced, with FFmpeg's bwdif.",
        panel=_CROPS,
        is_rare=True,
        changes_pixels=True,
    )
    tone_map: ToneMap = setting(
        "none",
        "Convert HDR videos (PQ, HLG) to sRGB by a curve of FFmpeg's tonemap; mobius keeps the brightness of faces.",
        panel=_CROPS,
        is_rare=True,
        changes_pixels=True,
    )
    size_px: Annotated[int, Interval(ge=32, le=1024)] = setting(
        224, "Side of an aligned face, in pixels.", flag="--size", panel=_CROPS, changes_pixels=True
    )
    box_padding: Annotated[float, Interval(ge=0, le=2)] = setting(
        0.2,
        "With --align box: share of its longer side added on each side.",
        panel=_CROPS,
        is_rare=True,
        changes_pixels=True,
    )
    template_scale: Annotated[float, Interval(ge=0.2, le=1.5)] = setting(
        0.8,
        "Size of the face in the crop; 1 is ArcFace's, less keeps more of brow and chin.",
        panel=_CROPS,
        is_rare=True,
        changes_pixels=True,
    )
    smoothing_window_frames: Annotated[int, Interval(ge=1, le=99)] = setting(
        7,
        "Odd number of frames in the Savitzky-Golay filter of the landmarks; 1: no filter.",
        flag="--smoothing-window",
        panel=_CROPS,
        is_rare=True,
        changes_pixels=True,
    )
    smoothing_order: Annotated[int, Interval(ge=0, le=5)] = setting(
        2, "Polynomial order of that filter.", panel=_CROPS, is_rare=True, changes_pixels=True
    )
    jpeg_quality: Annotated[int, Interval(ge=1, le=100)] = setting(
        95, "JPEG quality of stored faces.", panel=_CROPS, is_rare=True, changes_pixels=True
    )
    jpeg_subsampling: Literal["420", "444"] = setting(
        "420",
        "Chroma of stored faces: 420 halves its width and height, 444 keeps it.",
        panel=_CROPS,
        is_rare=True,
        changes_pixels=True,
    )
    store: Store = setting(
        "frames", "Every aligned frame as JPEG, or the 16 test frames as plain uint8 tensors.", panel=_CROPS
    )
    audio: bool = setting(
        False, "Store the sound of each clip too: 16 kHz, mono, cut to the time span of its frames.", panel=_CROPS
    )
    clip_seconds: Annotated[float, Interval(ge=0)] = setting(
        60.0, "Longer videos of a folder are split into several clips; 0: never.", panel=_CROPS
    )
    partial: Literal["keep", "drop"] = setting(
        "keep", "Clips whose video ends early or is damaged: marked, or left out with a ledger row.", panel=_CROPS
    )

    def rules(self) -> Iterator[str]:
        """Yield the faults between settings, and those that bounds cannot express."""
        if self.smoothing_window_frames % 2 == 0:
            yield (
                f"--smoothing-window {self.smoothing_window_frames}: must be an odd number of frames; 1 switches it off"
            )
        if 1 < self.smoothing_window_frames <= self.smoothing_order:
            yield (
                f"--smoothing-order {self.smoothing_order}: must be less than --smoothing-window "
                f"{self.smoothing_window_frames}"
            )
        limits = [name for name in TRACK_LIMITS if getattr(self, name) is not None]
        if limits and not self.all_tracks:
            flags = [settings_of(FaceSettings)[name].flag for name in limits]
            yield f"{' and '.join(flags)}: only with --all-tracks"
        if self.align in ("box", "given"):
            values = {"--align-points": self.align_points, "--align-scale": self.align_scale}
            given = [f"{flag} {value}" for flag, value in values.items() if value not in ("all", "frame")]
            yield from [f"{' and '.join(given)}: only with --align template"] if given else []

    def __post_init__(self) -> None:
        """Check all settings; raise one UsageError that lists every fault."""
        validate(self, rules=self.rules(), by_flag=True)


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(FaceSettings):
    """Settings stored with a dataset; equal configs on equal sources give byte-identical datasets."""

    dataset: str
    """Name of the source adapter."""
    detector: str = field()
    """Name of a registered detector."""
    backbone: str = field()
    """The detector's network or method; a default is already resolved."""
    weights_sha256: str
    """Hash of the detector's model file; empty if it has none."""
    score_threshold: float = 0.7
    """Minimum score of a detection, in the detector's own unit."""
    align: Align = setting("template")

    def rules(self) -> Iterator[str]:
        """Yield the faults between settings."""
        yield from super().rules()
        if (self.align == "given") != (self.detector == "none"):
            yield (
                f"--detector {self.detector} --align {self.align}: cannot be combined; `--detector none "
                "--align given` keeps shipped crops as they are, every other detector needs `--align template` or `box`"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PrepareConfig:
        """Build a config from the settings in a dataset.json; see `with_absent` for missing ones.

        Raises FormatVersionError for unknown settings.
        """
        if unknown := sorted(values.keys() - {field.name for field in fields(cls)}):
            raise FormatVersionError(
                f"the dataset was made with settings of a newer dfer ({', '.join(unknown)}): update"
            )
        return cls(**with_absent(cls, values))

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values; some are left out where they change nothing, as before they existed."""
        return {
            name: value for name, value in asdict(self).items() if name not in _NOT_STORED or value != _NOT_STORED[name]
        }

    @property
    def has_track_limits(self) -> bool:
        """Whether tracks can be left out."""
        return any(getattr(self, name) is not None for name in TRACK_LIMITS)

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON of the settings, 64 hex digits."""
        return hashlib.sha256(canonical_json(self.as_dict())).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Request(FaceSettings):
    """What a user asks of `prepare`; `preparation.request.resolve_request` turns it into a plan."""

    dataset: str
    """Name of the adapter."""
    source: Path = setting(help="Folder of the dataset.", default_words="data/DATASET")
    weights: Path | None = setting(None, "Your own model file for the detector.", panel=_DETECTOR, changes_pixels=True)
    subjects: Path | None = setting(
        None, "CSV (clip_id, track) of subjects chosen by hand.", panel=_SUBJECT, changes_pixels=True
    )
    crops: str | None = setting(
        None, "Use shipped crops, from folders of this name.", panel=_CROPS, changes_pixels=True
    )
    limit: Annotated[int, Interval(ge=1)] | None = setting(
        None,
        "Prepare only this many videos, spread over the classes, as a pilot; a later run without it prepares the rest.",
        once=True,
    )
    exclude: Path | None = setting(
        None, "File with the ids of videos and clips that must not be prepared, one per line."
    )
    from_lock: Path | None = setting(
        None,
        "Rebuild the dataset of this lock from your copy of the videos, without a detector; its settings apply.",
        flag="--from",
        panel=_LOCK,
        once=True,
    )
    like: Path | None = setting(
        None, "Use the settings of this lock on other data; an option that you give wins.", panel=_LOCK, once=True
    )
    folding: Folding | None = None
    """How to make folds, for data without its own folds."""


@dataclass(frozen=True)
class Folding:
    """Settings of the folds; the same settings and videos always give the same folds."""

    num_folds: Annotated[int, Interval(ge=2, le=1000)] = setting(
        help="Make this many folds; each clip is in the test part of one. loso: leave one subject, or group, out.",
        flag="--folds",
        panel=_FOLDS,
        words={"loso": 0},
    )
    group_by: str = setting(
        "subject", "What a fold keeps together.", panel=_FOLDS, choices=("subject", "folder", "clip")
    )
    stratify: bool = setting(False, "Spread each class evenly over the folds.", panel=_FOLDS)
    seed: Annotated[int, Interval(ge=0)] = setting(
        0, "Seed of the order in which groups are assigned to folds.", panel=_FOLDS
    )

    def __post_init__(self) -> None:
        """Raise one UsageError with all invalid values."""
        validate(self, by_flag=True)

    @property
    def rule(self) -> str:
        """Short text that records how the folds were made."""
        if self.num_folds == 0:
            return f"one fold per {self.group_by}"
        stratified = ", stratified" if self.stratify else ""
        return f"{self.num_folds} folds by {self.group_by}{stratified}, seed {self.seed}"
