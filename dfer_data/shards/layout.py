"""Names, columns and version of a prepared dataset's files; docs/reference/formats.md describes them byte by byte."""

from __future__ import annotations

import re
from collections.abc import Mapping

SHARDS, PREVIEW = "shards", "preview"
AUDIO_SUFFIX = ".audio.safetensors"


def shard_name(number: int) -> str:
    """Return the file stem of a shard."""
    return f"{number:05d}"


def sidecar_name(number: int) -> str:
    """Return the path of a shard's sidecar, relative to the dataset."""
    return f"{SHARDS}/{shard_name(number)}.json"


def audio_name(number: int) -> str:
    """Return the path of the sound of a shard, relative to the dataset; only datasets with sound have it."""
    return f"{SHARDS}/{shard_name(number)}{AUDIO_SUFFIX}"


DATASET_NAME, CLIPS_NAME, LEDGER_NAME, FOLDS = "dataset.json", "clips.parquet", "ledger.jsonl", "folds"


def fold_name(fold: str, *, fold_set: str = "official") -> str:
    """Return the path of a fold's file, relative to the dataset."""
    return f"{FOLDS}/fold-{fold}.csv" if fold_set == "official" else f"{FOLDS}/{fold_set}/fold-{fold}.csv"


DONORS = "donors"
"""Folder of finished shards of an earlier state, while the shards of the present one are made from them."""


HISTORY_NAME = "history.json"
"""What was changed since the first preparation; only in datasets that were changed."""


AMBIGUOUS_NAME = "ambiguous.csv"


LEFT_OUT_NAME = "left_out.csv"


COLUMNS: Mapping[str, str] = {
    "clip_id": "string",
    "source_clip_id": "string",
    "status": "string",
    "code": "string",
    "label": "string",
    "group": "string",
    "votes": "object",
    "shard": "Int32",
    "row": "Int32",
    "num_frames": "int32",
    "num_source_frames": "int32",
    "source": "string",
    "source_sha256": "string",
    "fps": "float64",
    "duration_seconds": "float64",
    "width_px": "int32",
    "height_px": "int32",
    "detection_rate": "Float64",
    "mean_score": "Float64",
    "num_interpolated": "int32",
    "num_tracks": "int32",
    "track": "Int32",
    "ambiguity": "float64",
    "reason": "string",
}
"""Columns of clips.parquet and their pandas types, in order."""


LABELS_COLUMN = "labels"
"""Column of all labels of a clip; only in datasets with several."""


AUDIO_COLUMN = "audio"


AUDIO_STATES = ("ok", "none", "short", "silent", "damaged")
"""States of a clip's sound in the column `audio` of clips.parquet; only datasets with sound have it."""


AUDIO_FORMAT = "dfer-audio"


AUDIO_TENSORS: Mapping[str, str] = {
    "clip_offsets": "<i8",
    "start_seconds": "<f8",
    "frame_seconds": "<f8",
    "stream_start_seconds": "<f8",
    "num_covered": "<i8",
    "rms": "<f4",
    "peak": "<i4",
    "crc32": "<u4",
    "source_rate": "<i4",
    "source_channels": "<i4",
}
"""Tensors before the samples in the sound of a shard, in order; all but the first have an item per clip."""


PLAN_NAME = "plan.json"


LOG_NAME = "prepare.log"


_SUMMARY = re.compile(r"summary(-task-\d{4})?\.json")


def summary_name(task_index: int | None = None) -> str:
    """Return the name of the summary of the last run, or of the last run of one task of an array; no hash covers it."""
    return "summary.json" if task_index is None else f"summary-task-{task_index:04d}.json"


def is_summary(name: str) -> bool:
    """Return whether a file is a summary."""
    return _SUMMARY.fullmatch(name) is not None


FORMAT_VERSION = 1


CARD_NAME = "README.md"
