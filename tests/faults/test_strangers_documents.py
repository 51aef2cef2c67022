"""Datasets that their maker sealed anew after changes: every reader gives a right answer, or one error of damage."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
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
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_cli.main import main
from dfer_data import open_dataset
from dfer_data.errors import CorruptDataError, FormatVersionError
from dfer_data.inspection.verify import verify
from dfer_data.shards.sidecar import sidecar_sha256
from dfer_data.storage.files import canonical_json
from tests.crops import prepare_crops, write_crops

Document = dict[str, Any]
SHARD, SIDECAR = "shards/00000.safetensors", "shards/00000.json"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven clips of four frames in seven shards, one in each class, and five folds."""
    root = tmp_path_factory.mktemp("small")
    return prepare_crops(write_crops(root / "source", num_clips=7, num_frames=lambda number: 4), root / "dfew-none")


@pytest.fixture
def folder(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "dfew-none"))


def seal(folder: Path, document: Document) -> None:
    """Write dataset.json with its own hash, as far as JSON allows one."""
    body = {key: value for key, value in document.items() if key != "sha256"}
    try:
        body["sha256"] = hashlib.sha256(canonical_json(body)).hexdigest()
    except (ValueError, RecursionError):
        body["sha256"] = "0" * 64
    (folder / "dataset.json").write_text(json.dumps(body), encoding="utf-8")


def change(folder: Path, changed: Callable[[Document], None]) -> Path:
    document = json.loads((folder / "dataset.json").read_bytes())
    changed(document)
    seal(folder, document)
    return folder


