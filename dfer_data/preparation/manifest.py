"""The manifest of a prepared dataset, written from sidecars: tables, folds, card and, last, dataset.json."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from dfer_data.errors import CorruptDataError, DferError
from dfer_data.preparation.fold_sets import own_fold_sets
from dfer_data.preparation.manifest_tables import ambiguous_csv, clip_rows, ledger, left_out_csv, parquet_bytes
from dfer_data.preparation.plan import Plan, fold_rule
from dfer_data.shards.clip_hash import clip_hashes
from dfer_data.shards.dataset_card import dataset_card, write_card
from dfer_data.shards.fold_file import all_fold_files, fold_bytes
from dfer_data.shards.identity import OFFICIAL_SET, content_sha256, folds_sha256, labels_sha256
from dfer_data.shards.layout import (
    AMBIGUOUS_NAME,
    AUDIO_COLUMN,
    CARD_NAME,
    CLIPS_NAME,
    DATASET_NAME,
    FOLDS,
    FORMAT_VERSION,
    HISTORY_NAME,
    LABELS_COLUMN,
    LEDGER_NAME,
    LEFT_OUT_NAME,
    PLAN_NAME,
    PREVIEW,
    SHARDS,
    audio_name,
    fold_name,
    shard_name,
    sidecar_name,
)
from dfer_data.shards.reader import ShardReader
from dfer_data.shards.rebuilt_file import read_rebuilt
from dfer_data.shards.sidecar import count_left_out, finished_sidecars
from dfer_data.storage.base import Target
from dfer_data.storage.changeset import Changeset
from dfer_data.storage.files import canonical_json, own_sha256


def write_manifest(
    plan: Plan, out: Target, *, changes: Changeset | None = None, history: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Write ledger, clips, folds, card and, last, dataset.json from the sidecars; return its content.

    A manifest that is there already is replaced as a whole: after a kill, readers see the old one or the new one.
    `changes`: write the plan with it, and commit these changes. `history`: of the dataset; None: the one in `out`.
    """
    sidecars = _all_sidecars(plan, out)
    history = read_history(out) if history is None else history
    clips = clip_rows(sidecars, plan)
    own_sets = own_fold_sets(plan.amendments, clips, out)
    contents = {
        LEDGER_NAME: ledger(sidecars, history),
        CLIPS_NAME: parquet_bytes(clips),
        AMBIGUOUS_NAME: ambiguous_csv(sidecars).encode("utf-8"),
        **({LEFT_OUT_NAME: left_out_csv(sidecars).encode("utf-8")} if plan.config.has_track_limits else {}),
        **({HISTORY_NAME: canonical_json(history)} if history else {}),
        PLAN_NAME: out.read(PLAN_NAME) if changes is None else plan.as_bytes(),
    }
    folds = {fold: _clip_splits(splits, clips) for fold, splits in plan.listing.folds.items()}
    for name, sets in {OFFICIAL_SET: folds, **own_sets}.items():
        contents |= {fold_name(fold, fold_set=name): fold_bytes(splits.items()) for fold, splits in sets.items()}
    document = _document(plan, out, sidecars, clips, contents)
    document |= _identity(plan, out, sidecars, clips, {OFFICIAL_SET: folds, **own_sets})
    document |= {"history": history} if history else {}
    document["sha256"] = own_sha256(document)
    stale = [name for name in all_fold_files(out) if name not in contents]
    present = out.size(DATASET_NAME)
    if changes is not None:
        _replace(contents, document, stale, changes, read_rebuilt(out))
    elif present is not None and out.read(DATASET_NAME) == canonical_json(document):
        _write_again(contents, document, out)
    elif present is None and not own_sets and not stale:
        _write_first(contents, document, out)
    else:
        _replace(contents, document, stale, Changeset(out), read_rebuilt(out))
    return document


def read_history(out: Target) -> list[dict[str, Any]]:
    """Return what was changed since the first preparation, the oldest change first."""
    if out.size(HISTORY_NAME) is None:
        return []
    try:
        history = json.loads(out.read(HISTORY_NAME))
        return [dict(entry) for entry in history]
    except (ValueError, TypeError) as error:
        raise CorruptDataError(f"{out}/{HISTORY_NAME} is not a history of dfer; restore it") from error


def hashes_before(out: Target) -> dict[str, Any]:
    """Return the hashes of the dataset as it is, for its history; empty where it is not finished."""
    if out.size(DATASET_NAME) is None:
        return {}
    document = json.loads(out.read(DATASET_NAME))
    names = ("content_sha256", "labels_sha256", "folds_sha256")
    hashes = {name: document[name] for name in names if name in document} or {"sha256": document["sha256"]}
    return {"before": hashes}


def _write_first(contents: Mapping[str, bytes], document: dict[str, Any], out: Target) -> None:
    for name, content in contents.items():
        out.put(name, content)
    write_card(document, out)
    out.sync(FOLDS, "")  # everything that dataset.json names is on disk before it
    out.put(DATASET_NAME, canonical_json(document))
    out.sync("")


def _write_again(contents: Mapping[str, bytes], document: dict[str, Any], out: Target) -> None:
    """Restore what is gone or damaged of a manifest."""
    for name, content in contents.items():
        if out.size(name) != len(content) or out.read(name) != content:
            out.put(name, content)
    write_card(document, out)


