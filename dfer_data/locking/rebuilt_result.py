"""Compare what was rebuilt with its lock, frame by frame, and write that down in rebuilt.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dfer_data.locking.lock_file import Lock, LockedFrames
from dfer_data.shards.duplicates import shard_opener
from dfer_data.shards.reader import ShardReader
from dfer_data.shards.rebuilt_file import REBUILT_NAME, rebuilt_bytes
from dfer_data.shards.sidecar import finished_sidecars
from dfer_data.storage.base import Target


def write_rebuilt(
    lock: Lock, out: Target, *, tool_versions: Mapping[str, str], result: Mapping[str, Any] | None
) -> None:
    """Write rebuilt.json; `result`: None before the rebuild is finished."""
    content = rebuilt_bytes(
        lock_sha256=lock.sha256,
        original_sha256=str(lock.header.document["sha256"]),
        tool_versions=tool_versions,
        result=result,
    )
    if out.size(REBUILT_NAME) is None or out.read(REBUILT_NAME) != content:
        out.put(REBUILT_NAME, content)
        out.sync("")


def rebuilt_result(lock: Lock, out: Target, document: Mapping[str, Any], *, video_ids: Sequence[str]) -> dict[str, Any]:
    """Return how equal a rebuilt dataset is to the one that was locked: numbers of clips, frames and sources.

    `document`: dataset.json of what was rebuilt. `video_ids`: id there of each video of the lock.
    """
    original, sidecars = lock.header.document, finished_sidecars(out)
    open_shard = shard_opener(document, out.shard_bytes)
    stored = {str(row["clip_id"]): (number, row) for number, one in sidecars.items() for row in one["clips"]}
    id_of = {video.key: clip_id for video, clip_id in zip(lock.header.videos, video_ids, strict=True)}
    clips, frames, sources = Counter[str](), Counter[str](), dict[str, str]()
    readers: dict[int, ShardReader] = {}
    for video, clip, numbers in lock.clips():
        number, row = stored.get(id_of[video.key] + clip.suffix, (None, None))
        if row is None or number is None:
            clips["failed"] += 1
            frames["missing"] += len(numbers)
            sources.setdefault(video.key, "unused")
            continue
        if number not in readers:
            readers = {number: open_shard(number)}  # clips are in the order of their shards
        counts = _frame_counts(readers[number], int(row["row"]), lock.frames(numbers.start, numbers.stop))
        frames.update(counts)
        clips["same" if counts["same"] else "identical"] += 1
        sources[video.key] = "identical" if row["source_sha256"] == video.sha256 else "different"
    hashes = {"dataset": "sha256", "clips": "content_sha256", "labels": "labels_sha256", "folds": "folds_sha256"}
    sets = document.get("fold_sets", {}) == original.get("fold_sets", {})
    equal = {name: document.get(key) == original.get(key) for name, key in hashes.items()}
    return {
        "clips": {name: clips[name] for name in ("identical", "same", "failed")},
        "frames": {name: frames[name] for name in ("identical", "same", "moved", "missing")},
        "sources": {name: list(sources.values()).count(name) for name in ("identical", "different", "unused")},
        "equal": {**equal, "folds": equal["folds"] and sets},
        "dataset_sha256": document["sha256"],
    }


def _frame_counts(reader: ShardReader, row: int, locked: LockedFrames) -> Counter[str]:
    """Count the frames of a clip by `identical` and `same` picture; `moved`: with another time or another flag."""
    begin, end = (int(offset) for offset in reader.clip_offsets[row : row + 2])
    is_identical = reader.crc32[begin:end] == locked["crc32"]
    names = [name for name in ("pts_seconds", "flags") if name in (locked.dtype.names or ())]
    has_moved = np.zeros(end - begin, bool)
    for name in names:
        has_moved |= reader.tensor(name)[begin:end] != locked[name]
    num_identical = int(is_identical.sum())
    return Counter(identical=num_identical, same=end - begin - num_identical, moved=int(has_moved.sum()))
