from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from dfer_data.errors import UsageError
from dfer_data.storage.csv_table import read_csv_table


def test_rows_come_by_column_and_ids_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('label , clip_id\nsad ," a b "\n\nhappy,\'=c\n')
    table = read_csv_table(path, flag="--from")
    assert table.header == ["label", "clip_id"]
    assert table.rows == [(2, {"label": "sad", "clip_id": " a b "}), (4, {"label": "happy", "clip_id": "=c"})]
    table.raise_faults()


def test_faults_are_collected_and_the_first_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("clip_id,label\n" + "x\n" * 7)
    table = read_csv_table(path, flag="--from")
    table.faults.append("another")
    with pytest.raises(UsageError, match=r"^--from .*t.csv: line 2: 1 cell, the header has 2; .*; and 3 more; end$"):
        table.raise_faults(ending="; end")
    with pytest.raises(UsageError, match=r"has no column a and no b; it has: clip_id, label$"):
        table.require("a", "clip_id", "b")


def test_a_clip_or_a_column_that_comes_twice_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("clip_id,label\na,x\nb,y\na,z\n")
    table = read_csv_table(path, flag="--from")
    assert [(line, clip_id) for line, clip_id, _ in table.by_clip()] == [(2, "a"), (3, "b")]
    with pytest.raises(UsageError, match=r"line 4: clip a is listed twice$"):
        table.raise_faults()
    path.write_text("clip_id,label,label\na,x,y\n")
    with pytest.raises(UsageError, match=r"t.csv has the column label twice$"):
        read_csv_table(path, flag="--from")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'"open\n'])
def test_what_is_no_csv_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"^--from .*t.csv cannot be read: "):
        read_csv_table(path, flag="--from")
    with pytest.raises(UsageError, match=r"cannot be read: No such file"):
        read_csv_table(tmp_path / "none.csv", flag="--from")
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="has no column clip_id; it has: none"):
        read_csv_table(path, flag="--from").require("clip_id")


def test_ids_of_pairs_are_exact_and_composed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(unicodedata.normalize("NFD", 'clip_a,clip_b,is_duplicate\né," b ", yes\n'))
    assert read_csv_table(path, flag="--decisions").rows == [
        (2, {"clip_a": "é", "clip_b": " b ", "is_duplicate": "yes"})
    ]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_tables_of_other_spreadsheets_are_read_alike(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"clip_id{separator}group\na, b.mp4{separator}Vp 1\n", encoding="utf-8-sig")
    table = read_csv_table(path, flag="--from")
    assert table.rows == [(2, {"clip_id": "a, b.mp4", "group": "Vp 1"})]
    table.raise_faults()


def test_a_table_in_another_encoding_is_named_with_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("clip_id;group\nÄrger.mp4;1\n".encode("cp1252"))
    with pytest.raises(UsageError, match=r"cannot be read: it is not text in UTF-8; save it as `CSV UTF-8`$"):
        read_csv_table(path, flag="--from")
