"""Datasets that their maker sealed anew after changes: every reader gives a right answer, or one error of damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_cli.main import main
from tests.faults.sealed_anew import (
    SHARD,
    SIDECAR,
    assert_damaged,
    assert_right_or_damaged,
    change,
    folder,
    put,
    put_clips,
    put_index,
    set_at,
    small,
)

__all__ = ["folder", "small"]


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


MALFORMED = {
    "shards is an object": set_at("shards", value={}),
    "a shard is a list": set_at("shards", 0, value=[]),
    "a shard has no name": lambda document: document["shards"][0].pop("name"),
    "a shard climbs": set_at("shards", 0, "name", value="../x"),
    "a shard is named as another": set_at("shards", 0, "name", value="00001"),
    "a huge number of clips": set_at("shards", 0, "num_clips", value=10**30),
    "a negative number of clips": set_at("shards", 0, "num_clips", value=-1),
    "a number of clips that is true": set_at("shards", 0, "num_clips", value=True),
    "a fraction of a byte": set_at("shards", 0, "index_bytes", value=0.5),
    "an index of a terabyte": set_at("shards", 0, "index_bytes", value=2**40),
    "a CRC-32 of 40 bits": set_at("shards", 0, "index_crc32", value=2**40),
    "files is a list": set_at("files", value=[]),
    "files without clips": lambda document: document["files"].pop("clips.parquet"),
    "a file is text": set_at("files", "plan.json", value="x"),
    "a hash is a number": set_at("files", "plan.json", "sha256", value=1),
    "counts is a list": set_at("counts", value=[]),
    "folds is a list": set_at("counts", "folds", value=["1"]),
    "a fold climbs": set_at("counts", "folds", "../../x", value={"train": 1}),
    "a fold is larger": set_at("counts", "folds", "1", "train", value=99),
    "a billion clips": set_at("counts", "clips", value=10**9),
    "class_names is text": set_at("class_names", value="happy"),
    "class_names are numbers": set_at("class_names", value=[1, 2, 3, 4, 5, 6, 7]),
    "a class twice": set_at("class_names", value=["happy"] * 7),
    "config is null": set_at("config", value=None),
    "config has an object": set_at("config", "size_px", value={}),
    "a side of a million": set_at("config", "size_px", value=10**6),
    "settings that cannot be": set_at("config", "jpeg_quality", value=-5),
    "another store": set_at("config", "store", value="clips16"),
    "an unknown dataset": set_at("dataset", value="../x"),
    "synthetic is text": set_at("synthetic", value="no"),
    "layout is a list": set_at("layout", value=["videos"]),
    "pipeline_version is text": set_at("pipeline_version", value="2"),
    "format_version is text": set_at("format_version", value="1"),
    "format_version is endless": set_at("format_version", value=float("inf")),
    "format_version is negative": set_at("format_version", value=-1),
    "not a number": set_at("counts", "frames", value=float("nan")),
    "half a character": set_at("recipe", value="\ud800"),
    "a deep list": set_at("recipe", value=_nested(800)),
    "no counts": lambda document: document.pop("counts"),
    "another format": set_at("format", value="dfer-run"),
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
    put_index(folder, lambda header: _mutated(header, data))


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
