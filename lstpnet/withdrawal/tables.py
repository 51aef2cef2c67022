"""Take the rows of withdrawn clips out of tables: predictions, features, and any other table with a column clip_id."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import BadZipFile

import numpy as np

from dfer_data.storage.csv_text import from_spreadsheet, separator_of
from dfer_data.storage.files import read_regular
from lstpnet.prediction.finished_videos import FINISHED_FORMAT
from lstpnet.withdrawal.names import Names

_BOM = "\ufeff"


@dataclass(frozen=True, eq=False)
class Reduced:
    """A table without the rows of withdrawn clips."""

    num_rows: int
    """Number of rows that were taken out."""
    content: bytes
    """The file as it is then; the other rows of a text keep their bytes."""


def reduced_table(path: Path, names: Names) -> Reduced | None:
    """Return a table without the rows that name or describe withdrawn clips; None for a file that is no such table.

    Raises OSError for a file that cannot be read.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        return None
    try:
        return reader(read_regular(path), names)
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile, csv.Error, RecursionError):
        return None


def _csv(content: bytes, names: Names) -> Reduced | None:
    text = content.decode("utf-8")
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, delimiter=separator_of(text.removeprefix(_BOM), "clip_id", "video"))
    header = [cell.strip().removeprefix(_BOM) for cell in next(reader, [])]
    is_gone = _row_test(header, names)
    if is_gone is None:
        return None
    kept, first = lines[: reader.line_num], reader.line_num
    num_rows = 0
    for cells in reader:
        if is_gone(cells):
            num_rows += 1
        else:
            kept += lines[first : reader.line_num]
        first = reader.line_num
    return Reduced(num_rows, "".join(kept).encode("utf-8"))


def _row_test(header: list[str], names: Names) -> Callable[[list[str]], bool] | None:
    """Return what tells the rows of withdrawn clips; None for a table without ids."""
    column, test = ("clip_id", names.has) if "clip_id" in header else ("video", names.are_shown_by)
    if column not in header or (column == "video" and "start_seconds" not in header):
        return None
    place = header.index(column)
    return lambda cells: len(cells) > place and test(from_spreadsheet(cells[place].strip()))


def _parquet(content: bytes, names: Names) -> Reduced | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from dfer_data.storage.parquet import read_table

    try:
        table = read_table(content)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    if "clip_id" not in table.column_names:
        return None
    is_kept = [not names.has(str(clip_id)) for clip_id in table["clip_id"].to_pylist()]
    sink = io.BytesIO()
    pq.write_table(table.filter(pa.array(is_kept, pa.bool_())), sink)
    return Reduced(is_kept.count(False), sink.getvalue())


def _npz(content: bytes, names: Names) -> Reduced | None:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if "clip_ids" not in arrays or arrays["clip_ids"].ndim != 1:
        return None
    is_kept = np.array([not names.has(str(clip_id)) for clip_id in arrays["clip_ids"]], np.bool_)
    kept: dict[str, Any] = {
        name: array[is_kept] if array.shape[:1] == is_kept.shape else array for name, array in arrays.items()
    }
    sink = io.BytesIO()
    np.savez(sink, **kept)
    return Reduced(int((~is_kept).sum()), sink.getvalue())


def _json(content: bytes, names: Names) -> Reduced | None:
    """Reduce what `dfer predict --json` prints."""
    document = json.loads(content)
    if not isinstance(document, dict) or not isinstance(document.get("videos"), list):
        return None
    videos = [video for video in document["videos"] if not names.are_shown_by(str(video["video"]))]
    text = json.dumps({**document, "videos": videos}, indent=2, allow_nan=False)
    return Reduced(len(document["videos"]) - len(videos), f"{text}\n".encode("ascii"))


def _json_lines(content: bytes, names: Names) -> Reduced | None:
    """Reduce the finished videos of an interrupted `dfer predict`; a kill may have cut the last line."""
    lines = [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
    if not lines or json.loads(lines[0]).get("format") != FINISHED_FORMAT:
        return None
    kept = [line for line in lines[1:] if not names.are_shown_by(str(json.loads(line)["video"]["path"]))]
    return Reduced(len(lines) - 1 - len(kept), b"".join([lines[0], *kept]))


_READERS: Mapping[str, Callable[[bytes, Names], Reduced | None]] = MappingProxyType(
    {".csv": _csv, ".tsv": _csv, ".parquet": _parquet, ".npz": _npz, ".json": _json, ".jsonl": _json_lines}
)
