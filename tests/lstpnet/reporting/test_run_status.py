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


def test_a_refit_adds_as_many_epochs_as_the_best_one_has(plain: Done, tmp_path: Path) -> None:
    """Until the first training has ended, their number is not known."""
    folder = tmp_path / "data/demo/fold-3/seed-0"
    shutil.copytree(plain.folder, folder)
    (folder / "run.json").unlink()
    config = json.loads((folder / "config.json").read_bytes())
    config["settings"] |= {"refit": True, "val": "blocks", "select_by": "uar", "frame_epochs": 1, "epochs": 3}
    (folder / "config.json").write_text(json.dumps(config))
    first = [
        ("last", "frames", 1, None),
        ("last", "clips", 1, 0.2),
        ("last", "clips", 2, 0.4),
        ("last", "clips", 3, 0.4),
    ]
    lines = [*first, ("refit", "frames", 1, None), ("refit", "clips", 1, None)]
    seen = []
    with locked_run(folder):
        for number in (3, 4, 6):
            rows = [
                {"checkpoint": name, "stage": stage, "epoch": epoch, "val_uar": uar, "val_war": uar and 1 - uar}
                for name, stage, epoch, uar in lines[:number]
            ]
            text = "".join(json.dumps(row | {"loss": 1.0, "seconds": 2.0}) + "\n" for row in rows)
            (folder / "metrics.jsonl").write_text(text)
            status = run_status(folder)
            seen.append((status.epoch, status.num_epochs, status.seconds_left))
    assert seen == [(3, 4, 2.0), (4, 7, 6.0), (6, 7, 2.0)]


@pytest.mark.parametrize(
    "changes",
    [{"loss": None}, {"seconds": "1"}, {"epoch": [1]}, {"stage": None}, {"checkpoint": ["last"]}, {"val_war": "high"}],
    ids=str,
)
def test_a_line_with_other_values_is_ignored_like_one_that_a_kill_cut(
    stopped: Path, changes: dict[str, object]
) -> None:
    first, second, *_ = (stopped / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (stopped / "metrics.jsonl").write_bytes(first + json.dumps(json.loads(second) | changes).encode() + b"\n")
    status = run_status(stopped)
    assert (status.state, status.epoch) == ("stopped", 1)
    assert str(status).startswith("stopped at epoch 1 of 3 (frames epoch 1: loss ")


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