def put(folder: Path, name: str, content: bytes) -> Path:
    """Replace a file, and everything that repeats its size and hash."""
    (folder / name).write_bytes(content)
    facts = {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def repeat(document: Document) -> None:
        document["files"][name] = facts
        for shard in document["shards"]:
            if name == f"shards/{shard['name']}.safetensors":
                shard.update(facts)

    return change(folder, repeat)


def put_sidecar(folder: Path, changed: Callable[[Document], None]) -> Path:
    sidecar = json.loads((folder / SIDECAR).read_bytes())
    changed(sidecar)
    sidecar["sidecar_sha256"] = sidecar_sha256(sidecar)
    return put(folder, SIDECAR, canonical_json(sidecar))


def put_clips(folder: Path, changed: Callable[[pd.DataFrame], pd.DataFrame | None]) -> Path:
    clips = pd.read_parquet(folder / "clips.parquet")
    result = changed(clips)
    buffer = io.BytesIO()
    (clips if result is None else result).to_parquet(buffer, index=False)
    return put(folder, "clips.parquet", buffer.getvalue())


def read_all(folder: Path) -> None:
    """Read what readers read."""
    data = open_dataset(folder)
    clips = data.clips
    for fold in data.document["counts"]["folds"]:
        assert set(data.fold(fold)) <= set(clips["clip_id"])
    ids = clips["clip_id"][clips["status"] != "failed"].tolist()
    data.votes(ids)
    for clip_id in ids[:3]:
        assert data.read_clip(clip_id).shape == (16, 3, 224, 224)
        assert len(data.frames(clip_id)) == data.clip(clip_id)["num_frames"]


def assert_right_or_damaged(folder: Path) -> int:
    """A reader reads it or raises what strangers' data may raise; verify agrees with the reader."""
    error: Exception | None = None
    try:
        read_all(folder)
    except (CorruptDataError, FormatVersionError) as raised:
        error = raised
    assert "\n" not in str(error)
    try:
        is_intact = not verify(folder, deep=True).damages
    except FormatVersionError:
        return 2
    assert not (is_intact and error), error
    return 0 if is_intact else 4


def assert_damaged(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert assert_right_or_damaged(folder) == 4
    assert main(["verify", "--deep", str(folder)]) == 4
    streams = capsys.readouterr()
    assert streams.err == ""
    return streams.out


def _set(*path: str | int, value: Any) -> Callable[[Document], None]:
    def changed(document: Document) -> None:
        *parents, last = path
        node: Any = document
        for key in parents:
            node = node[key]
        node[last] = value

    return changed


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


MALFORMED = {
    "shards is an object": _set("shards", value={}),
    "a shard is a list": _set("shards", 0, value=[]),
    "a shard has no name": lambda document: document["shards"][0].pop("name"),
    "a shard climbs": _set("shards", 0, "name", value="../x"),
    "a shard is named as another": _set("shards", 0, "name", value="00001"),
    "a huge number of clips": _set("shards", 0, "num_clips", value=10**30),
    "a negative number of clips": _set("shards", 0, "num_clips", value=-1),
    "a number of clips that is true": _set("shards", 0, "num_clips", value=True),
    "a fraction of a byte": _set("shards", 0, "index_bytes", value=0.5),
    "an index of a terabyte": _set("shards", 0, "index_bytes", value=2**40),
    "a CRC-32 of 40 bits": _set("shards", 0, "index_crc32", value=2**40),
    "files is a list": _set("files", value=[]),
    "files without clips": lambda document: document["files"].pop("clips.parquet"),
    "a file is text": _set("files", "plan.json", value="x"),
    "a hash is a number": _set("files", "plan.json", "sha256", value=1),
    "counts is a list": _set("counts", value=[]),
    "folds is a list": _set("counts", "folds", value=["1"]),
    "a fold climbs": _set("counts", "folds", "../../x", value={"train": 1}),
    "a fold is larger": _set("counts", "folds", "1", "train", value=99),
    "a billion clips": _set("counts", "clips", value=10**9),
    "class_names is text": _set("class_names", value="happy"),
    "class_names are numbers": _set("class_names", value=[1, 2, 3, 4, 5, 6, 7]),
    "a class twice": _set("class_names", value=["happy"] * 7),
    "config is null": _set("config", value=None),
    "config has an object": _set("config", "size_px", value={}),
    "a side of a million": _set("config", "size_px", value=10**6),
    "settings that cannot be": _set("config", "jpeg_quality", value=-5),
    "another store": _set("config", "store", value="clips16"),
    "an unknown dataset": _set("dataset", value="../x"),
    "synthetic is text": _set("synthetic", value="no"),
    "layout is a list": _set("layout", value=["videos"]),
    "pipeline_version is text": _set("pipeline_version", value="2"),
    "format_version is text": _set("format_version", value="1"),
    "format_version is endless": _set("format_version", value=float("inf")),
    "format_version is negative": _set("format_version", value=-1),
    "not a number": _set("counts", "frames", value=float("nan")),
    "half a character": _set("recipe", value="\ud800"),
    "a deep list": _set("recipe", value=_nested(800)),
    "no counts": lambda document: document.pop("counts"),
    "another format": _set("format", value="dfer-run"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_document_is_damage(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert "damaged: " in assert_damaged(change(folder, MALFORMED[name]), capsys)


def test_a_document_that_is_too_deep_to_read_is_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "dataset.json").write_text("[" * 200_000)
    assert_damaged(folder, capsys)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.sampled_from(["", "../x", "00001", "frames", "\ud800", "1", "0" * 64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "name", "1"]), inner, max_size=3),
    max_leaves=6,
)


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) below a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [pair for key in keys for pair in ((value, key), *_nodes(value[key]))]


def _mutated(document: Any, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 2))):
        nodes = _nodes(document)
        if not nodes:
            return
        container, key = nodes[data.draw(st.integers(0, len(nodes) - 1))]
        if data.draw(st.booleans()):
            container[key] = data.draw(JSON_VALUES)
        else:
            del container[key]


def _mutated_document(folder: Path, data: st.DataObject) -> None:
    change(folder, lambda document: _mutated(document, data))


def _mutated_index(folder: Path, data: st.DataObject) -> None:
    _index(folder, lambda header: _mutated(header, data))


def _mutated_sidecar(folder: Path, data: st.DataObject) -> None:
    sidecar = json.loads((folder / SIDECAR).read_bytes())
    _mutated(sidecar, data)
    put(folder, SIDECAR, json.dumps(sidecar).encode())


