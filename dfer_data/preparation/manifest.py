"""The manifest of a prepared dataset: dataset.json, clips, folds, ledger; written from sidecars, read with checks."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from dfer_data.config import canonical_json
from dfer_data.errors import CorruptDataError, DferError, FormatVersionError, UsageError
from dfer_data.faces.align import resized
from dfer_data.preparation.plan import PLAN_NAME, Plan, fold_rule
from dfer_data.shards.dataset_card import write_card
from dfer_data.shards.reader import LocalBytes, ShardBytes, ShardReader
from dfer_data.shards.sidecar import PREVIEW, SHARDS, finished_sidecars, shard_name, sidecar_name
from dfer_data.shards.writer import FORMAT_VERSION
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.target import Target
from dfer_data.storage.url_cache import RemoteBytes, located
from dfer_data.storage.url_files import is_url
from dfer_data.weights.fetch import sha256_file

DATASET_NAME, CLIPS_NAME, LEDGER_NAME, FOLDS = "dataset.json", "clips.parquet", "ledger.jsonl", "folds"
AMBIGUOUS_NAME = "ambiguous.csv"

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
_INDEX = ("clip_id", "status", "label", "shard", "row", "num_frames")


def write_manifest(plan: Plan, out: Target) -> dict[str, Any]:
    """Write ledger, clips, folds, the card and last dataset.json from the sidecars; return what dataset.json says."""
    sidecars = _all_sidecars(plan, out)
    clips = _clip_rows(sidecars, {video.clip_id: video for video in plan.listing.videos})
    failures = [failure for sidecar in sidecars for failure in sidecar["failures"]]
    out.put(LEDGER_NAME, b"".join(canonical_json(failure) for failure in failures))
    out.put(CLIPS_NAME, _parquet(clips))
    out.put(AMBIGUOUS_NAME, _ambiguous(sidecars).encode("utf-8"))
    for fold, splits in plan.listing.folds.items():
        rows = [(clip_id, splits[video]) for clip_id, video in _ids(clips) if video in splits]
        text = "clip_id,split\n" + "".join(f"{clip_id},{split}\n" for clip_id, split in rows)
        out.put(f"{FOLDS}/fold-{fold}.csv", text.encode("utf-8"))
    document = _document(plan, out, sidecars, clips)
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    write_card(document, out)
    out.sync(FOLDS, "")  # everything that dataset.json names is on disk before it
    out.put(DATASET_NAME, canonical_json(document))
    out.sync("")
    return document


def _all_sidecars(plan: Plan, out: Target) -> list[dict[str, Any]]:
    """Return the sidecars in order; DferError where another hand has taken one away."""
    found = finished_sidecars(out)
    if missing := [number for number in range(len(plan.shards)) if number not in found]:
        raise DferError(
            f"{out}: shard {shard_name(missing[0])} was removed or changed during the run; run the same command again"
        )
    return [found[number] for number in range(len(plan.shards))]


def _ambiguous(sidecars: list[dict[str, Any]]) -> str:
    """Return a CSV of the clips that could be about somebody else too, the most doubtful first."""
    clips = [clip for sidecar in sidecars for clip in sidecar["clips"] if clip["rivals"]]
    clips.sort(key=lambda clip: (-clip["ambiguity"], clip["clip_id"]))
    rows = [(clip["clip_id"], clip["track"], clip["rivals"][0], f"{clip['ambiguity']:.3f}") for clip in clips]
    table = pd.DataFrame(rows, columns=["clip_id", "track", "runner_up", "ambiguity"])
    return str(table.to_csv(index=False, lineterminator="\n"))


def _ids(clips: pd.DataFrame) -> Iterable[tuple[str, str]]:
    return zip(clips["clip_id"], clips["source_clip_id"], strict=True)


def _clip_rows(sidecars: list[dict[str, Any]], videos: Mapping[str, SourceVideo]) -> pd.DataFrame:
    """Return one row a clip, failed ones included, in clip order."""
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
    given = {name: failure[name] for name in ("clip_id", "source_clip_id", "source", "code")}
    missing = {"shard": None, "row": None, "mean_score": None, "track": None, "source_sha256": ""}
    return numbers | measures | given | missing | {"status": "failed", "reason": failure["message"]}


def _parquet(clips: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(clips, preserve_index=False)
    votes = table["votes"].cast(pa.list_(pa.int32()))  # of no type where there are none
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
        "dataset": plan.config.dataset,
        "config": plan.config.as_dict(),
        "config_sha256": plan.config.sha256,
        "class_names": list(plan.listing.class_names),
        "layout": plan.listing.layout,
        "synthetic": bool(synthetic.get("synthetic")),
        "recipe": synthetic.get("recipe", plan.config.dataset),
        "tool_versions": dict(plan.tool_versions),
        "counts": _counts(plan, clips),
        **fold_rule(plan.listing),
        "shards": shards,
        "files": files,
    }


def _counts(plan: Plan, clips: pd.DataFrame) -> dict[str, Any]:
    """Count clips by status, class and fold; failed clips are counted like all others."""
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
    }


def _file_facts(content: bytes) -> dict[str, Any]:
    return {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def read_document(root: Path) -> dict[str, Any]:
    """Return dataset.json after checking its version and its own hash.

    Raises UsageError where there is none, FormatVersionError for a newer format, CorruptDataError for changed bytes.
    """
    path = root / DATASET_NAME
    if not path.is_file():
        unfinished = (root / PLAN_NAME).is_file()
        why = "prepare has not finished here: run it again to go on" if unfinished else "make it with `dfer prepare`"
        raise UsageError(f"{root} is not a prepared dataset ({DATASET_NAME} is missing); {why}")
    try:
        document = json.loads(path.read_bytes())
        version = int(document["format_version"])
        body = {key: value for key, value in document.items() if key != "sha256"}
        sha256 = hashlib.sha256(canonical_json(body)).hexdigest()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptDataError(f"{path} is not a dataset.json of dfer: {error!r}") from error
    if version > FORMAT_VERSION:
        raise FormatVersionError(f"{path} has format version {version}, this dfer knows {FORMAT_VERSION}: update dfer")
    if sha256 != document.get("sha256"):
        raise CorruptDataError(f"{path} does not match its own sha256; restore it or prepare again")
    if strange := [name for name in _named_files(document) if not _is_below(name)]:
        raise CorruptDataError(f"{path} names a file outside its folder: {strange[0]!r}; do not use this dataset")
    return dict(document)


def _named_files(document: Mapping[str, Any]) -> list[str]:
    """Return every path that dataset.json leads to, relative to its folder."""
    return [*document["files"], *(f"{SHARDS}/{facts['name']}" for facts in document.get("shards", ()))]


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not (path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name)


class PreparedDataset:
    """A prepared dataset opened for reading; its small files have been checked against their hashes."""

    def __init__(self, root: Path | str) -> None:
        """Open a folder, or a URL such as s3://bucket/dfew-retinaface, of which clips are fetched as they are read.

        Raises UsageError, FormatVersionError or CorruptDataError as `read_document` does, RemoteError for a URL.
        """
        self.root, self._remote = located(root)
        self.document = read_document(self.root)
        for name, facts in self.document["files"].items():
            if name == CLIPS_NAME or name.startswith(FOLDS + "/"):
                path = self.root / name
                if self._remote is not None:
                    self._remote.fetch(name, sha256=facts["sha256"])
                if not path.is_file() or sha256_file(path) != facts["sha256"]:
                    raise CorruptDataError(
                        f"{path} is not the file that dataset.json names; restore it or prepare again"
                    )
        self._readers: dict[int, ShardReader] = {}

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The manifest whole, one row a clip in the order of ids; read when it is first asked for."""
        return pd.read_parquet(self.root / CLIPS_NAME)

    def _index(self) -> pa.Table:
        """The columns that say where clips are and what they are; small for a million clips."""
        file = pq.ParquetFile(self.root / CLIPS_NAME, memory_map=True, read_dictionary=["status", "label"])
        return file.read(columns=list(_INDEX), use_threads=False)

    @cached_property
    def _columns(self) -> dict[str, pa.Array]:
        table = pq.read_table(self.root / CLIPS_NAME)
        return {name: table[name].combine_chunks() for name in table.column_names}

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {clip_id: position for position, clip_id in enumerate(self._columns["clip_id"].to_pylist())}

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind when a copy goes to another process."""
        return self.__dict__ | {"_readers": {}}

    def index(self, clip_ids: Sequence[str]) -> pa.Table:
        """Return clip_id, status, label, shard, row, num_frames of clips, in their order; UsageError for unknown ids.

        Label, shard and row are null where there is none.
        """
        return self._index_of(pa.chunked_array([pa.array(clip_ids, pa.large_string())]))

    def _index_of(self, clip_ids: pa.ChunkedArray) -> pa.Table:
        index = self._index()
        if clip_ids.equals(index["clip_id"]):
            return index
        return index.take(self._places(clip_ids, index["clip_id"]))

    def _places(self, clip_ids: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.Array:
        places = pc.index_in(clip_ids, value_set=known.cast(clip_ids.type))
        if places.null_count:
            unknown = clip_ids.filter(places.is_null())
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            raise UsageError(f"{self.root} has no clip {unknown[0].as_py()!r}{more}")
        return places

    def votes(self, clip_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return how many annotators chose each class, (num_clips, num_classes); all 0 where the dataset says nothing.

        UsageError for an unknown clip.
        """
        counts = np.zeros((len(clip_ids), len(self.class_names)), np.int64)
        path = self.root / CLIPS_NAME
        if "votes" not in pq.read_schema(path).names:  # made before there were any
            return counts
        table = pq.read_table(path, columns=["clip_id", "votes"])
        places = self._places(pa.chunked_array([pa.array(clip_ids, pa.large_string())]), table["clip_id"])
        for number, row in enumerate(table["votes"].take(places).to_pylist()):
            counts[number] = 0 if row is None else row
        return counts

    @property
    def class_names(self) -> tuple[str, ...]:
        """Label names in the dataset's own order."""
        return tuple(self.document["class_names"])

    def fold(self, name: str) -> dict[str, str]:
        """Return clip id -> split of an official fold; UsageError lists the folds there are."""
        table = self._fold_table(name)
        return dict(zip(table["clip_id"].to_pylist(), table["split"].to_pylist(), strict=True))

    def fold_index(self, name: str, split: str) -> pa.Table:
        """Return what `index` does of a fold's `split`; UsageError as `fold`."""
        table = self._fold_table(name)
        return self._index_of(table["clip_id"]).filter(pc.equal(table["split"], split))

    def _fold_table(self, name: str) -> pa.Table:
        path = self.root / FOLDS / f"fold-{name}.csv"
        if f"{FOLDS}/{path.name}" not in self.document["files"]:
            known = ", ".join(sorted(self.document["counts"]["folds"])) or "none"
            raise UsageError(f"{self.root} has no fold {name!r}; it has: {known}")
        kinds = {"clip_id": pa.large_string(), "split": pa.dictionary(pa.int32(), pa.string())}
        options = csv.ConvertOptions(column_types=kinds, strings_can_be_null=False)
        return csv.read_csv(path, read_options=csv.ReadOptions(use_threads=False), convert_options=options)

    def clip(self, clip_id: str) -> dict[str, Any]:
        """Return the manifest's row of a clip by column name; UsageError for an unknown id."""
        if clip_id not in self._positions:
            raise UsageError(f"{self.root} has no clip {clip_id!r}")
        position = self._positions[clip_id]
        return {name: column[position].as_py() for name, column in self._columns.items()}

    def shard(self, number: int) -> ShardReader:
        """Return the open reader of a shard; its index has been checked."""
        if number not in self._readers:
            facts = self.document["shards"][number]
            name = f"{SHARDS}/{facts['name']}.safetensors"
            source: ShardBytes = LocalBytes(self.root / name)
            if self._remote is not None:
                source = RemoteBytes(self._remote, name)
            reader = ShardReader(source, index_bytes=facts["index_bytes"], index_crc32=facts["index_crc32"])
            self._readers[number] = reader
        return self._readers[number]

    def read_clip(self, clip_id: str, *, size_px: int = 224) -> npt.NDArray[np.uint8]:
        """Return the 16 test frames of a clip as (16, 3, size, size) uint8 RGB.

        Raises UsageError for a clip that is unknown or has no faces, CorruptShardError for damaged bytes.
        """
        clip = self.clip(clip_id)
        if clip["status"] == "failed":
            raise UsageError(f"clip {clip_id} has no faces: {clip['code']}: {clip['reason']}")
        reader, row = self.shard(int(clip["shard"])), int(clip["row"])
        wanted = reader.clip16_index(row).tolist()
        pictures = {i: resized(reader.frame(row, i, clip_id=clip_id), size_px=size_px) for i in set(wanted)}
        return np.stack([pictures[i] for i in wanted]).transpose(0, 3, 1, 2).copy()  # (T, H, W, C) -> (T, C, H, W)


def open_dataset(root: Path | str) -> PreparedDataset:
    """Open a prepared dataset and check its small files. See PreparedDataset."""
    return PreparedDataset(root)


@lru_cache(maxsize=4)
def _opened(root: Path | str, mtime_ns: int) -> PreparedDataset:
    return PreparedDataset(root)


def read_clip(root: Path | str, clip_id: str, *, size_px: int = 224) -> npt.NDArray[np.uint8]:
    """Return the 16 test frames of a clip as (16, 3, size, size) uint8 RGB; the dataset stays open between calls."""
    if is_url(root):
        return _opened(root, 0).read_clip(clip_id, size_px=size_px)
    path = Path(root).resolve() / DATASET_NAME
    mtime_ns = path.stat().st_mtime_ns if path.is_file() else 0
    return _opened(path.parent, mtime_ns).read_clip(clip_id, size_px=size_px)
