"""Names, columns and version of a prepared dataset's files; docs/formats.md describes them byte by byte."""

from __future__ import annotations

from collections.abc import Mapping

SHARDS, PREVIEW = "shards", "preview"


def shard_name(number: int) -> str:
    """Return the file stem of a shard."""
    return f"{number:05d}"


def sidecar_name(number: int) -> str:
    """Return the path of a shard's sidecar, relative to the dataset."""
    return f"{SHARDS}/{shard_name(number)}.json"


DATASET_NAME, CLIPS_NAME, LEDGER_NAME, FOLDS = "dataset.json", "clips.parquet", "ledger.jsonl", "folds"


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


PLAN_NAME = "plan.json"


LOG_NAME = "prepare.log"


FORMAT_VERSION = 1


CARD_NAME = "README.md"
