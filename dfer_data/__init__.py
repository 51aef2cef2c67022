"""Turn raw face videos into a dataset of aligned face clips: decode, detect, track, align, store, read back.

import dfer_data as dd

dd.prepare("dfew", source="data/dfew", out="prepared/dfew")
data = dd.open_dataset("prepared/dfew")
clips = dd.FaceClipDataset(data, fold=3, split="train")
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# onnxruntime 1.29 and later reports its use to its makers and keeps a number of this machine in the home folder, from
# the moment it is imported. A value that the user sets wins.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from dfer_data.auditing.run import audit as audit
    from dfer_data.exchange.run import export as export
    from dfer_data.inspection.verify import verify as verify
    from dfer_data.loading.clip_dataset import FaceClipDataset as FaceClipDataset
    from dfer_data.loading.clip_dataset import FrameDraw as FrameDraw
    from dfer_data.loading.clip_dataset import collate as collate
    from dfer_data.loading.concat import ConcatClips as ConcatClips
    from dfer_data.loading.kept_open import read_audio as read_audio
    from dfer_data.loading.kept_open import read_clip as read_clip
    from dfer_data.loading.loader import ClipLoader as ClipLoader
    from dfer_data.loading.prepared import PreparedDataset as PreparedDataset
    from dfer_data.loading.prepared import open_dataset as open_dataset
    from dfer_data.locking.make_lock import lock as lock
    from dfer_data.preparation.run import prepare as prepare

_LAZY = {
    "ClipLoader": "dfer_data.loading.loader",
    "ConcatClips": "dfer_data.loading.concat",
    "FaceClipDataset": "dfer_data.loading.clip_dataset",
    "FrameDraw": "dfer_data.loading.clip_dataset",
    "PreparedDataset": "dfer_data.loading.prepared",
    "audit": "dfer_data.auditing.run",
    "collate": "dfer_data.loading.clip_dataset",
    "export": "dfer_data.exchange.run",
    "lock": "dfer_data.locking.make_lock",
    "open_dataset": "dfer_data.loading.prepared",
    "prepare": "dfer_data.preparation.run",
    "read_audio": "dfer_data.loading.kept_open",
    "read_clip": "dfer_data.loading.kept_open",
    "verify": "dfer_data.inspection.verify",
}
__all__ = [
    "ClipLoader",
    "ConcatClips",
    "FaceClipDataset",
    "FrameDraw",
    "PreparedDataset",
    "audit",
    "collate",
    "export",
    "lock",
    "open_dataset",
    "prepare",
    "read_audio",
    "read_clip",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import dfer_data` stays fast."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'dfer_data' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
