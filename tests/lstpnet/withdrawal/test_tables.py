from __future__ import annotations

from pathlib import Path

import pytest

from lstpnet.withdrawal.names import Names
from lstpnet.withdrawal.tables import reduced_table

NAMES = Names(["00015", "=cmd"])


def table(folder: Path, content: bytes, *, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "rest"),
    [
        (b"clip_id,a\n00015,1\n00016,2\n", b"clip_id,a\n00016,2\n"),
        (b'\xef\xbb\xbfa,clip_id\r\n"x\r\ny",00016\r\n"1,2",00015\r\n', b'\xef\xbb\xbfa,clip_id\r\n"x\r\ny",00016\r\n'),
        (b"clip_id,a\n'=cmd,1\n 00015 ,2\n00016,3", b"clip_id,a\n00016,3"),
        (b"clip_id,a\n00015,1", b"clip_id,a\n"),
        (b"a;clip_id\n1;00015\n2;00016\n", b"a;clip_id\n2;00016\n"),
        (b'clip_id,"a;b;c"\n00015,1\n', b'clip_id,"a;b;c"\n'),
    ],
)
def test_the_other_rows_of_a_csv_keep_their_bytes(content: bytes, rest: bytes, tmp_path: Path) -> None:
    reduced = reduced_table(table(tmp_path, content), NAMES)
    assert reduced is not None
    assert (reduced.content, reduced.num_rows > 0) == (rest, True)


def test_a_tab_separated_table_is_one_too(tmp_path: Path) -> None:
    reduced = reduced_table(table(tmp_path, b"clip_id\ta\n00015\t1\n", name="t.tsv"), NAMES)
    assert reduced is not None
    assert reduced.content == b"clip_id\ta\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"name,sex\n00015,f\n"),
        ("a.csv", b"video,length\n00015.mp4,2\n"),
        ("a.csv", b""),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.parquet", b"PAR1 and nothing else"),
        ("a.npz", b"PK\x03\x04"),
        ("a.json", b'["00015"]'),
        ("a.json", b'{"videos": [3]}'),
        ("a.jsonl", b"{]\n"),
        ("a.jsonl", b'["00015"]\n'),
        ("a.txt", b"clip_id\n00015\n"),
    ],
)
def test_other_files_are_no_tables_of_clips(name: str, content: bytes, tmp_path: Path) -> None:
    assert reduced_table(table(tmp_path, content, name=name), NAMES) is None


def test_a_line_that_a_kill_cut_is_dropped(tmp_path: Path) -> None:
    lines = b'{"format": "dfer-finished-videos"}\n{"video": {"path": "/v/00016.mp4"}}\n{"video": {"pa'
    reduced = reduced_table(table(tmp_path, lines, name="videos.jsonl"), NAMES)
    assert reduced is not None
    assert (reduced.num_rows, reduced.content) == (0, lines.rpartition(b"\n")[0] + b"\n")
