"""`dfer status` of runs: finished with scores, in training, stopped, damaged."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from lstpnet.finished_runs import find_runs
from lstpnet.reporting.run_status import run_status, run_statuses
from lstpnet.run_files import locked_run
from tests.lstpnet.conftest import Done


@pytest.fixture
def stopped(plain: Done, tmp_path: Path) -> Path:
    """A copy of a run as it is after its second epoch of three."""
    folder = tmp_path / "runs/data/demo/fold-3/seed-0"
    shutil.copytree(plain.folder, folder)
    (folder / "run.json").unlink()
    lines = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    (folder / "metrics.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:20])  # the last line is cut by a kill
    return folder


def test_a_finished_run_has_its_scores(plain: Done) -> None:
    status = run_status(plain.folder)
    (result,) = plain.results
    assert (status.state, status.epoch, status.num_epochs, status.holder) == ("finished", 3, 3, None)
    assert status.scores == {"last": {"war": pytest.approx(result["war"]), "uar": pytest.approx(result["uar"])}}
    assert str(status) == f"finished: last WAR {100 * result['war']:.2f} UAR {100 * result['uar']:.2f}"


def test_a_stopped_run_and_one_in_training(stopped: Path, tmp_path: Path) -> None:
    (status,) = run_statuses(tmp_path / "runs")
    assert (status.state, status.epoch, status.num_epochs, status.seconds_left) == ("stopped", 2, 3, None)
    assert str(status).startswith("stopped at epoch 2 of 3 (clips epoch 1: loss ")
    last = json.loads((stopped / "metrics.jsonl").read_bytes().splitlines()[1])
    with locked_run(stopped):
        (status,) = run_statuses(tmp_path / "runs")
        assert find_runs(tmp_path / "runs") == [stopped]  # the lock and its holder are no runs
    assert status.state == "in training"
    assert status.holder is not None
    assert status.holder.startswith(f"process {os.getpid()} on ")
    assert status.seconds_left == pytest.approx(last["seconds"])
    assert str(status).endswith(f", by {status.holder}")


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    folder = tmp_path / "fold-3/seed-0"
    folder.mkdir(parents=True)
    (status,) = run_statuses(tmp_path)
    assert str(status) == "stopped at epoch 0"
    assert status.num_epochs is None


def test_a_damaged_run_is_named_and_does_not_hide_the_others(plain: Done, tmp_path: Path) -> None:
    for name in ("seed-0", "seed-1"):
        shutil.copytree(plain.folder, tmp_path / "fold-3" / name)
    (tmp_path / "fold-3/seed-0/predictions.parquet").write_bytes(b"junk")
    damaged, intact = run_statuses(tmp_path)
    assert (damaged.state, intact.state) == ("damaged", "finished")
    assert "predictions.parquet" in str(damaged)
