"""Manifests, folds, shards and sidecars that their maker changed and sealed anew: right answers, or one error."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from dfer_cli.main import main
from dfer_data import open_dataset
from tests.faults.sealed_anew import (
    SHARD,
    SIDECAR,
    Document,
    assert_damaged,
    folder,
    put,
    put_clips,
    put_index,
    put_shard,
    put_sidecar,
    set_at,
    small,
)

__all__ = ["folder", "small"]


def _column(name: str, value: Any, *, dtype: str | None = None) -> Callable[[pd.DataFrame], None]:
    def changed(clips: pd.DataFrame) -> None:
        if dtype is not None:
            clips[name] = clips[name].astype(dtype)
        clips.loc[0, name] = value

    return changed


def _renamed(clips: pd.DataFrame) -> pd.DataFrame:
    return clips.rename(columns={"num_frames": "frames"})


def _doubled(clips: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([clips, clips])


CLIPS: dict[str, Callable[[pd.DataFrame], pd.DataFrame | None]] = {
    "a shard below 0": _column("shard", -1),
    "a shard too high": _column("shard", 99),
    "a row below 0": _column("row", -1),
    "a row too high": _column("row", 1),
    "a shard twice": _column("shard", 1),
    "no shard": _column("shard", None),
    "an id twice": _column("clip_id", "00002"),
    "no id": _column("clip_id", None),
    "an unknown status": _column("status", "fine"),
    "an unknown class": _column("label", "bored"),
    "other frames": _column("num_frames", 10**6),
    "no frames": _column("num_frames", 0),
    "votes of two classes": lambda clips: clips.assign(votes=[[1, 2]] * len(clips)),
    "shards as text": _column("shard", "0", dtype="string"),
    "frames as fractions": _column("num_frames", 0.5, dtype="float64"),
    "a missing column": _renamed,
    "rows twice": _doubled,
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_manifest_that_no_dfer_writes_is_damage(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    put_clips(folder, CLIPS[name])
    text = assert_damaged(folder, capsys)
    assert "clips.parquet" in text or "frames in its shard" in text


def test_a_manifest_that_is_no_parquet_is_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "clips.parquet: " in assert_damaged(put(folder, "clips.parquet", b"PAR1 nothing PAR1"), capsys)


def test_notes_for_pandas_that_do_not_fit_are_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pq.read_table(folder / "clips.parquet").replace_schema_metadata(
        {"pandas": '{"index_columns": ["clip_id"]}'}
    )
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer)
    assert "clips.parquet: " in assert_damaged(put(folder, "clips.parquet", buffer.getvalue()), capsys)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"00002,train\n", b"00002,test\n"),
        (b"00002,train\n", b"00003,train\n"),
        (b"00002,train\n", b"99999,train\n"),
        (b"00002,train\n", b"00002,train\n00002,test\n"),
        (b"00002,train\n", b"00002,valid\n"),
        (b"00002,train\n", b""),
        (b"00002,train\n", b"00002\n"),
        (b"00002,train\n", b'"00002,train\n'),
        (b"00002,train\n", b"\xff,train\n"),
        (b"clip_id,split", b"split,clip_id"),
    ],
)
def test_a_fold_that_no_dfer_writes_is_damage(
    folder: Path, capsys: pytest.CaptureFixture[str], old: bytes, new: bytes
) -> None:
    content = (folder / "folds/fold-2.csv").read_bytes()
    assert old in content
    assert "folds/fold-2.csv: " in assert_damaged(put(folder, "folds/fold-2.csv", content.replace(old, new)), capsys)


INDEXES = {
    "no tensors": lambda header: header.clear(),
    "no clips": lambda header: header.pop("clip_offsets"),
    "a tensor is a list": set_at("crc32", value=[]),
    "an unknown type": set_at("crc32", "dtype", value="F128"),
    "a huge shape": set_at("crc32", "shape", value=[10**30]),
    "offsets outside": set_at("crc32", "data_offsets", value=[0, 10**9]),
    "offsets below 0": set_at("clip_offsets", "data_offsets", value=[-16, 0]),
    "the offsets of others": lambda header: header["clip_offsets"].update(header["frame_offsets"]),
    "a huge payload": set_at("jpeg", "data_offsets", value=[0, 10**30]),
    "another store": set_at("__metadata__", "store", value="clips16"),
    "metadata is a list": set_at("__metadata__", value=[]),
}


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_that_no_dfer_writes_is_damage(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert f"{SHARD}: " in assert_damaged(put_index(folder, INDEXES[name]), capsys)


def test_an_index_of_another_length_is_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (folder / SHARD).read_bytes()
    for start in (b"\xff" * 8, (2**40).to_bytes(8, "little"), b"\0" * 8):
        assert f"{SHARD}: " in assert_damaged(put_shard(folder, start + content[8:]), capsys)


def test_a_picture_that_declares_a_huge_size_is_not_decoded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """60,000 x 60,000 pixels would take 10 GiB."""
    data = open_dataset(folder)
    reader, facts = data.shard(0), data.document["shards"][0]
    content = bytearray((folder / SHARD).read_bytes())
    start, stop = (facts["index_bytes"] + int(offset) for offset in reader.tensor("frame_offsets")[:2])
    position = content.index(b"\xff\xc0", start, stop) + 5  # height and width follow the length and the precision
    content[position : position + 4] = (60_000).to_bytes(2, "big") * 2
    assert simplejpeg.decode_jpeg_header(bytes(content[start:stop]))[:2] == (60_000, 60_000)
    crc32 = np.array(reader.tensor("crc32"))
    crc32[0] = zlib.crc32(content[start:stop])
    at = bytes(content).index(reader.tensor("crc32").tobytes())
    content[at : at + crc32.nbytes] = crc32.tobytes()
    text = assert_damaged(put_shard(folder, bytes(content)), capsys)
    assert f"{SHARD}: clip 00001: " in text
    assert "has 60000 x 60000 pixels, more than" in text


@pytest.mark.parametrize(
    "changed",
    [
        set_at("clips", value={}),
        set_at("clips", 0, value=[]),
        set_at("clips", 0, "clip_id", value="00002"),
        set_at("clips", 0, "row", value=10**30),
        lambda sidecar: sidecar.pop("clips"),
    ],
)
def test_a_sidecar_that_no_dfer_writes_is_damage(
    folder: Path, capsys: pytest.CaptureFixture[str], changed: Callable[[Document], None]
) -> None:
    assert f"{SIDECAR}: " in assert_damaged(put_sidecar(folder, changed), capsys)


@pytest.mark.parametrize("name", ["plan.json", "ledger.jsonl"])
@pytest.mark.parametrize("content", [b"[1]\n", b"{\n", b"[" * 200_000])
def test_another_document_that_is_none_is_damage(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    assert f"{name}: is not JSON of dfer" in assert_damaged(put(folder, name, content), capsys)


def test_an_edited_card_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "README.md").write_text((folder / "README.md").read_text() + "Free for all uses.\n")
    assert main(["verify", str(folder)]) == 0
    assert "note: README.md is not what this dfer writes from dataset.json" in capsys.readouterr().out
