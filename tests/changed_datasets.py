"""Copies of small prepared datasets that differ in labels, folds or layout alone, with the right hashes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dfer_data.shards.fold_file import fold_bytes, fold_splits
from dfer_data.shards.identity import folds_sha256, labels_sha256
from dfer_data.storage.files import canonical_json

RULE = "2 folds by clip, seed 0"
"""The rule of `with_fold_set`."""
_HASHES = ("content_sha256", "labels_sha256", "folds_sha256", "fold_sets", "history")


def copy_of(root: Path, folder: Path) -> Path:
    """Return a copy of a dataset, below `folder` under its own name."""
    return Path(shutil.copytree(root, folder / root.name))


def as_of_release(root: Path) -> Path:
    """Take the hashes of clips, labels and folds from dataset.json, as dfer 0.1 wrote it."""
    document = _read(root)
    return _write(root, {key: value for key, value in document.items() if key not in _HASHES})


def with_fold_set(root: Path, name: str, *, start: int = 0, rule: str = RULE) -> Path:
    """Add a set of two folds: every other clip, from number `start`, is tested in fold 1, the rest in fold 2."""
    document = _with_hashes(root)
    ids = pq.read_table(root / "clips.parquet", columns=["clip_id"])["clip_id"].to_pylist()
    folds = {
        fold: {clip_id: "test" if (i + start) % 2 == first else "train" for i, clip_id in enumerate(ids)}
        for first, fold in enumerate(("1", "2"))
    }
    for fold, splits in folds.items():
        _put(root, document, f"folds/{name}/fold-{fold}.csv", fold_bytes(splits.items()))
    sizes = {fold: dict(Counter(splits.values())) for fold, splits in folds.items()}
    facts = {"rule": rule, "sha256": folds_sha256(folds), "folds": sizes}
    document["fold_sets"] = {**document.get("fold_sets", {}), name: facts}
    return _write(root, document)


def without_official_folds(root: Path) -> Path:
    """Remove the official folds."""
    document = _with_hashes(root)
    for name in [name for name in document["files"] if name.startswith("folds/fold-")]:
        (root / name).unlink()
        del document["files"][name]
    document["counts"]["folds"] = {}
    return _write(root, document | {"folds_sha256": ""})


def refolded(root: Path) -> Path:
    """Let official fold 3 train on its first test clip and test its first train clip."""
    document, name = _with_hashes(root), "folds/fold-3.csv"
    splits = fold_splits((root / name).read_bytes())
    first = {split: next(clip_id for clip_id in splits if splits[clip_id] == split) for split in ("train", "test")}
    splits |= {first["train"]: "test", first["test"]: "train"}
    _put(root, document, name, fold_bytes(splits.items()))
    folds = {fold: fold_splits((root / f"folds/fold-{fold}.csv").read_bytes()) for fold in document["counts"]["folds"]}
    return _write(root, document | {"folds_sha256": folds_sha256(folds)})


def relabelled(root: Path) -> Path:
    """Exchange the labels of the first two clips of different classes."""
    document, table = _with_hashes(root), pq.read_table(root / "clips.parquet")
    labels = table["label"].to_pylist()
    other = next(i for i, label in enumerate(labels) if label != labels[0])
    labels[0], labels[other] = labels[other], labels[0]
    place = table.schema.get_field_index("label")
    table = table.set_column(place, table.schema.field(place), pa.array(labels, table.schema.field(place).type))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    _put(root, document, "clips.parquet", sink.getvalue().to_pybytes())
    columns = [table[name].to_pylist() for name in ("clip_id", "label", "group", "votes")]
    sha256 = labels_sha256(document["class_names"], zip(*columns, strict=True))
    return _write(root, document | {"labels_sha256": sha256})


def rewritten(root: Path) -> Path:
    """Change dataset.json in what is neither clips nor labels nor folds, as another layout of shards does."""
    document = _with_hashes(root)
    return _write(root, document | {"tool_versions": {**document["tool_versions"], "dfer": document["sha256"][:8]}})


def _with_hashes(root: Path) -> dict[str, Any]:
    """Return dataset.json with the hashes of clips, labels and folds, for a dataset that may lack them."""
    document = _read(root)
    made_up = {name: hashlib.sha256(name.encode()).hexdigest() for name in _HASHES[:3]}
    return made_up | document


def _read(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "dataset.json").read_bytes()))


def _put(root: Path, document: Mapping[str, Any], name: str, content: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)
    document["files"][name] = {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _write(root: Path, document: Mapping[str, Any]) -> Path:
    """Write dataset.json with its own hash."""
    body = {key: value for key, value in document.items() if key != "sha256"}
    body["sha256"] = hashlib.sha256(canonical_json(body)).hexdigest()
    (root / "dataset.json").write_bytes(canonical_json(body))
    return root
