"""The tables of a manifest, from sidecars: clips.parquet, ledger.jsonl, ambiguous.csv and the tracks left out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dfer_data.faces.clip import DRIFT
from dfer_data.preparation.plan import Plan
from dfer_data.shards.layout import AUDIO_COLUMN, COLUMNS, LABELS_COLUMN
from dfer_data.storage.csv_text import csv_text, spreadsheet_cell
from dfer_data.storage.files import canonical_json

DAMAGED_AUDIO = "DAMAGED_AUDIO"
"""Ledger code of a stored clip whose sound could not be decoded as a whole."""


def clip_rows(sidecars: list[dict[str, Any]], plan: Plan) -> pd.DataFrame:
    """Return one row per clip, including failed ones, in clip order, with the labels changed by hand."""
    rows = []
    for number, sidecar in enumerate(sidecars):
        rows += [clip | {"shard": number, "code": ""} for clip in sidecar["clips"]]
        rows += [_failed_row(failure) for failure in sidecar["failures"]]
    videos = {video.clip_id: video for video in plan.listing.videos}
    for row in rows:
        video = videos[row["source_clip_id"]]
        row["label"], row["group"], row["votes"], row["labels"] = video.label, video.group, video.votes, video.labels
        row |= (amended := plan.amendments.labels.get(row["clip_id"], {}))
        if video.labels and "label" in amended:
            kept = (amended["label"] if name == video.label else name for name in video.labels)
            row["labels"] = tuple(dict.fromkeys(kept))
    rows.sort(key=lambda row: str(row["clip_id"]))
    columns = dict(COLUMNS) | ({AUDIO_COLUMN: "string"} if plan.config.audio else {})
    columns |= {LABELS_COLUMN: "object"} if any(video.labels for video in plan.listing.videos) else {}
    return pd.DataFrame({name: pd.array([row[name] for row in rows], dtype=kind) for name, kind in columns.items()})


def _failed_row(failure: Mapping[str, Any]) -> dict[str, Any]:
    numbers = dict.fromkeys(("num_frames", "num_source_frames", "width_px", "height_px", "num_interpolated"), 0)
    measures = {"num_tracks": 0, "fps": 0.0, "duration_seconds": 0.0, "detection_rate": 0.0, "ambiguity": 0.0}
    identity = {name: failure[name] for name in ("clip_id", "source_clip_id", "source", "code")}
    absent = {"shard": None, "row": None, "mean_score": None, "track": None, "source_sha256": "", AUDIO_COLUMN: None}
    return numbers | measures | identity | absent | {"status": "failed", "reason": failure["message"]}


def parquet_bytes(clips: pd.DataFrame) -> bytes:
    """Return clips.parquet."""
    table = pa.Table.from_pandas(clips, preserve_index=False)
    votes = table["votes"].cast(pa.list_(pa.int32()))  # without any votes the column has no type
    table = table.set_column(table.column_names.index("votes"), "votes", votes)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def ledger(sidecars: list[dict[str, Any]], history: list[dict[str, Any]]) -> bytes:
    """Return the failures, damaged sound of stored clips, and what was withdrawn: a number and the reason, no id."""
    failures = [failure for sidecar in sidecars for failure in sidecar["failures"]]
    damaged = [_damaged_sound(clip) for sidecar in sidecars for clip in sidecar["clips"] if clip.get("audio_fault")]
    withdrawn = [entry for entry in history if entry["change"] == "removed"]
    return b"".join(canonical_json(row) for row in (*failures, *damaged, *withdrawn))


def _damaged_sound(clip: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ledger row of a clip whose sound is damaged; the clip itself is stored."""
    return {
        "clip_id": clip["clip_id"],
        "source_clip_id": clip["source_clip_id"],
        "source": clip["source"],
        "code": DAMAGED_AUDIO,
        "message": f"the sound cannot be decoded as a whole: {clip['audio_fault']}",
        "frame": None,
        "hint": "the clip is stored, with zeros where its sound is missing; convert the sound again if you need it",
        "retryable": False,
    }


def ambiguous_csv(sidecars: list[dict[str, Any]]) -> str:
    """Return a CSV of the clips that may show another person instead, or two, the most doubtful first."""
    clips = [clip | {"drift": clip.get("drift", 0.0)} for sidecar in sidecars for clip in sidecar["clips"]]
    clips = [clip for clip in clips if clip["rivals"] or clip["drift"] >= DRIFT]
    clips.sort(key=lambda clip: (-clip["ambiguity"], -clip["drift"], clip["clip_id"]))
    rows = [
        (
            spreadsheet_cell(clip["clip_id"]),
            clip["track"],
            next(iter(clip["rivals"]), ""),
            f"{clip['ambiguity']:.3f}",
            f"{clip['drift']:.3f}",
        )
        for clip in clips
    ]
    return csv_text([["clip_id", "track", "runner_up", "ambiguity", "drift"], *rows])


def left_out_csv(sidecars: list[dict[str, Any]]) -> str:
    """Return a CSV of the tracks that make no clip."""
    rows = [
        (
            spreadsheet_cell(track["clip_id"]),
            track["track"],
            " ".join(track["reasons"]),
            track["num_frames"],
            f"{track['face_px']:.1f}",
            f"{track['mean_score']:.3f}",
            "" if track["brightness"] is None else f"{track['brightness']:.1f}",
        )
        for sidecar in sidecars
        for track in sidecar.get("left_out", ())
    ]
    columns = ["clip_id", "track", "reasons", "num_frames", "face_px", "mean_score", "brightness"]
    return csv_text([columns, *sorted(rows)])
