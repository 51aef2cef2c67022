"""Prepared datasets without shards, for those who read only their small files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dfer_data.shards.fold_file import fold_bytes
from dfer_data.shards.layout import COLUMNS
from dfer_data.storage.files import canonical_json
from tests.dfer_data.tiny import CONFIG

_ABSENT = {"string": "", "object": None, "int32": 1, "float64": 0.0}
_NULLABLE = ("group", "shard", "row", "track")


def write_small_files(
    root: Path, clips: pd.DataFrame, folds: Mapping[str, Mapping[str, str]], *, class_names: Sequence[str], **facts: Any
) -> Path:
    """Write clips.parquet, folds and dataset.json of clips with clip_id, label and status; `facts`: of the document."""
    usable = clips["status"] != "failed"
    given = {name: clips[name].tolist() for name in clips.columns} | {"source_clip_id": clips["clip_id"].tolist()}
    given |= {"shard": [0 if has_face else None for has_face in usable]}
    given |= {
        "row": [int(row) if has_face else None for row, has_face in zip(usable.cumsum() - 1, usable, strict=True)]
    }
    columns = {}
    for name, kind in COLUMNS.items():
        absent = None if name in _NULLABLE else _ABSENT[kind.lower()]
        columns[name] = pd.array(given.get(name, [absent] * len(clips)), dtype=kind)
    (root / "folds").mkdir(parents=True)
    pd.DataFrame(columns).to_parquet(root / "clips.parquet", index=False)
    (root / "ledger.jsonl").write_text('{"code":"NO_FACE"}\n' * int((~usable).sum()))
    for fold, splits in folds.items():
        (root / f"folds/fold-{fold}.csv").write_bytes(fold_bytes(splits.items()))
    shard = {"num_bytes": 10**6, "sha256": "0" * 64}
    files = {"shards/00000.safetensors": shard, "shards/00000.json": shard, "preview/00000.jpg": shard}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        files[path.relative_to(root).as_posix()] = {"num_bytes": len(content), "sha256": sha256}
    index = {"name": "00000", "num_clips": int(usable.sum()), "index_bytes": 10**5, "index_crc32": 0}
    document: dict[str, Any] = {
        "format": "dfer-dataset",
        "format_version": 1,
        "dataset": "dfew",
        "config": CONFIG.as_dict(),
        "config_sha256": CONFIG.sha256,
        "class_names": list(class_names),
        "layout": "videos",
        "synthetic": False,
        "recipe": "dfew",
        "tool_versions": {},
        "counts": {
            "clips": len(clips),
            "frames": len(clips),
            "status": dict(Counter(clips["status"])),
            "failures": {"NO_FACE": int((~usable).sum())},
            "classes": dict(Counter(clips["label"])),
            "folds": {fold: dict(Counter(splits.values())) for fold, splits in folds.items()},
        },
        "shards": [shard | index],
        "files": files,
        **facts,
    }
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    (root / "dataset.json").write_bytes(canonical_json(document))
    return root