def _replace(
    contents: Mapping[str, bytes],
    document: dict[str, Any],
    stale: list[str],
    changes: Changeset,
    rebuilt: Mapping[str, Any] | None,
) -> None:
    changes.remove(*stale)
    card = dataset_card(document, rebuilt=rebuilt).encode("utf-8")
    for name, content in {**contents, CARD_NAME: card, DATASET_NAME: canonical_json(document)}.items():
        changes.put(name, content)
    changes.commit()


def _all_sidecars(plan: Plan, out: Target) -> list[dict[str, Any]]:
    """Return the sidecars in order; DferError if a third party has removed one."""
    sidecars = finished_sidecars(out)
    if missing := [number for number in range(len(plan.shards)) if number not in sidecars]:
        raise DferError(
            f"{out}: shard {shard_name(missing[0])} was removed or changed during the run; run the same command again"
        )
    return [sidecars[number] for number in range(len(plan.shards))]


def _ids(clips: pd.DataFrame) -> Iterable[tuple[str, str]]:
    return zip(clips["clip_id"], clips["source_clip_id"], strict=True)


def _clip_splits(splits: Mapping[str, str], clips: pd.DataFrame) -> dict[str, str]:
    """Return clip id -> split from the splits of videos."""
    return {clip_id: splits[video] for clip_id, video in _ids(clips) if video in splits}


def _identity(
    plan: Plan,
    out: Target,
    sidecars: list[dict[str, Any]],
    clips: pd.DataFrame,
    fold_sets: Mapping[str, Mapping[str, Mapping[str, str]]],
) -> dict[str, Any]:
    """Return the hashes of clips, labels and folds, and the own sets of folds."""
    hashes = [
        (row["clip_id"], sha256)
        for number, sidecar in enumerate(sidecars)
        for row, sha256 in zip(sidecar["clips"], _clip_hashes(out, number, sidecar), strict=True)
    ]
    hashes += [(row["clip_id"], row["code"]) for sidecar in sidecars for row in sidecar["failures"]]
    names = ("clip_id", "label", "group", "votes", *([LABELS_COLUMN] if LABELS_COLUMN in clips.columns else []))
    columns = [[None if value is pd.NA else value for value in clips[name]] for name in names]
    labels = list(zip(*columns, strict=True))
    own_sets = {
        name: {
            "rule": plan.amendments.fold_sets[name].rule,
            "sha256": folds_sha256(folds),
            "folds": {fold: dict(Counter(splits.values())) for fold, splits in folds.items()},
        }
        for name, folds in fold_sets.items()
        if name != OFFICIAL_SET
    }
    return {
        "content_sha256": content_sha256(plan.config.sha256, hashes),
        "labels_sha256": labels_sha256(plan.listing.class_names, labels),
        "folds_sha256": folds_sha256(fold_sets[OFFICIAL_SET]),
    } | ({"fold_sets": own_sets} if own_sets else {})


def _clip_hashes(out: Target, number: int, sidecar: Mapping[str, Any]) -> list[str]:
    """Return the hash of each clip of a shard; a sidecar of dfer 0.1 lacks them, so they are made from the shard."""
    if all("sha256" in clip for clip in sidecar["clips"]):
        return [str(clip["sha256"]) for clip in sidecar["clips"]]
    source = out.shard_bytes(f"{SHARDS}/{shard_name(number)}.safetensors")
    reader = ShardReader(source, index_bytes=sidecar["index_bytes"], index_crc32=sidecar["index_crc32"])
    return clip_hashes(reader.tensor, reader.clip_offsets.tolist())


def _document(
    plan: Plan, out: Target, sidecars: list[dict[str, Any]], clips: pd.DataFrame, contents: Mapping[str, bytes]
) -> dict[str, Any]:
    files = {name: _file_facts(content) for name, content in contents.items()}
    names = [*map(sidecar_name, range(len(sidecars)))]
    files |= {name: _file_facts(content) for name, content in zip(names, out.read_all(names), strict=True)}
    shards = []
    for number, sidecar in enumerate(sidecars):
        name = shard_name(number)
        files[f"{PREVIEW}/{name}.jpg"] = sidecar["preview"]
        files[f"{SHARDS}/{name}.safetensors"] = {key: sidecar[key] for key in ("num_bytes", "sha256")}
        facts = {key: sidecar[key] for key in ("num_bytes", "sha256", "index_bytes", "index_crc32")}
        if plan.config.audio:
            facts["audio"] = sidecar["audio"]
            files[audio_name(number)] = {key: sidecar["audio"][key] for key in ("num_bytes", "sha256")}
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
    audio = {"audio": dict(Counter(clips[AUDIO_COLUMN].dropna()))} if plan.config.audio else {}
    return (
        audio
        | {
            "clips": len(clips),
            "frames": int(clips["num_frames"].sum()),
            "status": dict(Counter(clips["status"])),
            "failures": dict(Counter(clips["code"][clips["code"] != ""])),
            "classes": {name: int((clips["label"] == name).sum()) for name in plan.listing.class_names},
            "folds": fold_sizes,
        }
        | ({"left_out": count_left_out(sidecars)} if plan.config.has_track_limits else {})
    )


def _file_facts(content: bytes) -> dict[str, Any]:
    return {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
