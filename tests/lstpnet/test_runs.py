from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dfer_data.errors import CorruptDataError, FormatVersionError, UsageError
from dfer_data.storage.files import canonical_json
from lstpnet.predictions import Predictions
from lstpnet.run_files import with_own_sha256
from lstpnet.runs import (
    PREDICTIONS_NAME,
    RUN_NAME,
    RunInfo,
    find_runs,
    load_runs,
    read_predictions,
    read_run,
    write_predictions,
    write_run,
)
from tests.workspace import ROOT

INFO = RunInfo(
    dataset="dfew",
    prepared="dfew-retinaface",
    dataset_sha256="ab" * 32,
    labels_sha256="cd" * 32,
    folds_sha256="ef" * 32,
    recipe="dfew",
    fold=3,
    seed=0,
    class_names=("happy", "sad", "fear"),
    n_train=9357,
    n_val=0,
    synthetic=False,
    protocol="selection: last epoch; sampler segments-8x2",
    checkpoints=("last",),
    finished=True,
)
LOGITS = np.array([[0.5, -1.0, 2.0], [np.log(0.5), np.log(0.5), -np.inf]], np.float32)


def part(*, checkpoint: str = "last", control: str = "") -> Predictions:
    has_face = np.array([True, False])
    return Predictions(("00001", "00002"), ("sad", "fear"), LOGITS, has_face, checkpoint, control)


def write_one(folder: Path, *, info: RunInfo = INFO) -> Path:
    write_predictions(folder, [part(), part(control="repeated-frame")])
    write_run(folder, info)
    return folder


def rewrite(folder: Path, **changes: Any) -> None:
    """Change columns of predictions.parquet behind the writer's back, and the hash of the file."""
    path = folder / PREDICTIONS_NAME
    pd.read_parquet(path).assign(**changes).to_parquet(path)
    write_run(folder, INFO)


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    (run,), unfinished = load_runs([write_one(tmp_path)])
    assert (run.info, run.folder, unfinished) == (INFO, tmp_path, [])
    assert [(each.checkpoint, each.control) for each in run.predictions] == [("last", ""), ("last", "repeated-frame")]
    for each in run.predictions:
        assert (each.clip_ids, each.labels) == (("00001", "00002"), ("sad", "fear"))
        assert each.has_face.tolist() == [True, False]
        assert each.logits.dtype == np.float32
        assert np.array_equal(each.logits, LOGITS)


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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "angry"}, "label 'angry' is not a class"),
        ({"label": None}, "empty cells in label"),
        ({"clip_id": "00001"}, "clip 00001 is listed twice"),
        ({"checkpoint": "best"}, "rows lack ['last'], add ['best']"),
        ({"checkpoint": "first"}, "'first'"),
        ({"control": "upside-down"}, "'upside-down'"),
        ({"logits": [[0.0, 1.0]] * 4}, "rows of [2] logits for 3 classes"),
        ({"logits": [[0.0, 1.0, float("nan")]] * 4}, "NaN"),
        ({"logits": [[-np.inf] * 3] * 4}, "all logits of a clip are -inf"),
    ],
)
def test_predictions_that_do_not_fit_are_named_in_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    rewrite(write_one(tmp_path), **changes)
    with pytest.raises(CorruptDataError) as caught:
        load_runs([tmp_path])
    assert str(caught.value).startswith(f"{tmp_path / PREDICTIONS_NAME} is damaged: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write_one(tmp_path) / PREDICTIONS_NAME
    pd.read_parquet(path).drop(columns=["has_face", "control"]).to_parquet(path)
    with pytest.raises(CorruptDataError, match="no column control, has_face"):
        read_predictions(tmp_path, INFO)


def test_checkpoints_must_predict_the_same_clips(tmp_path: Path) -> None:
    fewer = Predictions(("00001",), ("sad",), LOGITS[:1], np.array([True]), "best")
    write_predictions(tmp_path, [part(), fewer])
    with pytest.raises(CorruptDataError, match="different clips"):
        read_predictions(tmp_path, replace(INFO, checkpoints=("last", "best")))


def test_no_flipped_byte_changes_a_prediction(tmp_path: Path) -> None:
    path = write_one(tmp_path) / PREDICTIONS_NAME
    content, clean = path.read_bytes(), read_predictions(tmp_path, INFO)
    length_of_footer = int.from_bytes(content[-8:-4], "little")
    num_named = 0
    for place in np.random.default_rng(0).choice(len(content) - 8 - length_of_footer, 80, replace=False).tolist():
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            found = read_predictions(tmp_path, INFO)
        except CorruptDataError as error:
            num_named += 1
            assert str(path) in str(error)  # noqa: PT017
            continue
        for mine, theirs in zip(found, clean, strict=True):
            assert (mine.clip_ids, mine.labels) == (theirs.clip_ids, theirs.labels)
            assert np.array_equal(mine.logits, theirs.logits)
    assert num_named > 40


def test_every_damaged_run_is_named_at_once(tmp_path: Path) -> None:
    first, second = (write_one(tmp_path / name) for name in ("a", "b"))
    (first / PREDICTIONS_NAME).unlink()
    (second / RUN_NAME).write_text("{")
    with pytest.raises(CorruptDataError) as caught:
        load_runs(find_runs(tmp_path))
    assert f"{first / PREDICTIONS_NAME} is missing" in str(caught.value)
    assert f"{second / RUN_NAME} is damaged" in str(caught.value)


def test_a_folder_without_run_json_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.json is missing"):
        read_run(tmp_path)


def test_started_runs_are_found_and_said_to_be_unfinished(tmp_path: Path) -> None:
    done = write_one(tmp_path / "dfew-retinaface/dfew/fold-3/seed-0")
    begun = tmp_path / "dfew-retinaface/dfew/fold-4/seed-0"
    begun.mkdir(parents=True)
    halfway = tmp_path / "dfew-retinaface/dfew/fold-5/seed-0"
    write_run(halfway, replace(INFO, fold=5, finished=False, checkpoints=()))
    assert find_runs(tmp_path) == [done, begun, halfway]
    runs, unfinished = load_runs([*find_runs(tmp_path), done])
    assert [run.folder for run in runs] == [done]
    assert [(run.folder, run.reason) for run in unfinished] == [
        (begun, "started, but has no run.json yet"),
        (halfway, "run.json says that it has not finished"),
    ]


@pytest.mark.parametrize(
    "changes",
    [{"clip_ids": ("a",)}, {"labels": ()}, {"logits": LOGITS[0]}, {"checkpoint": "final"}, {"control": "none"}],
)
def test_predictions_of_a_wrong_shape_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(part(), **changes)


def test_reading_runs_and_reporting_needs_no_torch() -> None:
    code = "import lstpnet.reporting.build, lstpnet.runs, sys"
    code += "; print([m for m in ('torch', 'cv2', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_with_root())
    assert done.stdout == "[]\n"


def _with_root() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


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
