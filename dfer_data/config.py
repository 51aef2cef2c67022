"""PrepareConfig: every setting that changes the bytes of a prepared dataset, and its hash.

A setting that is added later gets `metadata={"absent": VALUE}` in its field: the rule of the time before it, which a
stored config without the setting means, whatever the default is by then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, get_args

from dfer_data.errors import FormatVersionError, UsageError
from dfer_data.storage.files import canonical_json

PIPELINE_VERSION = 1
"""Raised with every change of pixels, landmarks or tracks at equal settings; stored in plan.json and dataset.json.

`prepare` resumes and retries within one version; all are read. A plan or dataset that names none is of version 1."""
Align = Literal["template", "box", "given"]
SubjectRule = Literal["balanced", "largest", "central", "longest", "score"]
Undetected = Literal["interpolate", "drop"]
Precision = Literal["f32", "bf16"]
Device = Literal["cpu", "cuda"]
Store = Literal["frames", "clips16"]
Partial = Literal["keep", "drop"]
FAST_DETECT_EVERY = 5
"""What `--fast` means, and the default in `predict`."""
MOST_DETECT_EVERY = 8
"""Further apart, landmarks between keyframes are off by more than what they are used for."""


def with_absent(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored settings of a dataclass, completed by the rule of the time when each missing one did not exist."""
    completed = dict(values)
    for field in fields(kind):
        rule = field.metadata.get("absent", field.default)
        if field.name not in values and rule is not MISSING:
            completed[field.name] = rule
    return completed


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Settings of `prepare`; two runs with equal configs on equal sources give equal bytes."""

    dataset: str
    """Name of the source adapter."""
    detector: str
    """Registered detector name."""
    backbone: str
    """The detector's network or method, resolved."""
    weights_sha256: str
    """Of the detector's model file; empty where there is none."""
    det_size_px: int = 640
    """Long side of the picture the detector sees."""
    score_threshold: float = 0.7
    """Least score of a detection, in the detector's own unit."""
    detect_every: int = 1
    """Frames from one that is surely detected to the next; those between are where the two disagree (keyframes.py)."""
    precision: Precision = "f32"
    """What the detector computes in."""
    device: Device = "cpu"
    """What it computes on."""
    track_iou: float = 0.3
    """Least overlap of two boxes in neighbouring frames of one track."""
    max_gap_frames: int = 12
    """Longest run of frames without detection that is interpolated inside a track; a longer one splits it."""
    subject: SubjectRule = "balanced"
    """Which track a clip is about; see `choose_subject`."""
    all_tracks: bool = False
    """Every person a clip of its own, instead of one subject."""
    undetected: Undetected = "interpolate"
    """Frames of a gap: kept with interpolated landmarks, or left out."""
    align: Align = "template"
    """`template`: warp the landmarks to a template; `box`: the detector's box, made square and padded, not turned;
    `given`: keep the dataset's own crops untouched."""
    size_px: int = 224
    """Side of the aligned picture."""
    box_padding: float = 0.2
    """For `box`: what is added on each side, as a share of the longer side of the box."""
    template_scale: float = 0.8
    """1 puts the eyes where ArcFace's template has them; smaller keeps more of brow and chin."""
    smoothing_window_frames: int = 7
    """Savitzky-Golay window over landmarks along a track; 1 switches smoothing off."""
    smoothing_order: int = 2
    """Polynomial order of that filter."""
    jpeg_quality: int = 95
    """Of stored aligned pictures, 4:2:0 chroma."""
    store: Store = "frames"
    """`frames`: every aligned frame as JPEG; `clips16`: the 16 test frames as plain uint8 tensors."""
    clip_seconds: float = 60.0
    """Videos longer than this become several clips (0: never)."""
    partial: Partial = "keep"
    """What becomes of a clip whose source ends early or has damaged frames: kept and marked, or a ledger row."""

    def __post_init__(self) -> None:
        """Collect every fault of the settings and raise them as one UsageError."""
        faults = []
        if not 64 <= self.det_size_px <= 4096 or self.det_size_px % 32:
            faults.append(f"--det-size {self.det_size_px}: a multiple of 32 from 64 to 4096 is needed")
        if not 1 <= self.jpeg_quality <= 100:
            faults.append(f"--jpeg-quality {self.jpeg_quality}: 1 to 100 is needed")
        if not 1 <= self.detect_every <= MOST_DETECT_EVERY:
            faults.append(f"--detect-every {self.detect_every}: 1 to {MOST_DETECT_EVERY} is needed")
        if not 32 <= self.size_px <= 1024:
            faults.append(f"--size {self.size_px}: 32 to 1024 pixels are needed")
        if not 0.2 <= self.template_scale <= 1.5:
            faults.append(f"--template-scale {self.template_scale:g}: 0.2 to 1.5 is needed")
        if not 0 <= self.box_padding <= 2:
            faults.append(f"--box-padding {self.box_padding:g}: 0 to 2 is needed")
        if self.smoothing_window_frames < 1 or self.smoothing_window_frames % 2 == 0:
            faults.append(
                f"--smoothing-window {self.smoothing_window_frames}: an odd number of frames, 1: none, is needed"
            )
        for flag, value, words in (
            ("subject", self.subject, get_args(SubjectRule)),
            ("undetected", self.undetected, get_args(Undetected)),
            ("precision", self.precision, get_args(Precision)),
            ("device", self.device, get_args(Device)),
        ):
            if value not in words:
                faults.append(f"--{flag} {value}: {', '.join(words[:-1])} or {words[-1]} is needed")
        if self.store not in ("frames", "clips16"):
            faults.append(f"--store {self.store}: frames or clips16 is needed")
        if self.partial not in ("keep", "drop"):
            faults.append(f"--partial {self.partial}: keep or drop is needed")
        if self.align not in get_args(Align):
            faults.append(f"--align {self.align}: template, box or given is needed")
        elif (self.align == "given") != (self.detector == "none"):
            faults.append(
                f"--detector {self.detector} --align {self.align}: shipped crops are taken as they are by "
                "`--detector none --align given`; every other detector aligns with `--align template` or `box`"
            )
        if self.clip_seconds < 0:
            faults.append(f"--clip-seconds {self.clip_seconds:g}: 0 (never cut) or more is needed")
        if faults:
            raise UsageError("; ".join(faults))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PrepareConfig:
        """Return settings as a dataset.json has them; what was no setting yet follows the rule of its time.

        Raises FormatVersionError for settings that this dfer does not know.
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
