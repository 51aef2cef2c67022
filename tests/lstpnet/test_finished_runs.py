"""Run folders found, opened and loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfer_data.errors import CorruptDataError
from lstpnet.finished_runs import find_runs, load_runs
from lstpnet.runs import PREDICTIONS_NAME, RUN_NAME, write_run
from tests.lstpnet.small_run import INFO, LOGITS, write_one
from tests.workspace import ROOT


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    (run,), unfinished = load_runs([write_one(tmp_path)])
    assert (run.info, run.folder, unfinished) == (INFO, tmp_path, [])
    assert [(each.checkpoint, each.control) for each in run.predictions] == [("last", ""), ("last", "repeated-frame")]
    for each in run.predictions:
        assert (each.clip_ids, each.labels) == (("00001", "00002"), ("sad", "fear"))
        assert each.has_face.tolist() == [True, False]
        assert each.logits.dtype == np.float32
        assert np.array_equal(each.logits, LOGITS)


def test_every_damaged_run_is_named_at_once(tmp_path: Path) -> None:
    first, second = (write_one(tmp_path / name) for name in ("a", "b"))
    (first / PREDICTIONS_NAME).unlink()
    (second / RUN_NAME).write_text("{")
    with pytest.raises(CorruptDataError) as caught:
        load_runs(find_runs(tmp_path))
    assert f"{first / PREDICTIONS_NAME} is missing" in str(caught.value)
    assert f"{second / RUN_NAME} is damaged" in str(caught.value)


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


def test_reading_runs_and_reporting_needs_no_torch() -> None:
    code = "import lstpnet.reporting.build, lstpnet.runs, sys"
    code += "; print([m for m in ('torch', 'cv2', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_with_root())
    assert done.stdout == "[]\n"


def _with_root() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
