"""The manifest of a prepared dataset: dataset.json, clips, folds, ledger; written from sidecars, read with checks."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dfer_data.errors import DferError
from dfer_data.faces.pipeline import DRIFT
from dfer_data.preparation.plan import Plan, fold_rule
from dfer_data.shards.dataset_card import write_card
from dfer_data.shards.fold_file import fold_bytes
from dfer_data.shards.layout import (
    AMBIGUOUS_NAME,
    CLIPS_NAME,
    COLUMNS,
    DATASET_NAME,
    FOLDS,
    FORMAT_VERSION,
    LEDGER_NAME,
    LEFT_OUT_NAME,
    PLAN_NAME,
    PREVIEW,
    SHARDS,
    shard_name,
    sidecar_name,
)
from dfer_data.shards.sidecar import count_left_out, finished_sidecars
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.base import Target
from dfer_data.storage.csv_text import csv_text, spreadsheet_cell
from dfer_data.storage.files import canonical_json


def write_manifest(plan: Plan, out: Target) -> dict[str, Any]:
    """Write ledger, clips, folds, card and, last, dataset.json from the sidecars; return its content."""
    sidecars = _all_sidecars(plan, out)
    clips = _clip_rows(sidecars, {video.clip_id: video for video in plan.listing.videos})
    failures = [failure for sidecar in sidecars for failure in sidecar["failures"]]
    out.put(LEDGER_NAME, b"".join(canonical_json(failure) for failure in failures))
    out.put(CLIPS_NAME, _parquet(clips))
    out.put(AMBIGUOUS_NAME, _ambiguous(sidecars).encode("utf-8"))
    if plan.config.has_track_limits:
        out.put(LEFT_OUT_NAME, _left_out(sidecars).encode("utf-8"))
    for fold, splits in plan.listing.folds.items():
        rows = [(clip_id, splits[video]) for clip_id, video in _ids(clips) if video in splits]
        out.put(f"{FOLDS}/fold-{fold}.csv", fold_bytes(rows))
    document = _document(plan, out, sidecars, clips)
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    write_card(document, out)
    out.sync(FOLDS, "")  # everything that dataset.json names is on disk before it
    out.put(DATASET_NAME, canonical_json(document))
    out.sync("")
    return document


def _all_sidecars(plan: Plan, out: Target) -> list[dict[str, Any]]:
    """Return the sidecars in order; DferError if a third party has removed one."""
    sidecars = finished_sidecars(out)
    if missing := [number for number in range(len(plan.shards)) if number not in sidecars]:
        raise DferError(
            f"{out}: shard {shard_name(missing[0])} was removed or changed during the run; run the same command again"
        )
    return [sidecars[number] for number in range(len(plan.shards))]


def _ambiguous(sidecars: list[dict[str, Any]]) -> str:
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


def _left_out(sidecars: list[dict[str, Any]]) -> str:
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


def _ids(clips: pd.DataFrame) -> Iterable[tuple[str, str]]:
    return zip(clips["clip_id"], clips["source_clip_id"], strict=True)


def _clip_rows(sidecars: list[dict[str, Any]], videos: Mapping[str, SourceVideo]) -> pd.DataFrame:
    """Return one row per clip, including failed ones, in clip order."""
    rows = []
    for number, sidecar in enumerate(sidecars):
        rows += [clip | {"shard": number, "code": ""} for clip in sidecar["clips"]]
        rows += [_failed_row(failure) for failure in sidecar["failures"]]
    for row in rows:
        video = videos[row["source_clip_id"]]
        row["label"], row["group"], row["votes"] = video.label, video.group, video.votes
    rows.sort(key=lambda row: str(row["clip_id"]))
    return pd.DataFrame({name: pd.array([row[name] for row in rows], dtype=kind) for name, kind in COLUMNS.items()})


def _failed_row(failure: Mapping[str, Any]) -> dict[str, Any]:
    numbers = dict.fromkeys(("num_frames", "num_source_frames", "width_px", "height_px", "num_interpolated"), 0)
    measures = {"num_tracks": 0, "fps": 0.0, "duration_seconds": 0.0, "detection_rate": 0.0, "ambiguity": 0.0}
    identity = {name: failure[name] for name in ("clip_id", "source_clip_id", "source", "code")}
    absent = {"shard": None, "row": None, "mean_score": None, "track": None, "source_sha256": ""}
    return numbers | measures | identity | absent | {"status": "failed", "reason": failure["message"]}


def _parquet(clips: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(clips, preserve_index=False)
    votes = table["votes"].cast(pa.list_(pa.int32()))  # without any votes the column has no type
    table = table.set_column(table.column_names.index("votes"), "votes", votes)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _document(plan: Plan, out: Target, sidecars: list[dict[str, Any]], clips: pd.DataFrame) -> dict[str, Any]:
    names = [
        CLIPS_NAME,
        LEDGER_NAME,
        AMBIGUOUS_NAME,
        PLAN_NAME,
        *([LEFT_OUT_NAME] if plan.config.has_track_limits else []),
        *(f"{FOLDS}/fold-{fold}.csv" for fold in sorted(plan.listing.folds)),
    ]
    names += [sidecar_name(number) for number in range(len(sidecars))]
    files = {name: _file_facts(content) for name, content in zip(names, out.read_all(names), strict=True)}
    shards = []
    for number, sidecar in enumerate(sidecars):
        name = shard_name(number)
        files[f"{PREVIEW}/{name}.jpg"] = sidecar["preview"]
        files[f"{SHARDS}/{name}.safetensors"] = {key: sidecar[key] for key in ("num_bytes", "sha256")}
        facts = {key: sidecar[key] for key in ("num_bytes", "sha256", "index_bytes", "index_crc32")}
        shards.append({"name": name, "num_clips": len(sidecar["clips"]), **facts})
    synthetic = plan.listing.synthetic or {}
    return {
        "format": "dfer-dataset",
        "format_version": FORMAT_VERSION,
        "pipeline_version": plan.pipeline_version,
        "dataset": plan.config.dataset,
        "config": plan.config.as_dict(),
        "config_sha256": plan.config.sha256,
        "class_names": list(plan.listing.class_names),
        "layout": plan.listing.layout,
        "synthetic": bool(synthetic.get("synthetic")),
        "recipe": synthetic.get("recipe", plan.config.dataset),
        "tool_versions": dict(plan.tool_versions),
        "counts": _counts(plan, clips, sidecars),
        **fold_rule(plan.listing),
        "shards": shards,
        "files": files,
    }


def _counts(plan: Plan, clips: pd.DataFrame, sidecars: list[dict[str, Any]]) -> dict[str, Any]:
    """Count clips by status, class and fold, and tracks left out by reason; failed clips count like all others."""
    fold_sizes = {
        fold: dict(Counter(splits[video] for _, video in _ids(clips) if video in splits))
        for fold, splits in plan.listing.folds.items()
    }
    return {
        "clips": len(clips),
        "frames": int(clips["num_frames"].sum()),
        "status": dict(Counter(clips["status"])),
        "failures": dict(Counter(clips["code"][clips["code"] != ""])),
        "classes": {name: int((clips["label"] == name).sum()) for name in plan.listing.class_names},
        "folds": fold_sizes,
    } | ({"left_out": count_left_out(sidecars)} if plan.config.has_track_limits else {})


def _file_facts(content: bytes) -> dict[str, Any]:
    return {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