def _mutated_clips(folder: Path, data: st.DataObject) -> None:
    clips = pd.read_parquet(folder / "clips.parquet").astype(object)
    column, row = data.draw(st.sampled_from(list(clips.columns))), data.draw(st.integers(0, len(clips) - 1))
    values = [None, -1, 0, 1, 10**6, 2**31 - 1, float("nan"), float("inf"), "", "../x", "failed", "00002", [1], [1] * 7]
    clips.at[row, column] = data.draw(st.sampled_from(values))
    try:
        put_clips(folder, lambda _: clips)
    except (pa.ArrowException, TypeError, ValueError):  # Parquet holds no such column
        return


MUTATIONS = {
    "dataset.json": _mutated_document,
    "the index of a shard": _mutated_index,
    "a sidecar": _mutated_sidecar,
    "clips.parquet": _mutated_clips,
}


def check_mutations(
    small: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], name: str, number: int
) -> None:
    folder = Path(shutil.copytree(small, tmp_path_factory.mktemp("mutated") / "dfew-none"))
    changed = ("dataset.json", "clips.parquet", SHARD, SIDECAR)

    @settings(max_examples=number)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        for path in changed:
            shutil.copyfile(small / path, folder / path)
        MUTATIONS[name](folder, data)
        code = assert_right_or_damaged(folder)
        assert main(["verify", "--deep", str(folder)]) == code
        assert capsys.readouterr().err.count("\n") == (code == 2)

    check()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutated_document_is_right_or_damaged(
    small: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    check_mutations(small, tmp_path_factory, capsys, name, 15)


@pytest.mark.soak
@pytest.mark.parametrize("name", MUTATIONS)
def test_many_mutated_documents_are_right_or_damaged(
    small: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    check_mutations(small, tmp_path_factory, capsys, name, 500)


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


def _index(folder: Path, changed: Callable[[Document], None]) -> Path:
    """Change the header of the first shard and seal it."""
    content = (folder / SHARD).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    changed(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return _put_shard(folder, len(text).to_bytes(8, "little") + text + content[8 + length :], len(text) - length)


def _put_shard(folder: Path, content: bytes, longer: int = 0) -> Path:
    put(folder, SHARD, content)
    document = json.loads((folder / "dataset.json").read_bytes())
    facts = document["shards"][0]
    facts["index_bytes"] += longer
    facts["index_crc32"] = zlib.crc32(content[: facts["index_bytes"]])
    seal(folder, document)
    same = {key: facts[key] for key in ("num_bytes", "sha256", "index_bytes", "index_crc32")}
    return put_sidecar(folder, lambda sidecar: sidecar.update(same))


INDEXES = {
    "no tensors": lambda header: header.clear(),
    "no clips": lambda header: header.pop("clip_offsets"),
    "a tensor is a list": _set("crc32", value=[]),
    "an unknown type": _set("crc32", "dtype", value="F128"),
    "a huge shape": _set("crc32", "shape", value=[10**30]),
    "offsets outside": _set("crc32", "data_offsets", value=[0, 10**9]),
    "offsets below 0": _set("clip_offsets", "data_offsets", value=[-16, 0]),
    "the offsets of others": lambda header: header["clip_offsets"].update(header["frame_offsets"]),
    "a huge payload": _set("jpeg", "data_offsets", value=[0, 10**30]),
    "another store": _set("__metadata__", "store", value="clips16"),
    "metadata is a list": _set("__metadata__", value=[]),
}


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_that_no_dfer_writes_is_damage(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert f"{SHARD}: " in assert_damaged(_index(folder, INDEXES[name]), capsys)


def test_an_index_of_another_length_is_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (folder / SHARD).read_bytes()
    for start in (b"\xff" * 8, (2**40).to_bytes(8, "little"), b"\0" * 8):
        assert f"{SHARD}: " in assert_damaged(_put_shard(folder, start + content[8:]), capsys)


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
    text = assert_damaged(_put_shard(folder, bytes(content)), capsys)
    assert f"{SHARD}: clip 00001: " in text
    assert "has 60000 x 60000 pixels, more than" in text


@pytest.mark.parametrize(
    "changed",
    [
        _set("clips", value={}),
        _set("clips", 0, value=[]),
        _set("clips", 0, "clip_id", value="00002"),
        _set("clips", 0, "row", value=10**30),
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
