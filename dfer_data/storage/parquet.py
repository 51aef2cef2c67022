"""Read Parquet in the calling thread.

pyarrow reads with threads that may still hold memory of Python when the interpreter ends, which aborts the process
(SIGABRT): seen in 4 of 700 runs of `dfer prepare`. Tables of clips are small: threads gain nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def open_parquet(source: Path | bytes, **options: Any) -> pq.ParquetFile:
    """Open a table given by path or content; `options` are those of pyarrow.parquet.ParquetFile.

    Raises OSError and pyarrow's ArrowException for what is no table.
    """
    return pq.ParquetFile(pa.BufferReader(source) if isinstance(source, bytes) else source, pre_buffer=False, **options)


def read_table(source: Path | bytes, *, columns: Sequence[str] | None = None, **options: Any) -> pa.Table:
    """Return the columns of a table given by path or content, all of them without `columns`; see `open_parquet`."""
    with open_parquet(source, **options) as file:
        return all_rows(file, columns=columns)


def all_rows(file: pq.ParquetFile, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the columns of an open table; columns that it lacks are left out."""
    return file.read(columns=None if columns is None else list(columns), use_threads=False)


def to_frame(table: pa.Table) -> Any:
    """Return a table as a pandas DataFrame."""
    return table.to_pandas(use_threads=False)
