"""PrepareConfig: every setting that changes the bytes of a prepared dataset, and its hash.

A setting that is added later gets `metadata={"absent": VALUE}` in its field: the behaviour before the setting existed.
A stored config without the setting means this value, whatever the current default is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, get_args

from dfer_data.errors import FormatVersionError, UsageError
from dfer_data.storage.files import canonical_json

PIPELINE_VERSION = 1
"""Increased with every change of pixels, landmarks or tracks at equal settings; stored in plan.json and dataset.json.

`prepare` resumes and retries only within one version; every version can be read. Without an entry, the version is 1."""
Align = Literal["template", "box", "given"]
SubjectRule = Literal["balanced", "largest", "central", "longest", "score"]
Undetected = Literal["interpolate", "drop"]
Precision = Literal["f32", "bf16"]
Device = Literal["cpu", "cuda"]
Store = Literal["frames", "clips16"]
Partial = Literal["keep", "drop"]
FAST_DETECT_EVERY = 5
"""`--detect-every` of `--fast`, and the default of `predict`."""
MOST_DETECT_EVERY = 8
"""At longer distances, landmarks between keyframes are too inaccurate for alignment."""


def with_absent(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored settings of a dataclass; each missing one gets the value that applied before it existed."""
    completed = dict(values)
    for field in fields(kind):
        value = field.metadata.get("absent", field.default)
        if field.name not in values and value is not MISSING:
            completed[field.name] = value
    return completed


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Settings of `prepare`; equal configs on equal sources give byte-identical datasets."""

    dataset: str
    """Name of the source adapter."""
    detector: str
    """Name of a registered detector."""
    backbone: str
    """The detector's network or method; a default is already resolved."""
    weights_sha256: str
    """Hash of the detector's model file; empty if it has none."""
    det_size_px: int = 640
    """Long side of the detector's input image."""
    score_threshold: float = 0.7
    """Minimum score of a detection, in the detector's own unit."""
    detect_every: int = 1
    """Distance between keyframes; frames between are detected only where two keyframes disagree (keyframes.py)."""
    precision: Precision = "f32"
    """Number format of the detector's computation."""
    device: Device = "cpu"
    """Device on which the detector runs."""
    track_iou: float = 0.3
    """Minimum overlap (IoU) of two boxes in neighbouring frames of one track."""
    max_gap_frames: int = 12
    """Longest run of frames without detection that is interpolated inside a track; a longer one splits it."""
    subject: SubjectRule = "balanced"
    """Rule that chooses the track of a clip; see `choose_subject`."""
    all_tracks: bool = False
    """Store a separate clip for every person instead of one subject."""
    undetected: Undetected = "interpolate"
    """`interpolate`: keep the frames of a gap with interpolated landmarks; `drop`: leave them out."""
    align: Align = "template"
    """`template`: warp the landmarks to a template; `box`: crop the detector's box, made square and padded, unrotated;
    `given`: keep the dataset's own crops untouched."""
    size_px: int = 224
    """Side of the aligned face image."""
    box_padding: float = 0.2
    """For `box`: padding of each side, as a share of the longer side of the box."""
    template_scale: float = 0.8
    """1 puts the eyes at their position in ArcFace's template; smaller values keep more of brow and chin."""
    smoothing_window_frames: int = 7
    """Savitzky-Golay window over landmarks along a track; 1 switches smoothing off."""
    smoothing_order: int = 2
    """Polynomial order of that filter."""
    jpeg_quality: int = 95
    """JPEG quality of stored face images, with 4:2:0 chroma."""
    store: Store = "frames"
    """`frames`: every aligned frame as JPEG; `clips16`: the 16 test frames as plain uint8 tensors."""
    clip_seconds: float = 60.0
    """Videos longer than this are cut into several clips (0: never)."""
    partial: Partial = "keep"
    """Clips whose source ends early or has damaged frames: `keep` and mark them, or `drop` them with a ledger row."""

    def __post_init__(self) -> None:
        """Check all settings; raise one UsageError that lists every fault."""
        faults = []
        if not 64 <= self.det_size_px <= 4096 or self.det_size_px % 32:
            faults.append(f"--det-size {self.det_size_px}: must be a multiple of 32 from 64 to 4096")
        if not 1 <= self.jpeg_quality <= 100:
            faults.append(f"--jpeg-quality {self.jpeg_quality}: must be 1 to 100")
        if not 1 <= self.detect_every <= MOST_DETECT_EVERY:
            faults.append(f"--detect-every {self.detect_every}: must be 1 to {MOST_DETECT_EVERY}")
        if not 32 <= self.size_px <= 1024:
            faults.append(f"--size {self.size_px}: must be 32 to 1024 pixels")
        if not 0.2 <= self.template_scale <= 1.5:
            faults.append(f"--template-scale {self.template_scale:g}: must be 0.2 to 1.5")
        if not 0 <= self.box_padding <= 2:
            faults.append(f"--box-padding {self.box_padding:g}: must be 0 to 2")
        if self.smoothing_window_frames < 1 or self.smoothing_window_frames % 2 == 0:
            faults.append(
                f"--smoothing-window {self.smoothing_window_frames}: must be an odd number of frames; 1 switches it off"
            )
        for flag, value, choices in (
            ("subject", self.subject, get_args(SubjectRule)),
            ("undetected", self.undetected, get_args(Undetected)),
            ("precision", self.precision, get_args(Precision)),
            ("device", self.device, get_args(Device)),
        ):
            if value not in choices:
                faults.append(f"--{flag} {value}: must be {', '.join(choices[:-1])} or {choices[-1]}")
        if self.store not in ("frames", "clips16"):
            faults.append(f"--store {self.store}: must be frames or clips16")
        if self.partial not in ("keep", "drop"):
            faults.append(f"--partial {self.partial}: must be keep or drop")
        if self.align not in get_args(Align):
            faults.append(f"--align {self.align}: must be template, box or given")
        elif (self.align == "given") != (self.detector == "none"):
            faults.append(
                f"--detector {self.detector} --align {self.align}: cannot be combined; `--detector none "
                "--align given` keeps shipped crops as they are, every other detector needs `--align template` or `box`"
            )
        if self.clip_seconds < 0:
            faults.append(f"--clip-seconds {self.clip_seconds:g}: must be 0 (never cut) or more")
        if faults:
            raise UsageError("; ".join(faults))

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
        """Return the settings as JSON values."""
        return asdict(self)

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON of the settings, 64 hex digits."""
        return hashlib.sha256(canonical_json(self.as_dict())).hexdigest()
