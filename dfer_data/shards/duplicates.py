"""Videos of a prepared dataset whose files have the same bytes, under two labels or in train and test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dfer_data.shards.layout import SHARDS
from dfer_data.shards.reader import ShardReader, open_shard
from dfer_data.storage.parquet import all_rows, open_parquet, to_frame
from dfer_data.storage.shard_bytes import ShardBytes
from dfer_data.wording import counted

_COLUMNS = ["clip_id", "source_clip_id", "source_sha256", "label"]


@dataclass(frozen=True)
class Duplicates:
    """Pairs of clips from two files with the same bytes."""

    under_two_labels: tuple[tuple[str, str], ...]
    """One pair of video ids per file content that has several labels."""
    in_train_and_test: Mapping[str, tuple[tuple[str, str], ...]]
    """Fold -> one pair per test clip that train has too: its id, and the id of a train clip. Only folds with pairs."""

    @property
    def note(self) -> str:
        """One line with numbers and examples; empty if there are none."""
        parts = []
        if pairs := self.under_two_labels:
            parts.append(f"{len(pairs)} under two labels ({' and '.join(pairs[0])}{'...' if len(pairs) > 1 else ''})")
        for fold, pairs in self.in_train_and_test.items():
            examples = f"{' and '.join(pairs[0])}{'...' if len(pairs) > 1 else ''}"
            parts.append(f"{counted(len(pairs), 'test clip')} of fold {fold} also in train ({examples})")
        return f"videos with the same bytes: {', '.join(parts)}; keep one of each" if parts else ""


def find_duplicates(
    clips: Path | bytes, splits: Mapping[str, Mapping[str, str]], *, open_shard: Callable[[int], ShardReader]
) -> Duplicates:
    """Return the duplicates in clips.parquet, given as path or content; `splits`: fold -> clip id -> train or test.

    Crops that are stored as they are have no hash of a file: the checksums of their frames, in the shard that
    `open_shard` opens by its number, stand for it.
    """
    file = open_parquet(clips)
    if not set(_COLUMNS) <= set(file.schema_arrow.names):  # prepared by a dfer without hashes
        return Duplicates((), {})
    table = to_frame(all_rows(file, columns=[*_COLUMNS, "shard", "row"]))
    has_frames = table["shard"].notna()
    crops = has_frames & (table["source_sha256"] == "")
    table.loc[crops, "source_sha256"] = list(_checksums(table[crops], open_shard))
    table = table[has_frames]
    files = table.drop_duplicates(["source_clip_id", "source_sha256"])
    shared = set(files["source_sha256"][files["source_sha256"].duplicated()])
    table = table[table["source_sha256"].isin(shared)]
    under_two_labels = []
    in_train_and_test: dict[str, list[tuple[str, str]]] = {fold: [] for fold in splits}
    for _, copies in table.groupby("source_sha256", sort=False):
        labelled = copies.dropna(subset="label").drop_duplicates("label")["source_clip_id"].tolist()
        if len(labelled) > 1:
            under_two_labels.append((labelled[0], labelled[1]))
        for fold, split_of in splits.items():
            in_train_and_test[fold] += _pairs(copies, split_of)
    return Duplicates(
        tuple(under_two_labels), {fold: tuple(pairs) for fold, pairs in in_train_and_test.items() if pairs}
    )


def _checksums(clips: pd.DataFrame, open_shard: Callable[[int], ShardReader]) -> Iterator[str]:
    """Yield one text per clip that is the same for clips of the same frames."""
    readers: dict[int, ShardReader] = {}
    for number, row in zip(clips["shard"].astype(int), clips["row"].astype(int), strict=True):
        if number not in readers:
            readers = {number: open_shard(number)}  # clips are in the order of their shards
        start, stop = readers[number].clip_offsets[row : row + 2]
        yield readers[number].crc32[start:stop].tobytes().hex()


def shard_opener(document: Mapping[str, Any], shard_bytes: Callable[[str], ShardBytes]) -> Callable[[int], ShardReader]:
    """Return a function that opens a shard of a dataset.json by its number; `shard_bytes` finds a file by its path."""

    def opened(number: int) -> ShardReader:
        return open_shard(document, number, shard_bytes(f"{SHARDS}/{document['shards'][number]['name']}.safetensors"))

    return opened


def _pairs(copies: pd.DataFrame, split_of: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return each test clip with the first train clip among clips of the same bytes."""
    clip_ids = copies["clip_id"].tolist()
    first_train_id = next((clip_id for clip_id in clip_ids if split_of.get(clip_id) == "train"), None)
    if first_train_id is None:
        return []
    return [(clip_id, first_train_id) for clip_id in clip_ids if split_of.get(clip_id) == "test"]
