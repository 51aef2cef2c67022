"""run.json: written, read back and refused."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dfer_data.errors import CorruptDataError, FormatVersionError, UsageError
from dfer_data.storage.files import canonical_json
from lstpnet.finished_runs import load_runs
from lstpnet.predictions_table import read_predictions, write_predictions
from lstpnet.run_files import with_own_sha256
from lstpnet.runs import PREDICTIONS_NAME, RUN_NAME, read_run, write_run
from tests.lstpnet.small_run import INFO, part, write_one


def test_the_files_are_the_ones_that_are_documented(tmp_path: Path) -> None:
    write_one(tmp_path)
    document = json.loads((tmp_path / RUN_NAME).read_bytes())
    body = canonical_json({key: value for key, value in document.items() if key != "sha256"})
    assert document.pop("sha256") == hashlib.sha256(body).hexdigest()
    content = (tmp_path / PREDICTIONS_NAME).read_bytes()
    facts = {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert document == {
        "files": {PREDICTIONS_NAME: facts},
        "settings_sha256": None,
        "format": "dfer-run",
        "format_version": 3,
        "dataset": "dfew",
        "prepared": "dfew-retinaface",
        "dataset_sha256": "ab" * 32,
        "recipe": "dfew",
        "fold": 3,
        "seed": 0,
        "class_names": ["happy", "sad", "fear"],
        "n_train": 9357,
        "n_val": 0,
        "synthetic": False,
        "protocol": "selection: last epoch; sampler segments-8x2",
        "checkpoints": ["last"],
        "finished": True,
        "pipeline_version": 1,
        "id_order": "",
        "labels_sha256": "cd" * 32,
        "folds_sha256": "ef" * 32,
        "fold_set": "official",
    }
    schema = pq.read_schema(tmp_path / PREDICTIONS_NAME)
    texts = dict.fromkeys(("clip_id", "label", "checkpoint", "control"), "string")
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        **texts,
        "has_face": "bool",
        "logits": "list<element: float>",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREDICTIONS_NAME, RUN_NAME]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_one(tmp_path)

    def fail(handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_run(tmp_path, replace(INFO, seed=1))
    with pytest.raises(OSError, match="disk full"):
        write_predictions(tmp_path, [part()])
    monkeypatch.undo()
    assert read_run(tmp_path).seed == 0
    assert len(read_predictions(tmp_path, INFO)) == 2


def test_a_run_is_not_finished_before_its_predictions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"predictions\.parquet must be written first"):
        write_run(tmp_path, INFO)


def test_all_faults_of_a_run_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        replace(INFO, fold=0, seed=True, recipe="", protocol="a\nb", class_names=("x", "x"), checkpoints=("first",))
    for word in (
        "fold = 0",
        "seed = True",
        "recipe = ''",
        "protocol",
        "twice: x x",
        "'first'; known: last best refit test-best",
    ):
        assert word in str(caught.value)


def test_a_newer_format_is_refused_naming_both_versions(tmp_path: Path) -> None:
    write_one(tmp_path)
    document = json.loads((tmp_path / RUN_NAME).read_bytes()) | {"format_version": 4, "class_names": "otherwise"}
    (tmp_path / RUN_NAME).write_text(json.dumps(document))
    with pytest.raises(FormatVersionError, match=r"run\.json has format version 4, this dfer knows 3"):
        load_runs([tmp_path])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[: len(content) // 2], "damaged"),
        (lambda content: b"[]", "damaged"),
        (lambda content: b"\xff\xfe", "damaged"),
        (lambda content: content.replace(b'"dfer-run"', b'"dfer-dataset"'), "not 'dfer-run'"),
        (lambda content: content.replace(b'"seed"', b'"sead"'), "'seed' is missing"),
        (lambda content: content.replace(b'"fold":3', b'"fold":"3"'), "fold = '3'"),
        (lambda content: content.replace(b'"finished":true', b'"finished":1'), "finished = 1"),
        (lambda content: content.replace(b'["last"]', b'"last"'), "checkpoints = 'last'"),
        (lambda content: content.replace(b'["last"]', b"[]"), "checkpoints has 0"),
    ],
)
def test_a_damaged_run_json_is_named_in_one_line(tmp_path: Path, change: Any, words: str) -> None:
    path = write_one(tmp_path) / RUN_NAME
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CorruptDataError) as caught:
        load_runs([tmp_path])
    message = str(caught.value)
    assert message.startswith(f"{path} is damaged: ")
    assert words in message
    assert "\n" not in message


def test_a_folder_without_run_json_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.json is missing"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": {"predictions.parquet": 3}},
        {"files": {}},
        {"files": {"predictions.parquet": {"num_bytes": True, "sha256": "0" * 64}}},
        {"files": {"predictions.parquet": {"num_bytes": 1, "sha256": "0" * 63}}},
        {"files": {"predictions.parquet": {"num_bytes": 1, "sha256": "0" * 64}, "/etc/passwd": {}}},
        {"settings_sha256": 7},
        {"seed": float("nan")},
        {"fold": 4},
    ],
)
def test_hostile_hashes_are_damage_in_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write_one(tmp_path) / RUN_NAME
    document = json.loads(path.read_bytes()) | change
    sealed = document if {"seed", "fold"} & change.keys() else with_own_sha256(document)
    path.write_text(json.dumps(sealed))
    with pytest.raises(CorruptDataError) as caught:
        load_runs([tmp_path])
    assert str(caught.value).startswith(f"{path} is damaged: ")
    assert "\n" not in str(caught.value)


def test_deeply_nested_json_is_damage_too(tmp_path: Path) -> None:
    path = write_one(tmp_path) / RUN_NAME
    path.write_text("[" * 100_000)
    with pytest.raises(CorruptDataError, match="is damaged: "):
        read_run(tmp_path)
