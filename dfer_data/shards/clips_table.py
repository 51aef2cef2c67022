"""clips.parquet of strangers: read its columns with every check that readers rely on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.shards.layout import AUDIO_COLUMN, AUDIO_STATES, COLUMNS, LABELS_COLUMN
from dfer_data.storage.parquet import all_rows, open_parquet, read_table, to_frame
from dfer_data.wording import counted

INDEX_COLUMNS = ("clip_id", "status", "label", "shard", "row", "num_frames")
"""The columns that locate and select clips."""
_STATUSES = ("ok", "partial", "failed")
_NULLABLE = frozenset({"label", "group", "votes", "shard", "row", "detection_rate", "mean_score", "track"})
_MALFORMED = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError, MemoryError, OverflowError)


def read_clips(
    source: Path | bytes,
    document: Mapping[str, Any],
    *,
    columns: Sequence[str] | None = None,
    is_checked: bool = False,
    name: str = "",
) -> pa.Table:
    """Return the columns of clips.parquet, given by path or content; all of them without `columns`.

    `is_checked`: this file has passed before. Raises CorruptDataError, with the path or `name`, for a table that no
    dfer writes.
    """
    name = name or str(source)
    try:
        with open_parquet(
            source,
            memory_map=not isinstance(source, bytes),
            read_dictionary=[] if columns is None else ["status", "label"],
        ) as file:
            faults = [] if is_checked else list(_schema_faults(file, document))
            table = None if faults else all_rows(file, columns=columns)
        if table is not None and not is_checked:
            faults = list(clip_faults(table, document))
    except _MALFORMED as error:
        raise CorruptDataError(f"{name} cannot be read as Parquet: {_one_line(error)}; restore it") from error
    if faults or table is None:
        raise CorruptDataError(f"{name} {faults[0]}; do not use this dataset: get it again, or prepare it")
    return table


def clips_frame(source: Path | bytes, *, name: str = "") -> pd.DataFrame:
    """Return a checked clips.parquet as pandas wrote it; CorruptDataError if its notes for pandas do not fit."""
    name = name or str(source)
    try:
        frame = to_frame(read_table(source))
    except _MALFORMED as error:
        raise CorruptDataError(f"{name} cannot be read by pandas: {_one_line(error)}; restore it") from error
    if missing := [column for column in COLUMNS if column not in frame.columns and column not in _LATER]:
        raise CorruptDataError(f"{name} has no column {missing[0]} for pandas; do not use this dataset: get it again")
    return frame


class ClipsFile:
    """clips.parquet of an open dataset; a column is checked when it is read for the first time.

    Every method raises CorruptDataError for a column that no dfer writes.
    """

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        """`document`: the dataset.json that the file belongs to."""
        self._path, self._document = path, document
        self._checked_columns: frozenset[str] = frozenset()

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All columns, one row per clip in the order of ids."""
        self._table()
        return clips_frame(self._path)

    def _table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the columns after their checks."""
        wanted = frozenset(columns or COLUMNS)
        is_checked = wanted <= self._checked_columns
        table = read_clips(self._path, self._document, columns=columns, is_checked=is_checked)
        self._checked_columns |= wanted
        return table

    def index(self) -> pa.Table:
        """Return the columns that locate and select clips; small even for a million clips."""
        return self._table(INDEX_COLUMNS)

    def index_of(self, clip_ids: Sequence[str] | pa.ChunkedArray) -> pa.Table:
        """Return the rows of `index` for clips, in their order; UsageError for unknown ids."""
        ids = clip_ids if isinstance(clip_ids, pa.ChunkedArray) else _id_column(clip_ids)
        index = self.index()
        return index if ids.equals(index["clip_id"]) else index.take(self._row_numbers(ids, index["clip_id"]))

    @cached_property
    def _columns(self) -> dict[str, pa.Array]:
        table = self._table()
        return {name: table[name].combine_chunks() for name in table.column_names}

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {clip_id: position for position, clip_id in enumerate(self._columns["clip_id"].to_pylist())}

    def row(self, clip_id: str) -> dict[str, Any]:
        """Return a clip's row, by column name; UsageError for an unknown id."""
        if clip_id not in self._positions:
            example = next((f"; its ids look like {known}" for known in self._positions), "")
            raise UsageError(f"{self._path.parent} has no clip {clip_id!r}{example}")
        position = self._positions[clip_id]
        return {name: column[position].as_py() for name, column in self._columns.items()}

    def votes(self, clip_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the number of annotators per class, (num_clips, num_classes); all 0 for clips without votes.

        UsageError for an unknown clip.
        """
        counts = np.zeros((len(clip_ids), len(self._document["class_names"])), np.int64)
        if "votes" not in pq.read_schema(self._path).names:  # prepared by a dfer without votes
            return counts
        table = self._table([*INDEX_COLUMNS, "votes"])
        row_numbers = self._row_numbers(_id_column(clip_ids), table["clip_id"])
        for number, votes in enumerate(table["votes"].take(row_numbers).to_pylist()):
            counts[number] = 0 if votes is None else votes
        return counts

    @cached_property
    def has_labels(self) -> bool:
        """Whether clips have several labels."""
        return LABELS_COLUMN in pq.read_schema(self._path).names

    def labels(self, clip_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which classes hold, (num_clips, num_classes); of a clip without several labels, its label.

        UsageError for an unknown clip.
        """
        columns = [*INDEX_COLUMNS, *([LABELS_COLUMN] if self.has_labels else [])]
        table = self._table(columns)
        row_numbers = self._row_numbers(_id_column(clip_ids), table["clip_id"])
        rows = table.select(["label", *columns[len(INDEX_COLUMNS) :]]).take(row_numbers).to_pylist()
        named = [set(row.get(LABELS_COLUMN) or [row["label"]]) for row in rows]
        return np.array([[name in names for name in self._document["class_names"]] for names in named], np.bool_)

    def _row_numbers(self, clip_ids: pa.ChunkedArray, known_ids: pa.ChunkedArray) -> pa.Array:
        row_numbers = pc.index_in(clip_ids, value_set=known_ids.cast(clip_ids.type))
        if row_numbers.null_count:
            unknown_ids = clip_ids.filter(row_numbers.is_null())
            more = f" and {len(unknown_ids) - 1} more" if len(unknown_ids) > 1 else ""
            raise UsageError(f"{self._path.parent} has no clip {unknown_ids[0].as_py()!r}{more}")
        return row_numbers


def _id_column(clip_ids: Sequence[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(clip_ids, pa.large_string())])


def clip_faults(table: pa.Table, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what readers rely on and the columns of clips.parquet lack; INDEX_COLUMNS must be among them."""
    for name in table.column_names:
        if table[name].null_count and name in COLUMNS and name not in _NULLABLE:
            yield f"has rows without {name}"
            return
    clip_ids, status = table["clip_id"], table["status"].cast(pa.string())
    if len(clip_ids.unique()) < len(clip_ids):
        yield "has two rows with the same clip_id"
    numbers = {row["values"]: row["counts"] for row in pc.value_counts(status).to_pylist()}
    if numbers != {name: number for name, number in document["counts"]["status"].items() if number}:
        yield f"has {numbers} clips by status, dataset.json counts {document['counts']['status']}"
    if others := numbers.keys() - set(_STATUSES):
        yield f"has the status {min(others)!r:.100}"
    labels = table["label"].cast(pa.string()).unique().drop_null().to_pylist()
    if unknown := set(labels) - set(document["class_names"]):
        yield f"has the label {min(unknown)!r:.100}, which is none of the classes"
    yield from _audio_faults(table)
    yield from _place_faults(table.filter(pc.not_equal(status, "failed")), document)
    if "votes" in table.column_names and not pa.types.is_null(table["votes"].type):
        lengths = pc.list_value_length(table["votes"]).unique().drop_null().to_pylist()
        if set(lengths) - {len(document["class_names"])} or pc.list_flatten(table["votes"]).null_count:
            yield "has votes for another number of classes"
    if LABELS_COLUMN in table.column_names:
        known = pc.list_flatten(table[LABELS_COLUMN]).cast(pa.string())
        if unknown := set(known.unique().to_pylist()) - set(document["class_names"]):
            yield f"has the label {min(unknown, key=str)!r:.100} among labels, which is none of the classes"


def _audio_faults(table: pa.Table) -> Iterator[str]:
    """Yield a state of the sound that no dfer writes; only datasets with sound have the column."""
    if AUDIO_COLUMN in table.column_names:
        states = table[AUDIO_COLUMN].cast(pa.string()).unique().drop_null().to_pylist()
        if others := set(states) - set(AUDIO_STATES):
            yield f"has the state of sound {min(others)!r:.100}"


def _place_faults(usable: pa.Table, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the faults in where the clips with faces are: each row of each shard holds one of them."""
    if any(usable[name].null_count for name in ("shard", "row")):
        yield "has clips with faces and without a shard or row"
        return
    shard, row, num_frames = (usable[name].to_numpy().astype(np.int64) for name in ("shard", "row", "num_frames"))
    sizes = np.array([facts["num_clips"] for facts in document["shards"]], np.int64)
    if ((shard < 0) | (shard >= len(sizes))).any():
        yield f"has clips in shards that do not exist: there are {len(sizes)}"
        return
    if ((row < 0) | (row >= sizes[shard])).any():
        yield "has clips in rows that their shards do not have"
        return
    starts = np.cumsum(sizes) - sizes
    if (np.bincount(starts[shard] + row, minlength=int(sizes.sum())) != 1).any():
        yield "has two clips in one row of a shard, or a row without a clip"
    if (num_frames < 1).any():
        yield "has clips with faces and without frames"


def _schema_faults(file: pq.ParquetFile, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the columns that are missing or of another type, and a number of rows that dataset.json does not count."""
    schema, num_clips = file.schema_arrow, document["counts"]["clips"]
    if file.metadata.num_rows != num_clips:
        yield f"has {counted(file.metadata.num_rows, 'row')}, dataset.json counts {counted(num_clips, 'clip')}"
    for name, kind in COLUMNS.items():
        if schema.names.count(name) != 1:
            if name not in _LATER or name in schema.names:
                yield f"has no column {name}, or has it twice"
        elif not _IS_KIND[kind.lower()](schema.field(name).type):
            yield f"has the column {name} as {schema.field(name).type}, not as {kind}"
    if document["config"].get("audio") and schema.names.count(AUDIO_COLUMN) != 1:
        yield f"has no column {AUDIO_COLUMN}, or has it twice"


_LATER = frozenset({"votes", "group", "source_sha256"})
"""Columns that dfer before its release did not write."""


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain))


_IS_KIND: Mapping[str, Callable[[pa.DataType], bool]] = {
    "string": _is_text,
    "object": lambda kind: pa.types.is_null(kind) or (pa.types.is_list(kind) and pa.types.is_integer(kind.value_type)),
    "int32": pa.types.is_integer,
    "float64": pa.types.is_floating,
}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
