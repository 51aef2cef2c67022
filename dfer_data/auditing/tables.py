"""The tables of an audit as bytes: audit.parquet, one row per pair, and groups.csv, one row per clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dfer_data.auditing.face_embedding import EMBEDDING_SIZE, Embeddings
from dfer_data.auditing.frame_hashes import StoredFilm
from dfer_data.auditing.pairs import ClipPair
from dfer_data.auditing.where import Splits, place
from dfer_data.storage.csv_text import csv_text, spreadsheet_cell
from dfer_data.storage.parquet import open_parquet
from dfer_data.types import Floats

FOLD_COLUMN = "fold_"
_EVIDENCE = {
    "offset_seconds": pa.float64(),
    "speed": pa.float64(),
    "num_frames": pa.int32(),
    "agreement": pa.float64(),
    "distance": pa.float64(),
    "mirrored": pa.bool_(),
    "same_bytes": pa.bool_(),
    "face_distance": pa.float64(),
    "same_group": pa.bool_(),
    "judged": pa.bool_(),
    "label_a": pa.string(),
    "label_b": pa.string(),
}


def pairs_table(
    pairs: Sequence[ClipPair],
    films: Mapping[str, Mapping[str, StoredFilm]],
    labels: Mapping[str, Mapping[str, str | None]],
    splits: Splits,
    groups: Mapping[str, str],
) -> bytes:
    """Return audit.parquet; `films` and `labels`: dataset, as pairs name it -> clip id; `groups`: clip id -> group."""
    columns: dict[str, Any] = {
        name: pa.array([getattr(pair, name) for pair in pairs], pa.string())
        for name in ("clip_a", "clip_b", "kind", "dataset_b")
    }
    for fold, split_of in splits.items():
        columns[FOLD_COLUMN + fold] = pa.array([place(pair, split_of) for pair in pairs], pa.string())
    evidence = [_evidence(pair, films, labels) for pair in pairs]
    for facts, pair in zip(evidence, pairs, strict=True):
        facts["same_group"] = None if pair.dataset_b else groups[pair.clip_a] == groups[pair.clip_b]
    for name, kind in _EVIDENCE.items():
        columns[name] = pa.array([facts[name] for facts in evidence], kind)
    return _parquet(columns)


def _parquet(columns: Mapping[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return bytes(sink.getvalue())


def _evidence(
    pair: ClipPair, films: Mapping[str, Mapping[str, StoredFilm]], labels: Mapping[str, Mapping[str, str | None]]
) -> dict[str, Any]:
    facts: dict[str, Any] = dict.fromkeys(_EVIDENCE)
    facts |= {"mirrored": pair.is_mirrored, "same_bytes": pair.has_same_bytes, "judged": pair.judged}
    facts["face_distance"] = pair.face_distance
    facts |= {"label_a": labels[""].get(pair.clip_a), "label_b": labels[pair.dataset_b].get(pair.clip_b)}
    if match := pair.match:
        first, second = films[""][pair.clip_a], films[pair.dataset_b][pair.clip_b]
        if first.rate and second.rate:
            facts["offset_seconds"] = round(match.first_b / second.rate - match.first_a / first.rate, 3)
        facts |= {"speed": round(match.speed, 3), "num_frames": match.num_frames, "agreement": match.agreement}
        facts["distance"] = round(1 - match.similarity, 4)
    return facts


def groups_table(groups: Mapping[str, str]) -> bytes:
    """Return groups.csv: clip id and group of every clip of the dataset."""
    rows = [(spreadsheet_cell(clip_id), spreadsheet_cell(group)) for clip_id, group in groups.items()]
    return csv_text([("clip_id", "group"), *rows]).encode("utf-8")


def embeddings_table(embeddings: Embeddings) -> bytes:
    """Return embeddings.parquet: clip id and embedding of every clip with faces."""
    vectors = pa.array([vector.tolist() for vector in embeddings.values()], pa.list_(pa.float32(), EMBEDDING_SIZE))
    return _parquet({"clip_id": pa.array(list(embeddings), pa.string()), "embedding": vectors})


def read_embeddings(content: bytes) -> dict[str, Floats]:
    """Return clip id -> embedding of embeddings.parquet. Raises OSError, ArrowException."""
    with open_parquet(content) as file:
        rows = file.read(use_threads=False).to_pylist()
    return {row["clip_id"]: np.array(row["embedding"], np.float32) for row in rows}


def pairs_with_two_labels(content: bytes) -> list[tuple[str, str, str, str]]:
    """Return clip and label of both clips of each duplicate within the dataset under two labels, of audit.parquet."""
    names = ["clip_a", "label_a", "clip_b", "label_b", "kind", "dataset_b", "judged"]
    with open_parquet(content) as file:
        rows = file.read(columns=names, use_threads=False).to_pylist()
    copies = [row for row in rows if row["kind"] == "duplicate" and not row["dataset_b"] and row["judged"] is not False]
    labelled = [tuple(row[name] for name in names[:4]) for row in copies if row["label_a"] and row["label_b"]]
    return [(a, label_a, b, label_b) for a, label_a, b, label_b in labelled if label_a != label_b]


def named_in_pairs(content: bytes) -> list[tuple[str, str, str]]:
    """Return clip a, clip b and the dataset of b of each row of audit.parquet. Raises OSError, ArrowException."""
    with open_parquet(content) as file:
        rows = file.read(columns=["clip_a", "clip_b", "dataset_b"], use_threads=False).to_pylist()
    return [(row["clip_a"], row["clip_b"], row["dataset_b"]) for row in rows]
