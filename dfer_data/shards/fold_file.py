"""Files of folds: CSV with the columns clip_id and split, one row per clip, exact for every id.

dfer 0.1 wrote ids without quotes. Its bytes show it: they differ from what the csv module writes
for the rows that it reads in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from dfer_data.errors import CorruptDataError
from dfer_data.shards.layout import FOLDS
from dfer_data.storage.csv_text import csv_rows, csv_text

if TYPE_CHECKING:
    from dfer_data.storage.base import Target

_SPLITS = ("train", "test")
_HEADER = ["clip_id", "split"]
_SHOWN_IDS = 3


def all_fold_files(out: Target) -> list[str]:
    """Return the names of all fold files of a dataset, of the official folds and of own sets."""
    names = []
    for name in out.listing(FOLDS):
        inner = out.listing(f"{FOLDS}/{name}") if not name.endswith(".csv") else {}
        names += [f"{FOLDS}/{name}/{file}" for file in inner] or [f"{FOLDS}/{name}"] * name.endswith(".csv")
    return names


def fold_bytes(rows: Iterable[tuple[str, str]]) -> bytes:
    """Return the file of a fold from pairs of clip id and split, in their order."""
    return csv_text([_HEADER, *rows]).encode("utf-8")


def fold_table(content: bytes) -> pa.Table:
    """Return the columns clip_id (large_string) and split (dictionary) of a fold's file; ValueError if it is none."""
    types = {"clip_id": pa.large_string(), "split": pa.dictionary(pa.int32(), pa.string())}
    if b'"' in content or b"\r" in content or content.count(b",") != content.count(b"\n"):
        rows = _quoted_rows(content.decode("utf-8"))
        ids, splits = ([row[column] for row in rows] for column in (0, 1))
        return pa.table({"clip_id": pa.array(ids, types["clip_id"]), "split": pa.array(splits, types["split"])})
    options = csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    read_options = csv.ReadOptions(use_threads=False)
    table = csv.read_csv(pa.BufferReader(content), read_options=read_options, convert_options=options)
    if table.column_names != _HEADER:
        raise ValueError(f"its columns are {', '.join(table.column_names)}, not {', '.join(_HEADER)}")
    return table


def fold_splits(content: bytes) -> dict[str, str]:
    """Return clip id -> split from the content of a fold's file; ValueError if it is none."""
    table = fold_table(content)
    return dict(zip(table["clip_id"].to_pylist(), table["split"].to_pylist(), strict=True))


def checked_fold(content: bytes, sizes: Mapping[str, Any], *, known_ids: pa.ChunkedArray, name: str) -> pa.Table:
    """Return the `fold_table` of a file; CorruptDataError with the file's `name` for what `fold_faults` yields."""
    try:
        table = fold_table(content)
    except ValueError as error:
        raise CorruptDataError(f"{name} cannot be read: {error}; restore it") from error
    if fault := next(fold_faults(table, sizes, known_ids=known_ids), ""):
        raise CorruptDataError(f"{name} {fault}; do not use this dataset: get it again, or prepare it")
    return table


def fold_faults(table: pa.Table, sizes: Mapping[str, Any], *, known_ids: pa.ChunkedArray) -> Iterator[str]:
    """Yield what readers of a fold rely on and its table lacks.

    `sizes`: split -> number of clips as dataset.json counts them. `known_ids`: the column clip_id of clips.parquet.
    """
    clip_ids = table["clip_id"]
    numbers = Counter(
        {row["values"]: row["counts"] for row in pc.value_counts(table["split"].cast(pa.string())).to_pylist()}
    )
    if others := sorted(map(str, numbers.keys() - set(_SPLITS))):
        yield f"has the split {others[0]!r}; only {' and '.join(_SPLITS)} exist"
    unknown = clip_ids.filter(pc.is_null(pc.index_in(clip_ids, value_set=known_ids.cast(clip_ids.type))))
    if len(unknown):
        yield f"names clips that are not in the dataset: {_shown(unknown.to_pylist())}"
    if len(clip_ids.unique()) < len(clip_ids):
        yield f"names clips twice: {_shown([clip_id for clip_id, n in Counter(clip_ids.to_pylist()).items() if n > 1])}"
    if (expected := Counter({split: number for split, number in sizes.items() if number})) != numbers:
        yield f"has {_sizes(numbers)}, but dataset.json counts {_sizes(expected)}"


def _quoted_rows(text: str) -> list[list[str]]:
    """Return the rows below the header: of CSV where the file is what the csv module writes, else of dfer 0.1."""
    try:
        rows = [cells for _, cells in csv_rows(text)]
        is_csv = all(len(cells) == len(_HEADER) for cells in rows) and csv_text(rows) == text
    except ValueError:
        is_csv = False
    if not is_csv:
        rows = [list(line.rpartition(",")[::2]) for line in text.removesuffix("\n").split("\n")]
    if rows[:1] != [_HEADER] or any(split not in _SPLITS for _, split in rows[1:]):
        raise ValueError(f"is not a CSV with the columns {' and '.join(_HEADER)}")
    return rows[1:]


def _sizes(numbers: Mapping[str, int]) -> str:
    return " and ".join(f"{number} {split}" for split, number in sorted(numbers.items())) or "no clips"


def _shown(clip_ids: list[str]) -> str:
    more = f" and {len(clip_ids) - _SHOWN_IDS} more" if len(clip_ids) > _SHOWN_IDS else ""
    return ", ".join(map(repr, clip_ids[:_SHOWN_IDS])) + more
