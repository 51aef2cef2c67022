"""A small dataset and what its maker may change in it and seal anew; a module that imports the fixtures has it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

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


def set_at(*path: str | int, value: Any) -> Callable[[Document], None]:
    def changed(document: Document) -> None:
        *parents, last = path
        node: Any = document
        for key in parents:
            node = node[key]
        node[last] = value

    return changed


def put_index(folder: Path, changed: Callable[[Document], None]) -> Path:
    """Change the header of the first shard and seal it."""
    content = (folder / SHARD).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    changed(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return put_shard(folder, len(text).to_bytes(8, "little") + text + content[8 + length :], len(text) - length)


def put_shard(folder: Path, content: bytes, longer: int = 0) -> Path:
    put(folder, SHARD, content)
    document = json.loads((folder / "dataset.json").read_bytes())
    facts = document["shards"][0]
    facts["index_bytes"] += longer
    facts["index_crc32"] = zlib.crc32(content[: facts["index_bytes"]])
    seal(folder, document)
    same = {key: facts[key] for key in ("num_bytes", "sha256", "index_bytes", "index_crc32")}
    return put_sidecar(folder, lambda sidecar: sidecar.update(same))
