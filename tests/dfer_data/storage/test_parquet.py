"""Tables are read in the calling thread: a thread of pyarrow that still runs at the end aborts the process."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dfer_data.storage.parquet import open_parquet, read_table, to_frame

_ROOT = Path(__file__).parents[3]
_TABLE = pd.DataFrame(
    {"clip_id": ["a", "b", "c"], "row": pd.array([0, None, 2], "Int64"), "rate": [0.5, 1.0, np.nan], "kept": [1, 2, 3]}
)

_COUNTED = """
import io, os, sys
import pyarrow.parquet
from dfer_data.shards.clips_table import clips_frame
from dfer_data.storage.parquet import read_table, to_frame
content = open(sys.argv[1], "rb").read()
before = len(os.listdir("/proc/self/task"))
for _ in range(3):
    to_frame(read_table(content)); to_frame(read_table(__import__("pathlib").Path(sys.argv[1])))
ours = len(os.listdir("/proc/self/task")) - before
pyarrow.parquet.read_table(io.BytesIO(content))
print(ours, len(os.listdir("/proc/self/task")) - before, flush=True)
os._exit(0)  # the threads of the line above can abort the process at its end: what this module avoids
"""


def content_of(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def test_reading_starts_no_thread_where_pyarrow_starts_some(tmp_path: Path) -> None:
    wide = pd.DataFrame({f"column{number}": np.arange(100) for number in range(40)})
    (tmp_path / "table.parquet").write_bytes(content_of(wide))
    line = [sys.executable, "-c", _COUNTED, str(tmp_path / "table.parquet")]
    counted = subprocess.run(line, capture_output=True, text=True, check=True, cwd=_ROOT).stdout.split()
    ours, theirs = map(int, counted)
    assert ours == 0
    assert theirs > 0  # or the count above shows nothing


def test_a_frame_is_what_pandas_reads(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(content_of(_TABLE))
    pd.testing.assert_frame_equal(to_frame(read_table(path)), pd.read_parquet(path))
    pd.testing.assert_frame_equal(to_frame(read_table(path.read_bytes())), pd.read_parquet(path))


def test_columns_are_chosen() -> None:
    assert read_table(content_of(_TABLE), columns=["kept", "clip_id"]).to_pydict() == {
        "kept": [1, 2, 3],
        "clip_id": ["a", "b", "c"],
    }
    with open_parquet(content_of(_TABLE)) as file:
        assert file.metadata.num_rows == len(_TABLE)


def test_no_other_module_reads_parquet() -> None:
    own = _ROOT / "dfer_data" / "storage" / "parquet.py"
    found = [
        str(path.relative_to(_ROOT))
        for room in ("dfer_data", "lstpnet", "cli")
        for path in sorted((_ROOT / room).rglob("*.py"))
        if path != own and any(word in path.read_text() for word in ("pq.read_table", "read_parquet(", ".to_pandas("))
    ]
    assert found == []


@pytest.mark.parametrize("content", [b"", b"PAR1 no table"])
def test_what_is_no_table_raises_the_error_of_pyarrow(content: bytes) -> None:
    import pyarrow as pa

    with pytest.raises(pa.ArrowException):
        read_table(content)
