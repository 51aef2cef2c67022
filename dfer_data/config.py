"""PrepareConfig: every setting that changes the bytes of a prepared dataset, and its hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dfer_data.errors import UsageError

Align = Literal["template", "given"]
Store = Literal["frames", "clips16"]
Partial = Literal["keep", "drop"]


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
    track_iou: float = 0.3
    """Least overlap of two boxes in neighbouring frames of one track."""
    max_gap_frames: int = 12
    """Longest run of frames without detection that is interpolated inside a track; a longer one splits it."""
    align: Align = "template"
    """`template`: warp the landmarks to a template; `given`: keep the dataset's own crops untouched."""
    size_px: int = 224
    """Side of the aligned picture."""
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
        if self.store not in ("frames", "clips16"):
            faults.append(f"--store {self.store}: frames or clips16 is needed")
        if self.partial not in ("keep", "drop"):
            faults.append(f"--partial {self.partial}: keep or drop is needed")
        if self.align not in ("template", "given"):
            faults.append(f"--align {self.align}: template or given is needed")
        elif (self.align == "given") != (self.detector == "none"):
            faults.append(
                f"--detector {self.detector} --align {self.align}: shipped crops are taken as they are by "
                "`--detector none --align given`; every other detector aligns with `--align template`"
            )
        if self.clip_seconds < 0:
            faults.append(f"--clip-seconds {self.clip_seconds:g}: 0 (never cut) or more is needed")
        if faults:
            raise UsageError("; ".join(faults))

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON of the settings, 64 hex digits."""
        return hashlib.sha256(canonical_json(self.as_dict())).hexdigest()


def canonical_json(value: Any) -> bytes:
    """Return the one UTF-8 spelling of a JSON value: sorted keys, no spaces, a final newline, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")
